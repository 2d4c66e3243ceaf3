//! What the engine works by, made from one configuration.
//!
//! Owns the reading of the issuers' files through `fluxheim-trust`; a file that can't be used keeps the whole
//! configuration from being used.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use fluxheim_config::{Acme, AcmeIssuer, Config, HostPattern};
use fluxheim_trust::{Refused, Terms};
use hickory_resolver::TokioResolver;
use instant_acme::Identifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::client::Client;
use super::dns::{self, Provider, ProviderError, Runners};
use super::jws::External;

/// One configuration's ACME.
#[derive(Debug)]
pub struct Settings {
    pub acme: Acme,
    pub(super) issuers: Vec<Issuer>,
    /// That get certificates, each once.
    pub(super) hosts: Vec<Host>,
}

/// A CA and the way to it.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) config: AcmeIssuer,
    pub(super) client: Client,
    pub(super) external: Option<External>,
    /// Makes records of DNS-01, where any are to be made.
    pub(super) dns: Option<Arc<dyn Provider>>,
    /// Looks for those that stand.
    pub(super) resolver: TokioResolver,
}

/// What a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host {
    pub(super) pattern: HostPattern,
    /// As certificates have it: `*.example.com`.
    pub(super) name: String,
}

/// Why an issuer can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Dns(#[from] ProviderError),
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
}

impl Settings {
    /// Reads what `config` names for ACME; `None` where it has none. `runners` are those who run a program for records.
    ///
    /// # Errors
    /// Every file that can't be used, not just the first.
    pub fn load(
        config: &Config,
        terms: &Terms,
        resolver: &TokioResolver,
        runners: Option<&Runners>,
    ) -> Result<Option<Self>, Vec<SettingsError>> {
        let Some(acme) = &config.acme else { return Ok(None) };
        let (mut issuers, mut errors) = (Vec::new(), Vec::new());
        let dns = dns::provider(acme, terms, resolver.clone(), runners).unwrap_or_else(|error| {
            errors.push(error.into());
            None
        });
        for issuer in &acme.issuers {
            match Issuer::load(issuer, terms, resolver, dns.clone()) {
                Ok(issuer) => issuers.push(issuer),
                Err(more) => errors.extend(more),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let hosts: BTreeSet<_> = config.acme_hosts().map(Host::of).collect();
        Ok(Some(Self { acme: acme.clone(), issuers, hosts: hosts.into_iter().collect() }))
    }

    /// The issuers that can validate `host`, in order.
    pub(super) fn issuers_for<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a Issuer> {
        self.issuers.iter().filter(|issuer| issuer.config.challenge.can_validate(&host.pattern))
    }

    /// The issuer of that name.
    #[must_use]
    pub(super) fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.config.name == name)
    }
}

impl Host {
    fn of(pattern: &HostPattern) -> Self {
        let name = match pattern {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Wildcard(below) => format!("*.{below}"),
            HostPattern::Any => "*".to_owned(),
        };
        Self { pattern: pattern.clone(), name }
    }
}

impl Host {
    /// As an order names it (RFC 8555 section 7.1.4, RFC 8738 section 3).
    #[must_use]
    pub(super) fn identifier(&self) -> Identifier {
        match self.name.parse() {
            Ok(ip) => Identifier::Ip(ip),
            Err(_) => Identifier::Dns(self.name.clone()),
        }
    }
}

impl Issuer {
    fn load(
        issuer: &AcmeIssuer,
        terms: &Terms,
        resolver: &TokioResolver,
        dns: Option<Arc<dyn Provider>>,
    ) -> Result<Self, Vec<SettingsError>> {
        let roots = roots(issuer, terms);
        let external = external(issuer, terms);
        match (roots, external) {
            (Ok(roots), Ok(external)) => {
                let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                let client = Client::new(resolver.clone(), Arc::new(tls));
                Ok(Self { config: issuer.clone(), client, external, dns, resolver: resolver.clone() })
            }
            (roots, external) => Err([roots.err(), external.err()].into_iter().flatten().collect()),
        }
    }
}

fn roots(issuer: &AcmeIssuer, terms: &Terms) -> Result<RootCertStore, SettingsError> {
    let mut store = RootCertStore::empty();
    let Some(object) = fluxheim_trust::acme_ca(issuer) else {
        store.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        return Ok(store);
    };
    let file = |reason: String| SettingsError::File { path: object.path.display().to_string(), reason };
    let pem = fluxheim_trust::read(&object, terms)?;
    let cas = fluxheim_trust::ca_certificates(pem.as_bytes())
        .map_err(|error| file(format!("no usable CAs ({error}): give them as PEM")))?;
    for (at, ca) in cas.into_iter().enumerate() {
        store
            .add(CertificateDer::from(ca))
            .map_err(|error| file(format!("certificate {} can't vouch for any other ({error})", at + 1)))?;
    }
    Ok(store)
}

fn external(issuer: &AcmeIssuer, terms: &Terms) -> Result<Option<External>, SettingsError> {
    let Some([id, hmac]) = fluxheim_trust::acme_external_account(issuer) else { return Ok(None) };
    let file = |path: &std::path::Path, reason: &str| SettingsError::File {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    };
    let key_id = fluxheim_trust::read(&id, terms)?;
    let key_id = std::str::from_utf8(key_id.as_bytes()).unwrap_or_default().trim().to_owned();
    if key_id.is_empty() || key_id.chars().any(char::is_control) {
        return Err(file(&id.path, "holds no key id: put the CA's key id in it, on one line"));
    }
    let text = fluxheim_trust::read(&hmac, terms)?;
    let text = std::str::from_utf8(text.as_bytes()).unwrap_or_default().trim().trim_end_matches('=');
    let engines = [BASE64_URL_SAFE_NO_PAD, BASE64_STANDARD_NO_PAD];
    let key = engines.iter().find_map(|engine| engine.decode(text).ok()).map(Zeroizing::new);
    match key {
        Some(key) if key.len() >= LEAST_HMAC => Ok(Some(External::new(key_id, &key))),
        _ => Err(file(&hmac.path, "holds no HMAC key: put the CA's key in it in base64url, on one line")),
    }
}

/// Shorter ones are a slip: RFC 7518 section 3.2 asks for 32, and some CAs give out fewer.
const LEAST_HMAC: usize = 16;
