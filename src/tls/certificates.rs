//! Certificates and their keys, loaded once and looked up by name.
//!
//! Owns the pairing (key fits certificate), and the choice for a server name: a vhost's own
//! certificate first, then names in the certificates, then the first certificate of the file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use fluxheim_config::{Certificate, Config, HostPattern};
use fluxheim_trust::{Keeping, PairRead, PemKey, Refused, Secret, Terms};
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::key;

/// The certificates of a configuration.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Keyed by what stands after `*.`; stands for exactly one label (RFC 9525 section 6.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
    keys_read: KeysRead,
    warnings: Vec<String>,
}

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

impl Certificates {
    /// Reads and pairs every certificate of `config`.
    ///
    /// # Errors
    /// Every pair that can't be used, not just the first.
    pub fn load(config: &Config, terms: &Terms) -> Result<Self, Vec<CertificateError>> {
        let (mut pairs, mut errors, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        let mut keys_read = KeysRead::default();
        for (index, certificate) in config.tls.certificates.iter().enumerate() {
            let Some(pair) = fluxheim_trust::pair(config, index) else { continue };
            match fluxheim_trust::read_pair(&pair, terms) {
                Ok(read) => match signing_pair(certificate, &read, &mut keys_read) {
                    Ok(pair) => {
                        pairs.push(Arc::new(pair));
                        warnings.extend(read.warnings);
                    }
                    Err(error) => errors.push(error),
                },
                Err(refused) => errors.extend(refused.into_iter().map(CertificateError::Refused)),
            }
        }
        if errors.is_empty() {
            Ok(Self { keys_read, warnings, ..Self::index(config, &pairs) })
        } else {
            Err(errors)
        }
    }

    /// What is worth mending about certificates and keys that are used all the same.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How the keys were kept while they were read.
    #[must_use]
    pub const fn keys_read(&self) -> &KeysRead {
        &self.keys_read
    }

    fn index(config: &Config, pairs: &[Arc<CertifiedKey>]) -> Self {
        let mut table = Self { first: pairs.first().cloned(), ..Self::default() };
        for vhost in &config.vhosts {
            let Some(pair) = vhost.certificate.own().first().and_then(|index| pairs.get(*index)) else {
                continue;
            };
            vhost.hosts.iter().for_each(|host| table.add_host(host, pair));
        }
        for pair in pairs {
            dns_names(pair).iter().for_each(|name| table.add_name(name, pair));
        }
        table
    }

    fn add_host(&mut self, host: &HostPattern, pair: &Arc<CertifiedKey>) {
        match host {
            HostPattern::Exact(name) => {
                self.exact.entry(name.clone()).or_insert_with(|| Arc::clone(pair));
            }
            HostPattern::Wildcard(parent) => {
                self.wildcard.entry(parent.clone()).or_insert_with(|| Arc::clone(pair));
            }
            HostPattern::Any => self.first = Some(Arc::clone(pair)),
        }
    }

    fn add_name(&mut self, name: &str, pair: &Arc<CertifiedKey>) {
        let name = name.to_ascii_lowercase();
        let host = match name.strip_prefix("*.") {
            Some(parent) => HostPattern::Wildcard(parent.to_owned()),
            None => HostPattern::Exact(name),
        };
        self.add_host(&host, pair);
    }

    /// The certificate for a server name, or for a client that sent none.
    #[must_use]
    pub fn choose(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let by_name = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.exact.get(&name).or_else(|| self.wildcard.get(parent?))
        });
        by_name.or(self.first.as_ref()).cloned()
    }
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

/// The DNS names that a leaf is valid for; none when it can't be read.
fn dns_names(pair: &CertifiedKey) -> Vec<String> {
    let Some(leaf) = pair.cert.first() else { return Vec::new() };
    let Ok(leaf) = EndEntityCert::try_from(leaf) else { return Vec::new() };
    leaf.valid_dns_names().map(str::to_owned).collect()
}
