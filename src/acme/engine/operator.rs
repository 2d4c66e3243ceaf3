//! What an operator orders: a certificate anew, one revoked, an account's key changed, an account given up.
//!
//! Owns what each means for what is served and for what is due; the loop carries them out one by one.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Engine;
use crate::acme::account;
use crate::acme::attempt::Attempts;
use crate::acme::failure::Failure;
use crate::acme::pair;
use crate::acme::record::CertificateRecord;
use crate::acme::settings::{Issuer, Settings};
use crate::acme::store::{Key, Lease};

/// What an operator asks for, and who waits for the answer.
pub(in crate::acme) struct Command {
    pub(in crate::acme) order: Order,
    pub(in crate::acme) answer: oneshot::Sender<Result<String, Refused>>,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A new certificate now.
    Renew(String),
    /// RFC 8555 section 7.6, with a reason of RFC 5280 section 5.3.1.
    Revoke(String, u8),
    /// RFC 8555 section 7.3.5
    RollOver(String),
    /// RFC 8555 section 7.3.6
    Deactivate(String),
}

/// Why an operator's order is not followed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NotNow(String),
    #[error("{0}")]
    Failed(String),
}

impl Engine {
    pub(super) async fn obey(&mut self, command: Command) {
        let Command { order, answer } = command;
        let result = match order {
            Order::Renew(host) => {
                let Some(state) = self.hosts.get_mut(&host) else {
                    // Whoever waited may have gone.
                    let _ =
                        answer.send(Err(Refused::NotFound(format!("no certificate {host:?} comes by ACME"))));
                    return;
                };
                state.wanted = true;
                state.waiting.push(answer);
                return;
            }
            Order::Revoke(host, reason) => self.revoke(&host, reason).await,
            Order::RollOver(issuer) => self.of_account(&issuer, true).await,
            Order::Deactivate(issuer) => self.of_account(&issuer, false).await,
        };
        let _ = answer.send(result);
    }

    async fn of_account(&mut self, issuer: &str, roll_over: bool) -> Result<String, Refused> {
        let settings = Arc::clone(&self.settings.borrow());
        let known = settings.issuer(issuer);
        let issuer =
            known.ok_or_else(|| Refused::NotFound(format!("there is no issuer {issuer:?} in [acme]")))?;
        // They are signed by the key that would be gone.
        if self.hosts.values().any(|state| state.busy) {
            let why = "orders are under way with the account's present key; ask again once they have ended";
            return Err(Refused::NotNow(why.to_owned()));
        }
        let lease = self.leading().await?;
        let name = &issuer.config.name;
        let done = match roll_over {
            true => account::roll_over(&*self.store, &lease, issuer).await,
            false => account::deactivate(&*self.store, &lease, issuer).await,
        };
        self.attempts.forget_accounts().await;
        let url = done.map_err(|failure| Refused::Failed(failure.to_string()))?;
        let what = if roll_over { "has a new key" } else { "is deactivated" };
        tracing::info!(issuer = name, account = url, "ACME account {what}");
        Ok(format!("account {url} of issuer {name} {what}"))
    }

    async fn leading(&mut self) -> Result<Arc<Lease>, Refused> {
        if !self.is_leader().await {
            return Err(Refused::NotNow(
                "another replica orders certificates: ask that one, or again later".into(),
            ));
        }
        self.lease.clone().ok_or_else(|| Refused::NotNow("the storage is out of order".to_owned()))
    }

    async fn revoke(&mut self, host: &str, reason: u8) -> Result<String, Refused> {
        let lease = self.leading().await?;
        let settings = Arc::clone(&self.settings.borrow());
        let done = revoke(&self.attempts, &settings, host, reason, &lease).await?;
        // What is revoked is replaced at once.
        if let Some(state) = self.hosts.get_mut(host) {
            state.wanted = true;
        }
        Ok(done)
    }
}

async fn revoke(
    attempts: &Attempts,
    settings: &Settings,
    host: &str,
    reason: u8,
    lease: &Lease,
) -> Result<String, Refused> {
    let failed = |failure: Failure| Refused::Failed(failure.to_string());
    let entry = attempts.store.get(&Key::certificate(host)).await.map_err(|error| failed(error.into()))?;
    let entry = entry.ok_or_else(|| Refused::NotFound(format!("{host:?} has no certificate by ACME")))?;
    let record = CertificateRecord::read(entry.value.as_bytes()).map_err(|error| failed(error.into()))?;
    let by = |issuer: &&Issuer| issuer.config.directory == record.origin.directory;
    let issuer = settings.issuers.iter().find(by).ok_or_else(|| {
        Refused::NotFound(format!("{} issued it, which is not in [acme] any more", record.origin.directory))
    })?;
    let pair = pair::certified(&record.chain, &record.key.0).map_err(|error| failed(error.into()))?;
    let leaf = pair.cert.first().ok_or_else(|| Refused::Failed("it has no certificate".to_owned()))?;
    let facts = pair::facts(&pair).map_err(|error| failed(error.into()))?;
    let opened = attempts.account(issuer, lease).await.map_err(failed)?;
    // Before it is done: it is replaced whatever comes in between.
    let times = (facts.not_before, facts.not_after);
    attempts.reschedule(host, lease, |record| record.revoked = Some(times)).await.map_err(failed)?;
    let request = instant_acme::RevocationRequest { certificate: leaf, reason: reason_of(reason) };
    match opened.account.revoke(&request).await {
        Ok(()) => {}
        // By somebody else, or by us before the last order for another one failed.
        Err(instant_acme::Error::Api(problem)) if problem.r#type.as_deref() == Some(ALREADY_REVOKED) => {}
        Err(error) => {
            attempts.reschedule(host, lease, |record| record.revoked = None).await.map_err(failed)?;
            return Err(failed(error.into()));
        }
    }
    tracing::warn!(host, issuer = issuer.config.name, "certificate revoked; another one is ordered");
    Ok(format!("the certificate of {host} is revoked; another one is ordered"))
}

/// RFC 5280 section 5.3.1; those that an owner may give.
const fn reason_of(code: u8) -> Option<instant_acme::RevocationReason> {
    use instant_acme::RevocationReason;
    match code {
        1 => Some(RevocationReason::KeyCompromise),
        3 => Some(RevocationReason::AffiliationChanged),
        4 => Some(RevocationReason::Superseded),
        5 => Some(RevocationReason::CessationOfOperation),
        _ => None,
    }
}

/// RFC 8555 section 6.7
const ALREADY_REVOKED: &str = "urn:ietf:params:acme:error:alreadyRevoked";
