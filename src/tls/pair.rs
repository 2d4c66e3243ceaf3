//! A certificate with its key, as the TLS library signs with it.
//!
//! Owns that the key fits the certificate, and the count of how keys were kept while they were read.

use std::path::PathBuf;
use std::sync::Arc;

use fluxheim_config::Certificate;
use fluxheim_trust::{Keeping, PairRead, PemKey, Refused, Secret};
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::CertificateDer;

use super::key;

/// How many private keys were read through which kind of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeysRead {
    pub secret_memory: usize,
    pub locked: usize,
    pub unlocked: usize,
    /// How one of the unlocked ones was kept, which tells why.
    pub worst: Option<Keeping>,
}

impl KeysRead {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.secret_memory += other.secret_memory;
        self.locked += other.locked;
        self.unlocked += other.unlocked;
        self.worst = self.worst.or(other.worst);
    }

    fn count(&mut self, keeping: Keeping) {
        match keeping {
            Keeping::SecretMemory => self.secret_memory += 1,
            Keeping::Locked => self.locked += 1,
            Keeping::Unlocked(_) | Keeping::Heap => {
                self.unlocked += 1;
                self.worst = Some(keeping);
            }
        }
    }
}

/// Why a pair can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The trust rules refuse a file.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The file holds no usable PEM.
    #[error("{path}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The two files don't belong together, or the key's kind is not supported.
    #[error("certificate {name:?}: {cert} and {key} can't be used together: {}", mismatch(source))]
    Pair {
        /// Name in the configuration.
        name: String,
        cert: PathBuf,
        key: PathBuf,
        source: Box<rustls::Error>,
    },
}

pub(super) fn signing_pair(
    certificate: &Certificate,
    read: &PairRead,
    keys_read: &mut KeysRead,
) -> Result<CertifiedKey, CertificateError> {
    let fail = |source| CertificateError::Pair {
        name: certificate.name.clone(),
        cert: certificate.cert.clone(),
        key: certificate.key.clone(),
        source: Box::new(source),
    };
    let chain = chain(certificate, &read.chain)?;
    let pem = private_key(certificate, &read.key, keys_read)?;
    // The library parses in place, so no DER is anywhere but in the pages, and those end here.
    let signing: Arc<dyn SigningKey> = any_supported_type(&key::der(&pem)).map_err(fail)?;
    drop(pem);
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        // Unknown: a kind of key that can't tell its public half.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(error) => Err(fail(error)),
    }
}

pub(super) fn chain(
    certificate: &Certificate,
    pem: &Secret,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let fail = |reason: String| CertificateError::Pem { path: certificate.cert.clone(), reason };
    let chain = fluxheim_trust::certificate_chain(pem.as_bytes())
        .map_err(|error| fail(format!("no usable chain ({error}): give it as PEM, leaf first")))?;
    Ok(chain.into_iter().map(CertificateDer::from).collect())
}

/// Counts the worse of the two ways in which the file and the decoded key are kept.
fn private_key(
    certificate: &Certificate,
    pem: &Secret,
    keys_read: &mut KeysRead,
) -> Result<PemKey, CertificateError> {
    let key = PemKey::read(pem.as_bytes()).map_err(|error| CertificateError::Pem {
        path: certificate.key.clone(),
        reason: format!(
            "no usable private key ({error}): give an unencrypted PKCS#8, PKCS#1 or SEC1 key as PEM"
        ),
    })?;
    keys_read.count(pem.keeping().worse(key.keeping()));
    Ok(key)
}

/// What is wrong with a pair, and how to look at it.
fn mismatch(source: &rustls::Error) -> String {
    match source {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate; the output of \
            `openssl x509 -noout -pubkey -in CERT` and `openssl pkey -pubout -in KEY` must be the same"
            .to_owned(),
        other => other.to_string(),
    }
}
