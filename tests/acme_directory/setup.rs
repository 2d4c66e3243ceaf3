//! How the server behaves.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// Everything that a test may want otherwise.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The challenge types that authorizations offer; a wildcard gets those by DNS only.
    pub(crate) challenges: Vec<&'static str>,
    /// Where HTTP-01 asks, at 127.0.0.1, whatever the name.
    pub(crate) http_port: u16,
    /// Where TLS-ALPN-01 connects to, at 127.0.0.1.
    pub(crate) tls_port: u16,
    /// Whom the challenges by DNS ask.
    pub(crate) resolver: Option<SocketAddr>,
    /// How long a validation takes before it begins.
    pub(crate) validation_delay: Duration,
    /// How long an order is `processing` after finalize.
    pub(crate) processing: Duration,
    /// What Retry-After says of what is processing, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// A valid authorization serves the account's next order.
    pub(crate) reuse_authorizations: bool,
    /// External account keys: id and HMAC key; with any, a new account has to be bound.
    pub(crate) external_accounts: Vec<(String, Vec<u8>)>,
    /// Every n-th good nonce is refused nevertheless.
    pub(crate) reject_every: Option<u32>,
    /// How long a certificate lives whose order names no profile.
    pub(crate) life: Duration,
    pub(crate) profiles: Vec<Profile>,
    /// When to renew; without, the directory has no renewalInfo.
    pub(crate) renewal: Option<Window>,
    pub(crate) persist: Draft,
    /// The issuer domain names of dns-persist-01.
    pub(crate) issuers: Vec<String>,
}

/// What an order may name (draft-ietf-acme-profiles).
#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) life: Duration,
}

/// The suggested window (RFC 9773, section 4.2).
#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) when: When,
    /// When to ask again, in seconds.
    pub(crate) retry_after: u64,
}

/// Where the window lies.
#[derive(Clone)]
pub(crate) enum When {
    /// From and to, as parts of the certificate's life.
    OfLife(f64, f64),
    /// As of a mass revocation: whatever the certificate says.
    Between(SystemTime, SystemTime),
}

impl Window {
    pub(crate) fn of_life(from: f64, to: f64) -> Self {
        Self { when: When::OfLife(from, to), retry_after: 1 }
    }

    pub(crate) fn between(from: SystemTime, to: SystemTime) -> Self {
        Self { when: When::Between(from, to), retry_after: 1 }
    }
}

/// Which text of draft-ietf-acme-dns-persist the server speaks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Draft {
    /// `accounturi` is the account's URL.
    One,
    /// `accounturi` is a hash of domain, key and account.
    Two,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            challenges: vec!["http-01", "tls-alpn-01", "dns-01", "dns-persist-01"],
            http_port: 80,
            tls_port: 443,
            resolver: None,
            validation_delay: Duration::ZERO,
            processing: Duration::ZERO,
            retry_after: None,
            reuse_authorizations: false,
            external_accounts: Vec::new(),
            reject_every: None,
            life: Duration::from_secs(90 * 24 * 3600),
            profiles: vec![
                Profile { name: "classic".into(), life: Duration::from_secs(90 * 24 * 3600) },
                Profile { name: "shortlived".into(), life: Duration::from_secs(160 * 3600) },
            ],
            renewal: Some(Window::of_life(0.6, 0.7)),
            persist: Draft::Two,
            issuers: vec!["ca.test".into()],
        }
    }
}
