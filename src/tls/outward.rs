//! TLS towards upstreams: whose certificates are believed, and what is shown when one asks for ours.
//!
//! Owns reading both through `fluxheim-trust`, for all upstreams at once; a file that can't be used
//! keeps the whole configuration from being used. Handshakes are the framework's.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use fluxheim_config::{Certificate, Config, Upstream};
use fluxheim_trust::{PemKey, Terms};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::pair::{CertificateError, KeysRead, chain, signing_pair};

/// What connections to one upstream believe and show.
#[derive(Debug, Clone)]
pub struct Outward {
    pub ca: Arc<CaType>,
    pub client: Option<Arc<CertKey>>,
    /// Of all that was read: of connections with different ones, neither may stand in for the other.
    pub digest: u64,
}

/// Of every upstream, in order; `None` where it has no TLS.
#[derive(Debug, Default)]
pub struct Outwards {
    pub all: Vec<Option<Outward>>,
    pub keys_read: KeysRead,
    /// What is worth mending about what is used all the same.
    pub warnings: Vec<String>,
}

impl Outwards {
    /// Reads what the upstreams of `config` name.
    ///
    /// # Errors
    /// Every file that can't be used, not just the first.
    pub fn load(config: &Config, terms: &Terms) -> Result<Self, Vec<CertificateError>> {
        let (mut outwards, mut errors) = (Self::default(), Vec::new());
        for upstream in &config.upstreams {
            match outwards.read(upstream, terms) {
                Ok(outward) => outwards.all.push(outward),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(outwards) } else { Err(errors) }
    }

    fn read(&mut self, upstream: &Upstream, terms: &Terms) -> Result<Option<Outward>, Vec<CertificateError>> {
        let Some(tls) = &upstream.tls else { return Ok(None) };
        let mut digest = DefaultHasher::new();
        (tls.min_version as u8, tls.insecure_skip_verify).hash(&mut digest);
        let ca = self.own_cas(upstream, terms, &mut digest);
        let client = self.client(upstream, terms, &mut digest);
        match (ca, client) {
            (Ok(ca), Ok(client)) => {
                let ca = ca.unwrap_or_else(|| Arc::clone(public()));
                Ok(Some(Outward { ca, client, digest: digest.finish() }))
            }
            (ca, client) => {
                Err(ca.err().into_iter().flatten().chain(client.err().into_iter().flatten()).collect())
            }
        }
    }

    /// The CAs of its own, if it names any.
    fn own_cas(
        &mut self,
        upstream: &Upstream,
        terms: &Terms,
        digest: &mut DefaultHasher,
    ) -> Result<Option<Arc<CaType>>, Vec<CertificateError>> {
        let Some(object) = fluxheim_trust::ca_bundle(upstream) else { return Ok(None) };
        let pem = fluxheim_trust::read(&object, terms).map_err(|refused| vec![refused.into()])?;
        let cas = fluxheim_trust::ca_certificates(pem.as_bytes()).map_err(|error| {
            vec![unusable(&object.path, &format!("no usable CAs ({error}): give them as PEM"))]
        })?;
        check(&object.path, &cas)?;
        for (at, ca) in cas.iter().enumerate() {
            if let Err(error) = webpki::anchor_from_trusted_cert(&CertificateDer::from(ca.as_slice())) {
                let reason =
                    format!("certificate {} can't vouch for any other ({error}): take it out", at + 1);
                return Err(vec![unusable(&object.path, &reason)]);
            }
        }
        self.warnings
            .extend(fluxheim_trust::no_cas(&object.path, pem.as_bytes()).map(|warning| warning.to_string()));
        cas.hash(digest);
        Ok(Some(wrapped(cas)))
    }

    /// The framework takes the key as bytes and parses them for each connection, so they stay in memory
    /// that is like any other.
    fn client(
        &mut self,
        upstream: &Upstream,
        terms: &Terms,
        digest: &mut DefaultHasher,
    ) -> Result<Option<Arc<CertKey>>, Vec<CertificateError>> {
        let Some(pair) = fluxheim_trust::client_pair(upstream) else { return Ok(None) };
        let read = fluxheim_trust::read_pair(&pair, terms)
            .map_err(|refused| refused.into_iter().map(CertificateError::Refused).collect::<Vec<_>>())?;
        let named = Certificate { name: pair.name, cert: pair.cert, key: pair.key, ocsp: None };
        signing_pair(&named, &read, &mut self.keys_read).map_err(|error| vec![error])?;
        let chain = chain(&named, &read.chain).map_err(|error| vec![error])?;
        let key = PemKey::read(read.key.as_bytes())
            .map_err(|error| vec![unusable(&named.key, &format!("no usable private key ({error})"))])?;
        let chain: Vec<Vec<u8>> = chain.iter().map(|certificate| certificate.as_ref().to_vec()).collect();
        check(&named.cert, &chain)?;
        (&chain, key.der()).hash(digest);
        self.warnings.extend(read.warnings);
        Ok(Some(Arc::new(CertKey::new(chain, key.der().to_vec()))))
    }
}

/// Reads what one upstream names; `None` where it has no TLS.
///
/// # Errors
/// Every file that can't be used.
pub fn read_outward(upstream: &Upstream, terms: &Terms) -> Result<Option<Outward>, Vec<CertificateError>> {
    let mut outwards = Outwards::default();
    let outward = outwards.read(upstream, terms)?;
    outwards.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(outward)
}

/// The framework takes for granted that certificates can be parsed.
fn check(path: &Path, certificates: &[Vec<u8>]) -> Result<(), Vec<CertificateError>> {
    let damaged = |der: &Vec<u8>| !X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
    match certificates.iter().position(damaged) {
        None => Ok(()),
        Some(at) => Err(vec![unusable(path, &format!("certificate {} is damaged: copy it anew", at + 1))]),
    }
}

fn unusable(path: &Path, reason: &str) -> CertificateError {
    CertificateError::Pem { path: path.to_owned(), reason: reason.to_owned() }
}

fn wrapped(certificates: Vec<Vec<u8>>) -> Arc<CaType> {
    certificates.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect()
}

/// The CAs that browsers believe, as of the version that is compiled in.
fn public() -> &'static Arc<CaType> {
    static PUBLIC: OnceLock<Arc<CaType>> = OnceLock::new();
    PUBLIC.get_or_init(|| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| root.as_ref().to_vec());
        wrapped(roots.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_ca_can_be_parsed() {
        let roots: Vec<_> =
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| root.as_ref().to_vec()).collect();
        assert!(check(Path::new("public"), &roots).is_ok() && roots.len() > 100);
        assert_eq!(public().len(), roots.len());
    }
}
