//! Keys, requests for certificates, and certificates: those that a CA issues, and those of our own making
//! that stand in for them.
//!
//! Owns that nothing is taken from a CA that doesn't fit: the key, the name, the time. Keeps nothing.

use std::net::IpAddr;
use std::sync::Arc;

use fluxheim_config::KeyType;
use instant_acme::CertificateIdentifier;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, Der, PrivateKeyDer, ServerName};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// Why a key or a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairError {
    #[error("a key could not be made: {0}")]
    Make(rcgen::Error),
    #[error("the key that is kept can't be read: {0}")]
    Key(String),
    #[error("the chain can't be read: {0}")]
    Chain(String),
    #[error("the certificate is for another key than the one that was asked for")]
    OtherKey,
    #[error("the certificate is not for {0}")]
    OtherName(String),
    #[error("the certificate ended already: is this machine's clock right?")]
    Ended,
}

/// What matters of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Seconds since 1970.
    pub(super) not_before: u64,
    /// Seconds since 1970.
    pub(super) not_after: u64,
    /// What ARI calls it (RFC 9773 section 4.1), if it has an authority key identifier.
    pub(super) id: Option<CertificateIdentifier<'static>>,
    /// When it came, in seconds since 1970 by this machine's clock; 0 where that is not known.
    pub(super) issued: u64,
}

impl Facts {
    /// Whether much of its life was over when it came: this machine's clock is ahead of the CA's.
    #[must_use]
    pub(super) const fn came_late(&self) -> bool {
        self.issued.saturating_sub(self.not_before) > self.not_after.saturating_sub(self.not_before) / 3
    }

    /// Before that it is not renewed for its age. By a clock that is ahead the next one would be due at once too,
    /// and the next, as fast as they come. A clock that was set back since is right by now.
    #[must_use]
    pub(super) fn earliest_renewal(&self, now: u64) -> u64 {
        if self.came_late() && self.issued <= now {
            let life = self.not_after.saturating_sub(self.not_before);
            let left = self.not_after.saturating_sub(self.issued);
            // By a clock that is near the end, or past it, hardly any is left.
            self.issued + (left / 3).max(life / 30)
        } else {
            0
        }
    }
}

/// A new private key in PEM (PKCS#8); may take seconds for RSA.
///
/// # Errors
/// [`PairError::Make`]
pub(super) fn new_key(kind: KeyType) -> Result<Zeroizing<String>, PairError> {
    let pair = match kind {
        KeyType::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    };
    pair.map(|pair| Zeroizing::new(pair.serialize_pem())).map_err(PairError::Make)
}

/// A certificate signing request (RFC 2986) for `host`, in DER.
///
/// # Errors
/// The key can't be read, or `host` is no name.
pub(super) fn request(key: &str, host: &str) -> Result<Vec<u8>, PairError> {
    let pair = KeyPair::from_pem(key).map_err(|error| PairError::Key(error.to_string()))?;
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(PairError::Make)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&pair).map_err(PairError::Make)?;
    Ok(request.der().to_vec())
}

/// The chain and its key, ready to be served.
///
/// # Errors
/// Either can't be read, or they don't belong together.
pub(super) fn certified(chain: &str, key: &str) -> Result<CertifiedKey, PairError> {
    let certificates = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| PairError::Chain(error.to_string()))?;
    if certificates.is_empty() {
        return Err(PairError::Chain("it has no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let key = key.map_err(|error| PairError::Key(error.to_string()))?;
    join(certificates, &key)
}

fn join(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<CertifiedKey, PairError> {
    let key = any_supported_type(key).map_err(|error| PairError::Key(error.to_string()))?;
    let pair = CertifiedKey::new(chain, key);
    pair.keys_match().map_err(|_| PairError::OtherKey)?;
    Ok(pair)
}

/// What its leaf says.
///
/// # Errors
/// It can't be read.
pub(super) fn facts(pair: &CertifiedKey) -> Result<Facts, PairError> {
    let unreadable = || PairError::Chain("its first certificate is damaged".to_owned());
    let der = pair.cert.first().ok_or_else(unreadable)?;
    let (_, leaf) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    Ok(Facts {
        not_before: seconds(leaf.validity().not_before.timestamp()),
        not_after: seconds(leaf.validity().not_after.timestamp()),
        id: id(&leaf),
        issued: 0,
    })
}

/// RFC 9773 section 4.1: the key identifier of who issued it, and the serial number as it is encoded.
fn id(leaf: &X509Certificate<'_>) -> Option<CertificateIdentifier<'static>> {
    let issuer = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(issuer) => issuer.key_identifier.as_ref(),
        _ => None,
    })?;
    let serial = Der::from_slice(leaf.raw_serial());
    Some(CertificateIdentifier::new(Der::from_slice(issuer.0), serial).into_owned())
}

/// Whether it can be served for `host` at `now`.
///
/// # Errors
/// Why not.
pub(super) fn check(pair: &CertifiedKey, host: &str, now: u64) -> Result<Facts, PairError> {
    let facts = facts(pair)?;
    let der = pair.cert.first().ok_or(PairError::OtherKey)?;
    let leaf = webpki::EndEntityCert::try_from(der).map_err(|error| PairError::Chain(error.to_string()))?;
    // A wildcard is asked for by one of the names that it stands for.
    let asked = host.replacen("*.", "any.", 1);
    let other = || PairError::OtherName(host.to_owned());
    let name = ServerName::try_from(asked).map_err(|_| other())?;
    leaf.verify_is_valid_for_subject_name(&name).map_err(|_| other())?;
    if facts.not_after <= now {
        return Err(PairError::Ended);
    }
    Ok(facts)
}

/// What is shown for `host` before it has a certificate: one that nobody believes, and that says why.
///
/// # Errors
/// [`PairError::Make`]
pub(super) fn placeholder(host: &str) -> Result<CertifiedKey, PairError> {
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(PairError::Make)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, PLACEHOLDER);
    params.distinguished_name.push(DnType::OrganizationName, "Fluxheim");
    self_signed(&params)
}

/// What the validation of `host` by TLS-ALPN-01 is answered with (RFC 8737 section 3).
///
/// # Errors
/// [`PairError::Make`]
pub(super) fn alpn_answer(host: &str, digest: &[u8]) -> Result<CertifiedKey, PairError> {
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(PairError::Make)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    self_signed(&params)
}

fn self_signed(params: &CertificateParams) -> Result<CertifiedKey, PairError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PairError::Make)?;
    let certificate = params.self_signed(&key).map_err(PairError::Make)?;
    let key = Zeroizing::new(key.serialize_der());
    let key = PrivateKeyDer::try_from(key.as_slice()).map_err(|error| PairError::Key(error.to_owned()))?;
    let key = any_supported_type(&key).map_err(|error| PairError::Key(error.to_string()))?;
    // Not compared by what the library reads of it: it knows no extension of RFC 8737, which is critical.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// The server name that a CA asks for when it validates `host` by TLS-ALPN-01: the name itself, or that of an
/// address in the reverse tree (RFC 8738 section 6).
#[must_use]
pub(super) fn alpn_name(host: &str) -> Arc<str> {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa").into()
        }
        Ok(IpAddr::V6(v6)) => {
            let digits: Vec<_> = format!("{:032x}", u128::from(v6)).chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", digits.join(".")).into()
        }
        Err(_) => host.into(),
    }
}

/// The subject's common name of placeholders.
pub const PLACEHOLDER: &str = "no certificate yet";

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_placeholder_is_for_its_host_and_says_what_it_is() {
        for host in ["a.example", "*.a.example", "192.0.2.1", "2001:db8::1"] {
            let pair = placeholder(host).unwrap();
            check(&pair, host, NOW).unwrap();
            let (_, leaf) = X509Certificate::from_der(&pair.cert[0]).unwrap();
            assert!(leaf.subject().to_string().contains(PLACEHOLDER));
        }
        let pair = placeholder("a.example").unwrap();
        assert!(matches!(check(&pair, "b.example", NOW), Err(PairError::OtherName(_))));
        assert!(matches!(check(&pair, "a.example", u64::MAX), Err(PairError::Ended)));
    }

    #[test]
    fn a_chain_is_taken_with_its_own_key_only() {
        let key = new_key(KeyType::EcdsaP384).unwrap();
        let other = new_key(KeyType::EcdsaP384).unwrap();
        let pair = KeyPair::from_pem(&key).unwrap();
        let chain = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
        assert!(certified(&chain.pem(), &key).is_ok());
        assert!(matches!(certified(&chain.pem(), &other), Err(PairError::OtherKey)));
        assert!(matches!(certified("", &key), Err(PairError::Chain(_))));
        assert!(request(&key, "*.a.example").is_ok() && request("no key", "a.example").is_err());
    }

    #[test]
    fn addresses_are_asked_for_in_the_reverse_tree() {
        assert_eq!(&*alpn_name("a.example"), "a.example");
        assert_eq!(&*alpn_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let v6 = alpn_name("2001:db8::1");
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }
}
