//! The certificates of a configuration, loaded once and looked up by name.
//!
//! Owns the choice for a server name: what its vhost names first, then what is for that name, then what
//! stands in for all others; of several, the first whose signatures the client can verify.

use std::collections::HashMap;
use std::sync::Arc;

use fluxheim_config::{Config, VhostCertificate};
use fluxheim_trust::Terms;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::pair::{CertificateError, KeysRead, signing_pair};
use super::shown::Shown;
use super::tickets::TicketKeys;
use crate::route::Hosts;

/// The certificates of a configuration, and what its vhosts say of them.
#[derive(Debug, Default)]
pub struct Certificates {
    loaded: Vec<Loaded>,
    hosts: Arc<Hosts>,
    /// Of each vhost.
    named: Arc<[VhostCertificate]>,
    by_name: ByName,
    /// What stands in where nothing is for a name.
    first: Pairs,
    /// Those of a file.
    ticket_keys: Option<Arc<TicketKeys>>,
}

/// One certificate of `[[tls.certificates]]` as read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// In the configuration.
    pub name: String,
    pub shown: Arc<Shown>,
    /// What is worth mending.
    pub warnings: Vec<String>,
    pub keys_read: KeysRead,
}

/// Certificates for the same name, the preferred first.
pub(super) type Pairs = Vec<Arc<Shown>>;

/// What there is for a name that no certificate was named for.
#[derive(Debug)]
pub(super) enum Wanted {
    Pairs(Pairs),
    /// The vhost takes only what ACME has issued.
    Issued,
    /// Nothing is for the name; these stand in, where that is wanted.
    Standing(Pairs),
}

impl Certificates {
    /// Reads and pairs every certificate of `config`.
    ///
    /// # Errors
    /// Every pair that can't be used, not just the first.
    pub fn load(config: &Config, terms: &Terms) -> Result<Self, Vec<CertificateError>> {
        let (mut loaded, mut errors) = (Vec::new(), Vec::new());
        for index in 0..config.tls.certificates.len() {
            match Self::read_one(config, index, terms) {
                Ok(one) => loaded.push(one),
                Err(more) => errors.extend(more),
            }
        }
        let ticket_keys = read_ticket_keys(config, terms).map_err(|error| errors.push(error)).ok().flatten();
        if !errors.is_empty() {
            return Err(errors);
        }
        let hosts = Arc::new(Hosts::new(&config.vhosts));
        let named = config.vhosts.iter().map(|vhost| vhost.certificate.clone()).collect();
        Ok(Self { ticket_keys, ..Self::of(loaded, hosts, named) })
    }

    /// Reads and pairs the certificate at `index` of `config.tls.certificates`.
    ///
    /// # Errors
    /// Everything that is wrong with the pair.
    pub fn read_one(config: &Config, index: usize, terms: &Terms) -> Result<Loaded, Vec<CertificateError>> {
        let (Some(certificate), Some(pair)) =
            (config.tls.certificates.get(index), fluxheim_trust::pair(config, index))
        else {
            return Err(Vec::new());
        };
        let read = fluxheim_trust::read_pair(&pair, terms)
            .map_err(|refused| refused.into_iter().map(CertificateError::Refused).collect::<Vec<_>>())?;
        let mut keys_read = KeysRead::default();
        let pair = signing_pair(certificate, &read, &mut keys_read).map_err(|error| vec![error])?;
        let (mut warnings, name) = (read.warnings, certificate.name.clone());
        let shown = match fluxheim_trust::ocsp_response(config, index) {
            Some(object) => {
                let response =
                    fluxheim_trust::read(&object, terms).map_err(|refused| vec![refused.into()])?;
                let (shown, warning) = Shown::with_response(pair, &object.path, response.as_bytes());
                warnings.extend(warning);
                shown
            }
            None => Shown::bare(pair),
        };
        Ok(Loaded { name, shown: Arc::new(shown), warnings, keys_read })
    }

    /// The same with some pairs in place of the old ones, each at its index in the configuration.
    #[must_use]
    pub fn with(&self, pairs: impl IntoIterator<Item = (usize, Loaded)>) -> Self {
        let mut loaded = self.loaded.clone();
        for (index, pair) in pairs {
            if let Some(place) = loaded.get_mut(index) {
                *place = pair;
            }
        }
        let ticket_keys = self.ticket_keys.clone();
        Self { ticket_keys, ..Self::of(loaded, Arc::clone(&self.hosts), Arc::clone(&self.named)) }
    }

    fn of(loaded: Vec<Loaded>, hosts: Arc<Hosts>, named: Arc<[VhostCertificate]>) -> Self {
        let by_name = ByName::of(loaded.iter().map(|one| &one.shown));
        let first = loaded.first().map_or_else(Pairs::new, |first| {
            let alike = loaded.iter().filter(|other| other.shown.about.names == first.shown.about.names);
            preferred(alike.map(|one| Arc::clone(&one.shown)).collect())
        });
        Self { loaded, hosts, named, by_name, first, ticket_keys: None }
    }

    /// Each as it was read.
    #[must_use]
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    /// What is worth mending about certificates and keys that are used all the same.
    pub fn warnings(&self) -> impl Iterator<Item = &String> {
        self.loaded.iter().flat_map(|one| &one.warnings)
    }

    /// The keys of session tickets that a file has.
    #[must_use]
    pub const fn ticket_keys(&self) -> Option<&Arc<TicketKeys>> {
        self.ticket_keys.as_ref()
    }

    /// How the keys were kept while they were read.
    #[must_use]
    pub fn keys_read(&self) -> KeysRead {
        self.loaded.iter().fold(KeysRead::default(), |mut sum, one| {
            sum.add(one.keys_read);
            sum
        })
    }

    /// What a client gets that asks for `name`, or for none.
    pub(super) fn wanted(&self, name: Option<&str>) -> Wanted {
        let vhost = name.and_then(|name| self.hosts.named(name));
        match vhost.and_then(|vhost| self.named.get(vhost)) {
            Some(VhostCertificate::Own(own)) => Wanted::Pairs(self.own(own)),
            Some(VhostCertificate::Acme) => Wanted::Issued,
            Some(VhostCertificate::ByName) | None => match name.and_then(|name| self.by_name.find(name)) {
                Some(pairs) => Wanted::Pairs(pairs.clone()),
                None => self.standing(),
            },
        }
    }

    /// What the default vhost serves, else the first of the file.
    fn standing(&self) -> Wanted {
        match self.hosts.any().and_then(|vhost| self.named.get(vhost)) {
            Some(VhostCertificate::Own(own)) => Wanted::Standing(self.own(own)),
            Some(VhostCertificate::Acme) => Wanted::Issued,
            Some(VhostCertificate::ByName) | None => Wanted::Standing(self.first.clone()),
        }
    }

    fn own(&self, indices: &[usize]) -> Pairs {
        indices.iter().filter_map(|index| self.loaded.get(*index)).map(|one| Arc::clone(&one.shown)).collect()
    }
}

/// The keys of session tickets, where `config` names a file of them.
///
/// # Errors
/// A file that may not be read, or holds none.
pub fn read_ticket_keys(config: &Config, terms: &Terms) -> Result<Option<Arc<TicketKeys>>, CertificateError> {
    let Some(object) = fluxheim_trust::ticket_keys(config) else { return Ok(None) };
    let content = fluxheim_trust::read(&object, terms)?;
    let keys = TicketKeys::read(content.as_bytes())
        .map_err(|error| CertificateError::Pem { path: object.path, reason: error.to_string() })?;
    Ok(Some(Arc::new(keys)))
}

/// Certificates by the names they are for (RFC 9525).
#[derive(Debug, Default)]
pub(super) struct ByName {
    exact: HashMap<Box<str>, Pairs>,
    /// Keyed by what stands after `*.`; stands for exactly one label (RFC 9525 section 6.3).
    wildcard: HashMap<Box<str>, Pairs>,
}

impl ByName {
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a Arc<Shown>>) -> Self {
        let mut table = Self::default();
        for shown in all {
            for name in &*shown.about.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                table.entry(name.into()).or_default().push(Arc::clone(shown));
            }
        }
        for pairs in table.exact.values_mut().chain(table.wildcard.values_mut()) {
            *pairs = preferred(std::mem::take(pairs));
        }
        table
    }

    /// What is for `name`, which is in lower case.
    pub(super) fn find(&self, name: &str) -> Option<&Pairs> {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.exact.get(name).or_else(|| self.wildcard.get(parent?))
    }
}

/// The smaller and faster signatures first; where the kind is the same, as in the configuration.
fn preferred(mut pairs: Pairs) -> Pairs {
    pairs.sort_by_key(|shown| match shown.pair().key.algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        SignatureAlgorithm::RSA => 2,
        _ => 3,
    });
    pairs
}

/// The first of `pairs` whose signatures a client can verify that knows `schemes`. Where it can verify none
/// the handshake fails with any of them, and says so best with the first.
pub(super) fn pick(pairs: &Pairs, schemes: &[SignatureScheme]) -> Option<Arc<Shown>> {
    let suited = |one: &&Arc<Shown>| pairs.len() == 1 || one.pair().key.choose_scheme(schemes).is_some();
    pairs.iter().find(suited).or_else(|| pairs.first()).cloned()
}
