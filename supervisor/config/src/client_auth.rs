//! Client certificates: whose are believed, whom they let in, and what an upstream is told of them.
//!
//! Owns the validated types, and how names and fingerprints are written; verifies no certificate. Values
//! are made only by [`crate::parse`].

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// `[vhosts.client_auth]` whose mode is not `"off"`: clients are asked for a certificate (RFC 8446 section
/// 4.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    pub mode: ClientAuthMode,
    /// PEM file with the CAs that may vouch for clients.
    pub ca: PathBuf,
    /// Revocation lists in PEM or DER (RFC 5280 section 5). Empty: nothing is asked of any.
    pub crl: Vec<PathBuf>,
    pub revocation: Revocation,
    /// Most certificates a client may show beside its own. Default 4.
    pub verify_depth: u8,
    /// Which of the certificates that the CAs vouch for come in. Default all.
    pub allow: ClientMatch,
}

/// What is done with a client that shows no certificate. One that shows a bad one is refused either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// It comes in, and routes can tell.
    Optional,
    /// It is refused.
    Required,
}

/// What is done where revocation lists don't say whether a certificate is revoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revocation {
    /// Whether only the client's own certificate is looked up, and not those of CAs between. Default false.
    pub leaf_only: bool,
    /// Whether a certificate is good that no list speaks of. Default false.
    pub allow_unknown: bool,
    /// Whether a list is believed after its `nextUpdate`. Default false.
    pub allow_expired: bool,
}

/// Certificates by what stands in them. Of each list that is not empty, one entry must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMatch {
    pub san: Vec<SanPattern>,
    pub fingerprint: Vec<Fingerprint>,
}

impl ClientMatch {
    /// Whether every certificate fits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.san.is_empty() && self.fingerprint.is_empty()
    }
}

/// A subject alternative name (RFC 5280 section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SanPattern {
    /// In lower case.
    Dns(String),
    /// `*.example.com` holds `example.com`: exactly one label stands in front of it.
    DnsBelow(String),
    /// By the letter, as SPIFFE IDs are compared.
    Uri(String),
    /// The part behind the `@` in lower case; the one before it by the letter (RFC 5280 section 7.5).
    Email(String),
    Ip(IpAddr),
}

impl fmt::Display for SanPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::DnsBelow(parent) => write!(f, "*.{parent}"),
            Self::Uri(name) | Self::Email(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// The SHA-256 digest of a certificate's DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// 64 hexadecimal digits in lower case.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `client_certificate` of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientCondition {
    /// The client has shown one that is good.
    Present,
    Absent,
    /// It is one of these.
    Is(ClientMatch),
}

/// `client_identity`: what an upstream is told of the client's certificate. What clients send by these
/// names is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// `Client-Cert` (RFC 9440 section 2.2).
    pub certificate: bool,
    /// `Client-Cert-Chain` (RFC 9440 section 2.3); never without the other.
    pub chain: bool,
    /// Names of fields, in lower case.
    pub subject_header: Option<String>,
    pub san_header: Option<String>,
    pub fingerprint_header: Option<String>,
    pub signature: Option<IdentitySignature>,
}

/// How an upstream can tell that a request came through Fluxheim (RFC 9421, hmac-sha256).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySignature {
    /// The shared secret.
    pub key_file: PathBuf,
    /// What the upstream knows the key by. Default `"fluxheim"`.
    pub key_id: String,
}
