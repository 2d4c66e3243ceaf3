//! Records in DNS that show a CA who controls a name.
//!
//! Owns how a record of DNS-01 (RFC 8555 section 8.4) comes to be, is seen by those who will be asked, and
//! goes again; and which standing record DNS-PERSIST-01 wants (draft-ietf-acme-dns-persist). Knows no order
//! and no account.

mod error;
mod exchange;
mod hook;
mod key;
pub mod persist;
mod rfc2136;
mod runners;
mod tsig;
mod visible;
mod zone;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use fluxheim_config::{Acme, DnsProvider};
use fluxheim_trust::Terms;
use hickory_resolver::TokioResolver;

pub use error::{DnsError, HookError, ProviderError};
pub use hook::Hook;
pub use key::{KeyError, TsigKey};
pub use rfc2136::Rfc2136;
pub use runners::Runners;

/// A TXT record that was made, or may have been: enough to take it away again, after a restart too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name that the CA asks for; where the record is may be elsewhere, behind a CNAME.
    pub name: String,
    pub value: String,
}

/// Makes records for DNS-01.
#[async_trait]
pub trait Provider: Debug + Send + Sync {
    /// As `[acme.dns] provider` has it.
    fn kind(&self) -> &'static str;

    /// Where the record of `name` is, behind CNAMEs; `None` where nobody can tell now.
    async fn owner(&self, name: &str) -> Option<String>;

    /// Adds a TXT record and leaves those beside it alone: a name and its wildcard are shown by two records
    /// of one name.
    ///
    /// # Errors
    /// [`DnsError`], after which the record may be there nevertheless: clean it up.
    async fn present(&self, name: &str, value: &str) -> Result<Record, DnsError>;

    /// Waits until every name server that a CA may ask has the record, for as long as is configured.
    ///
    /// # Errors
    /// [`DnsError`] names the servers that have not.
    async fn visible(&self, record: &Record) -> Result<(), DnsError>;

    /// Takes the record away, and no other; fine when there is none.
    ///
    /// # Errors
    /// [`DnsError`]
    async fn cleanup(&self, record: Record) -> Result<(), DnsError>;
}

/// The provider of `[acme.dns]`, if one is configured; reads its key. `runners` are those that come to its socket,
/// where one was made.
///
/// # Errors
/// [`ProviderError`] when the key can't be read or is none.
pub fn provider(
    acme: &Acme,
    terms: &Terms,
    resolver: TokioResolver,
    runners: Option<&Runners>,
) -> Result<Option<Arc<dyn Provider>>, ProviderError> {
    let Some(dns) = &acme.dns else { return Ok(None) };
    let config = match &dns.provider {
        DnsProvider::Rfc2136(config) => config,
        DnsProvider::Hook(config) => {
            let hook = Hook::new(config, runners.cloned(), dns.propagation_timeout, resolver)?;
            return Ok(Some(Arc::new(hook)));
        }
    };
    let object = fluxheim_trust::acme_dns(acme).ok_or(ProviderError::NoKey)?;
    let secret = fluxheim_trust::read(&object, terms)?;
    let key = TsigKey::parse(secret.as_bytes(), config.key_name.as_deref(), config.algorithm)
        .map_err(|reason| ProviderError::Key { path: object.path.clone(), reason })?;
    let provider = Rfc2136::new(config, key, dns.propagation_timeout, resolver)?;
    Ok(Some(Arc::new(provider)))
}
