//! What a certificate says of itself: for whom it is, and until when.
//!
//! Owns reading that from the leaf. Whether it is right is `fluxheim-trust`'s to judge.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Of one certificate; empty where it can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// DNS names in lower case, and addresses (RFC 5280 section 4.2.1.6).
    pub names: Arc<[String]>,
    /// Seconds since 1970: when it begins to be valid.
    pub not_before: i64,
    /// Seconds since 1970: when it ends.
    pub not_after: i64,
    /// Who certified it.
    pub issuer: String,
}

impl Default for About {
    fn default() -> Self {
        Self { names: Arc::from([]), not_before: 0, not_after: 0, issuer: String::new() }
    }
}

impl About {
    /// Of the leaf of `pair`.
    #[must_use]
    pub fn of(pair: &CertifiedKey) -> Self {
        pair.cert.first().and_then(|leaf| Self::read(leaf)).unwrap_or_default()
    }

    fn read(der: &[u8]) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
        let validity = leaf.validity();
        Some(Self {
            names,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            issuer: leaf.issuer().to_string(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}
