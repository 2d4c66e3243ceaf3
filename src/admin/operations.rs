//! What can be asked for, as those who do it see it.
//!
//! Owns the seam: the API knows nothing of how things are done, and its answers have only these shapes.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::seen::{Certificate, Draining, Posture, Reloaded, ServerState, Status, Upstream};

/// What the process itself can tell and do.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    fn status(&self) -> Status;

    fn upstreams(&self) -> Vec<Upstream>;

    fn certificates(&self) -> Vec<Certificate>;

    fn posture(&self) -> Posture;

    /// Takes the configuration anew, as SIGHUP does; answers when it is taken or refused.
    ///
    /// # Errors
    /// [`Refusal::Refused`] with every mistake.
    async fn reload(&self) -> Result<Reloaded, Refusal>;

    /// Begins to stop, as SIGTERM does.
    fn drain(&self) -> Draining;

    /// Takes a server out of its upstream for new requests, or back in.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such upstream or server.
    fn set_server(&self, upstream: &str, server: &str, state: ServerState) -> Result<Upstream, Refusal>;

    /// Who orders certificates; `None` where nothing does.
    fn acme(&self) -> Option<&dyn Acme>;
}

/// What can be asked of the ACME client.
#[async_trait]
pub trait Acme: Send + Sync + 'static {
    /// Orders the named certificate now, whatever its age; answers when the order has ended.
    ///
    /// # Errors
    /// Why there is no new certificate; the old one stays.
    async fn renew(&self, name: &str) -> Result<Done, Refusal>;

    /// Revokes the named certificate (RFC 8555 section 7.6).
    ///
    /// # Errors
    /// Why it is not revoked.
    async fn revoke(&self, name: &str, reason: Reason) -> Result<Done, Refusal>;

    /// Gives the account at `issuer`, or at each one, a new key (RFC 8555 section 7.3.5).
    ///
    /// # Errors
    /// Why the old key stays.
    async fn rollover(&self, issuer: Option<&str>) -> Result<Done, Refusal>;

    /// Deactivates the account at `issuer`, or at each one, for good (RFC 8555 section 7.3.6).
    ///
    /// # Errors
    /// Why it stays.
    async fn deactivate(&self, issuer: Option<&str>) -> Result<Done, Refusal>;
}

/// An order that was carried out, in a line for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub detail: String,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// Not as things stand now.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for is wrong in itself; `mistakes` lists everything.
    #[error("{detail}")]
    Refused { detail: String, mistakes: Vec<String> },
    /// Somebody else, who is needed for it, does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of our own.
    #[error("{0}")]
    Internal(String),
}

/// Why a certificate is revoked: those of RFC 5280 section 5.3.1 that a subscriber may give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    #[default]
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
}

impl Reason {
    /// Its number in a revocation request.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}
