//! What an operator orders of ACME, handed on to its engine.
//!
//! Owns the words between `admin` and `acme`, which know nothing of each other.

use async_trait::async_trait;

use crate::acme::{Handle, Order, Refused};
use crate::admin::{Acme, Done, Reason, Refusal};

/// The engine, as the admin API sees it.
pub(super) struct Certify(pub(super) Handle);

#[async_trait]
impl Acme for Certify {
    async fn renew(&self, name: &str) -> Result<Done, Refusal> {
        self.one(Order::Renew(name.to_owned())).await
    }

    async fn revoke(&self, name: &str, reason: Reason) -> Result<Done, Refusal> {
        self.one(Order::Revoke(name.to_owned(), reason.code())).await
    }

    async fn rollover(&self, issuer: Option<&str>) -> Result<Done, Refusal> {
        self.each(issuer, Order::RollOver).await
    }

    async fn deactivate(&self, issuer: Option<&str>) -> Result<Done, Refusal> {
        self.each(issuer, Order::Deactivate).await
    }
}

impl Certify {
    async fn one(&self, order: Order) -> Result<Done, Refusal> {
        match self.0.order(order).await {
            Ok(detail) => Ok(Done { detail }),
            Err(Refused::NotFound(why)) => Err(Refusal::NotFound(why)),
            Err(Refused::NotNow(why)) => Err(Refusal::Conflict(why)),
            Err(Refused::Failed(why)) => Err(Refusal::Unavailable(why)),
        }
    }

    /// For the issuer of that name, or for each; the first that fails ends it, and says what was done before.
    async fn each(&self, issuer: Option<&str>, order: impl Fn(String) -> Order) -> Result<Done, Refusal> {
        let issuers = issuer.map_or_else(|| self.0.issuers(), |name| vec![name.to_owned()]);
        let mut done: Vec<String> = Vec::new();
        for name in issuers {
            match self.one(order(name)).await {
                Ok(one) => done.push(one.detail),
                Err(Refusal::Unavailable(why)) if !done.is_empty() => {
                    return Err(Refusal::Unavailable(format!("{}; then: {why}", done.join("; "))));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(Done { detail: done.join("; ") })
    }
}
