//! What is kept of accounts, orders, certificates and failures, as bytes of a store.
//!
//! Owns the formats. A certificate and its key are one value: JSON in the first line, then both in PEM, which
//! people can read. Secrets are wiped when they are dropped.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// Why a value can't be read.
#[derive(Debug, thiserror::Error)]
#[error("what is kept can't be read ({0}): is it of a later version?")]
pub(super) struct Unreadable(String);

/// An account with a CA (RFC 8555 section 7.1.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AccountRecord {
    pub(super) directory: String,
    /// `None` until the CA has confirmed it.
    pub(super) url: Option<String>,
    /// PKCS#8 in base64.
    pub(super) key: Secret,
    /// A key that is to replace it, kept before the CA hears of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_key: Option<Secret>,
    #[serde(default)]
    pub(super) contact: Vec<String>,
    /// Deactivated by the operator; nothing is ordered with it, and no other is opened by itself.
    #[serde(default)]
    pub(super) deactivated: bool,
}

/// An order that is under way (RFC 8555 section 7.1.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    pub(super) issuer: String,
    pub(super) directory: String,
    /// The URL of the account that it belongs to.
    pub(super) account: String,
    /// `None` until the CA has answered.
    pub(super) url: Option<String>,
    /// Of the certificate, in PEM; kept before the CA hears of it.
    pub(super) key: Secret,
    pub(super) profile: Option<String>,
    /// Seconds since 1970.
    pub(super) begun: u64,
}

/// Of a certificate that was issued.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) issuer: String,
    pub(super) directory: String,
    /// The URL of its order.
    pub(super) order: String,
    pub(super) profile: Option<String>,
    /// Seconds since 1970.
    pub(super) issued: u64,
}

/// A certificate, its chain and its key.
#[derive(Debug, Clone)]
pub(super) struct CertificateRecord {
    pub(super) origin: Origin,
    pub(super) key: Secret,
    pub(super) chain: String,
}

/// What came of tries, and what a CA said of when to try.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ScheduleRecord {
    /// In a row.
    pub(super) failures: u32,
    /// Not before that; seconds since 1970, like all others.
    pub(super) not_before: u64,
    /// When that was decided: a clock that shows less was set back since.
    pub(super) decided: u64,
    pub(super) error: Option<String>,
    /// Issuers that asked to wait, until when.
    pub(super) waits: BTreeMap<String, u64>,
    /// The window that the CA suggests for the renewal of the certificate `of` (RFC 9773).
    pub(super) window: Option<(u64, u64)>,
    /// What ARI calls that certificate.
    pub(super) of: Option<String>,
    /// When to ask the CA again.
    pub(super) ask: u64,
    /// From when until when the certificate was good that an operator had revoked: it is replaced as soon as may be.
    pub(super) revoked: Option<(u64, u64)>,
    /// Records that are to be taken back, or may be: each is here before it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<LeftRecord>,
}

/// A record in DNS that was made for an order, or may have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeftRecord {
    /// The name that the CA asks for, in front of any CNAME.
    pub(super) name: String,
    pub(super) value: String,
    /// Who made it, as `[acme.dns]` has it.
    pub(super) provider: String,
    /// How many times it could not be taken back.
    #[serde(default)]
    pub(super) tries: u32,
    /// When to try again.
    #[serde(default)]
    pub(super) not_before: u64,
}

/// What a CA is to find, for replicas that did not order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChallengeRecord {
    /// `http-01` or `tls-alpn-01`
    pub(super) kind: String,
    pub(super) host: String,
    pub(super) token: String,
    pub(super) key_authorization: String,
    /// Seconds since 1970: of no use after that.
    pub(super) until: u64,
}

/// A text that is wiped when it is dropped, and never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// `record` as it is kept.
///
/// # Errors
/// Never of these types; said all the same.
pub(super) fn write<T: Serialize>(record: &T) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    serde_json::to_vec(record).map(Zeroizing::new).map_err(|error| Unreadable(error.to_string()))
}

/// What [`write`] wrote.
///
/// # Errors
/// [`Unreadable`]
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    // Not the error's own text: it may show a part of a secret.
    serde_json::from_slice(bytes)
        .map_err(|error| Unreadable(format!("line {}, column {}", error.line(), error.column())))
}

impl CertificateRecord {
    /// As it is kept.
    ///
    /// # Errors
    /// Never of this type; said all the same.
    pub(super) fn write(&self) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let mut bytes = write(&self.origin)?;
        for part in ["\n", self.key.0.trim_end(), "\n", self.chain.trim_end(), "\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        Ok(bytes)
    }

    /// What [`CertificateRecord::write`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let broken = |what: &str| Unreadable(what.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| broken("not UTF-8"))?;
        let (origin, rest) = text.split_once('\n').ok_or_else(|| broken("one line"))?;
        let at = rest.find(CHAIN).ok_or_else(|| broken("no certificate"))?;
        let (key, chain) = rest.split_at(at);
        Ok(Self { origin: read(origin.as_bytes())?, key: Secret(key.to_owned()), chain: chain.to_owned() })
    }
}

const CHAIN: &str = "-----BEGIN CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_as_it_was_written() {
        let record = CertificateRecord {
            origin: Origin {
                issuer: "default".into(),
                directory: "https://ca/".into(),
                order: "https://ca/order/1".into(),
                profile: None,
                issued: 7,
            },
            key: Secret("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n".into()),
            chain: format!("{CHAIN}\nAA==\n-----END CERTIFICATE-----\n"),
        };
        let bytes = record.write().unwrap();
        let again = CertificateRecord::read(&bytes).unwrap();
        assert_eq!((again.key.0.clone(), &again.chain), (record.key.0.clone(), &record.chain));
        assert_eq!(again.origin.order, record.origin.order);
        assert!((0..bytes.len() - 1).all(|end| match CertificateRecord::read(&bytes[..end]) {
            Ok(cut) => cut.chain.len() < record.chain.len(),
            Err(_) => true,
        }));
    }

    #[test]
    fn later_versions_may_add_to_what_is_kept() {
        let schedule: ScheduleRecord = read(br#"{"failures":2,"later":true}"#).unwrap();
        assert_eq!((schedule.failures, schedule.not_before, schedule.left.len()), (2, 0, 0));
        assert!(!String::from_utf8_lossy(&write(&schedule).unwrap()).contains("left"), "as before");
        assert!(read::<OrderRecord>(b"{}").is_err());
    }

    #[test]
    fn an_error_shows_nothing_of_the_value() {
        let error = read::<AccountRecord>(br#"{"directory":1,"key":"c2VjcmV0"}"#).unwrap_err().to_string();
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
