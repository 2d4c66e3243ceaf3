//! Who a client is by the certificate that it has shown.
//!
//! Owns the facts, not how they are read or judged.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a client's certificate says; made of one that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// In the form of RFC 4514, printable ASCII alone.
    pub subject: String,
    /// Who certified it, likewise.
    pub issuer: String,
    /// In hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The names of kinds that are known here, in the order of the certificate.
    pub sans: Vec<San>,
    /// DER, the client's own certificate first, then as it was shown.
    pub chain: Vec<Vec<u8>>,
    /// Seconds since 1970: when it begins to be valid.
    pub not_before: i64,
    /// Seconds since 1970: when it ends.
    pub not_after: i64,
}

impl ClientIdentity {
    /// 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn fingerprint_text(&self) -> String {
        hex_text(&self.fingerprint)
    }
}

/// A certificate that a client has shown, and by what it was found good.
#[derive(Debug)]
pub struct ShownCertificate {
    pub identity: ClientIdentity,
    by: AtomicU64,
    /// Seconds since 1970.
    at: AtomicU64,
}

impl ShownCertificate {
    /// Found good at `now`, in seconds since 1970, by the verifier of that number.
    #[must_use]
    pub const fn new(identity: ClientIdentity, by: u64, now: u64) -> Self {
        Self { identity, by: AtomicU64::new(by), at: AtomicU64::new(now) }
    }

    /// Whether the verifier of that number has found it good within the last minute: beyond it the
    /// certificate, or what it was judged by, may have expired meanwhile.
    #[must_use]
    pub fn is_fresh(&self, by: u64, now: u64) -> bool {
        let age = now.checked_sub(self.at.load(Ordering::Acquire));
        self.by.load(Ordering::Acquire) == by && age.is_some_and(|age| age <= FRESH)
    }

    /// Found good once more. The time goes first: whoever sees the new verifier must not see the time of
    /// an older one.
    pub fn refresh(&self, by: u64, now: u64) {
        self.at.store(now, Ordering::Release);
        self.by.store(by, Ordering::Release);
    }
}

/// Seconds.
const FRESH: u64 = 60;

/// Two hexadecimal digits a byte, in lower case.
#[must_use]
pub fn hex_text(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(super::hex(digit.into()))).collect()
}

/// A subject alternative name (RFC 5280 section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    Dns(String),
    Uri(String),
    Email(String),
    Ip(IpAddr),
}

/// As OpenSSL writes it: `DNS:a.example`.
impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(name) => write!(f, "URI:{name}"),
            Self::Email(name) => write!(f, "email:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_good_is_looked_at_again_by_another_and_after_a_minute() {
        let identity = ClientIdentity {
            subject: String::new(),
            issuer: String::new(),
            serial: String::new(),
            fingerprint: [0xab; 32],
            sans: Vec::new(),
            chain: Vec::new(),
            not_before: 0,
            not_after: 0,
        };
        assert_eq!(identity.fingerprint_text(), "ab".repeat(32));
        let shown = ShownCertificate::new(identity, 1, 1000);
        assert!(shown.is_fresh(1, 1000) && shown.is_fresh(1, 1060));
        // A clock that was set back tells nothing.
        assert!(!shown.is_fresh(1, 1061) && !shown.is_fresh(2, 1000) && !shown.is_fresh(1, 999));
        shown.refresh(2, 1061);
        assert!(shown.is_fresh(2, 1061) && !shown.is_fresh(1, 1061));
    }
}
