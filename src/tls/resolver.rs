//! The certificates in use, from wherever they came.
//!
//! Owns their exchange while handshakes go on, and the answer to rustls. Those of the configuration are
//! replaced together by a reload; those from elsewhere (ACME) stay until they are replaced or removed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::about::About;
use super::certificates::{ByName, Certificates, Pairs, Wanted, pick};
use super::shown::Shown;

/// Answers which certificate a client gets.
#[derive(Debug)]
pub struct Resolver {
    files: ArcSwap<Certificates>,
    issued: ArcSwap<Issued>,
    /// Held while one of them is made anew from what it was.
    changing: Mutex<()>,
}

/// Certificates from elsewhere than files, by what they were entered under.
#[derive(Debug, Default)]
struct Issued {
    all: BTreeMap<String, Vec<Arc<Shown>>>,
    by_name: ByName,
}

impl Issued {
    /// What a client gets that sends no name: it knows the server by its address (RFC 6066 section 3). That may be
    /// translated on the way to ours; the first one is the only one, mostly.
    fn of_an_address(&self) -> Option<&Pairs> {
        let is_address = |name: &str| name.parse::<IpAddr>().is_ok();
        self.all.iter().find(|(name, _)| is_address(name)).map(|(_, pairs)| pairs)
    }
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `[[tls.certificates]]`
    File,
    /// It was entered while the process ran.
    Issued,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In the configuration, or what it was entered under.
    pub name: String,
    pub source: Source,
    pub about: About,
}

impl Resolver {
    /// Starts with these certificates.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Self {
            files: ArcSwap::from_pointee(certificates),
            issued: ArcSwap::default(),
            changing: Mutex::default(),
        }
    }

    /// New handshakes use these of the configuration from now on.
    pub fn replace(&self, certificates: Certificates) {
        self.files.store(Arc::new(certificates));
    }

    /// Those of the configuration.
    #[must_use]
    pub fn current(&self) -> Arc<Certificates> {
        self.files.load_full()
    }

    /// Enters certificates for the same names, in place of what stood under `name` before: for clients that
    /// ask for one of their names, where no certificate of the configuration is named for it.
    pub fn install(&self, name: &str, pairs: Vec<CertifiedKey>) {
        let pairs = pairs.into_iter().map(Shown::bare).map(Arc::new).collect();
        self.change(|all| drop(all.insert(name.to_owned(), pairs)));
    }

    /// Takes out what stands under `name`.
    pub fn remove(&self, name: &str) {
        self.change(|all| drop(all.remove(name)));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<Arc<Shown>>>)) {
        // Nothing below can leave the table half made.
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.issued.load().all.clone();
        change(&mut all);
        let by_name = ByName::of(all.values().flatten());
        self.issued.store(Arc::new(Issued { all, by_name }));
    }

    /// Every certificate in use.
    #[must_use]
    pub fn inventory(&self) -> Vec<Entry> {
        let files = self.files.load();
        let files = files.loaded().iter().map(|one| (&one.name, Source::File, &one.shown.about));
        let issued = self.issued.load();
        let issued = issued
            .all
            .iter()
            .flat_map(|(name, pairs)| pairs.iter().map(move |one| (name, Source::Issued, &one.about)));
        let entry = |(name, source, about): (&String, Source, &About)| Entry {
            name: name.clone(),
            source,
            about: about.clone(),
        };
        files.chain(issued).map(entry).collect()
    }

    /// What is for the address of ours that a client came to, if anything is.
    #[must_use]
    pub(super) fn of_address(&self, local: IpAddr, schemes: &[SignatureScheme]) -> Option<Arc<Shown>> {
        let name = local.to_canonical().to_string();
        match self.files.load().wanted(Some(&name)) {
            Wanted::Pairs(pairs) => pick(&pairs, schemes),
            Wanted::Issued | Wanted::Standing(_) => pick(self.issued.load().by_name.find(&name)?, schemes),
        }
    }

    /// The certificate for a server name in lower case, or for a client that sent none. With `strict`, none
    /// stands in for a name that no certificate is for.
    #[must_use]
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
        strict: bool,
    ) -> Option<Arc<Shown>> {
        let issued = || {
            let issued = self.issued.load();
            let pairs = match name {
                Some(name) => issued.by_name.find(name),
                None => issued.of_an_address(),
            };
            pick(pairs?, schemes)
        };
        match self.files.load().wanted(name) {
            Wanted::Pairs(pairs) => pick(&pairs, schemes),
            Wanted::Issued => issued(),
            Wanted::Standing(_) if strict => issued(),
            Wanted::Standing(pairs) => issued().or_else(|| pick(&pairs, schemes)),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(asked);
        // Whether the name is one to answer to was asked before.
        Some(self.choose(name.as_deref(), hello.signature_schemes(), false)?.now())
    }
}

/// One certificate for whoever comes.
#[derive(Debug)]
pub(super) struct Only(pub(super) Arc<Shown>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.now())
    }
}

/// A server name as tables have it: lower case, and without the dot at its end that RFC 6066 section 3
/// does not allow, but some send.
pub(super) fn asked(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls_pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn pair(name: &str) -> CertifiedKey {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&key).unwrap();
        CertifiedKey::new(vec![certificate.der().clone()], key)
    }

    #[test]
    fn who_sends_no_name_gets_what_was_issued_for_an_address() {
        let resolver = Resolver::new(Certificates::default());
        let chosen = |name| resolver.choose(name, &[SignatureScheme::ECDSA_NISTP256_SHA256], false);
        resolver.install("a.test", vec![pair("a.test")]);
        assert!(chosen(None).is_none());
        let address = pair("192.0.2.1");
        let leaf = address.cert.clone();
        resolver.install("192.0.2.1", vec![address]);
        assert_eq!(chosen(None).unwrap().pair().cert, leaf);
        assert_ne!(chosen(Some("a.test")).unwrap().pair().cert, leaf);
        assert!(chosen(Some("b.test")).is_none());
    }

    #[test]
    fn of_several_addresses_the_one_that_the_client_came_to_counts() {
        let resolver = Resolver::new(Certificates::default());
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        let leaves = addresses.map(|address| {
            let pair = pair(address);
            let leaf = pair.cert.clone();
            resolver.install(address, vec![pair]);
            leaf
        });
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        let chosen = |local: &str| resolver.of_address(local.parse().unwrap(), &schemes);
        for (address, leaf) in addresses.iter().zip(&leaves) {
            assert_eq!(&chosen(address).unwrap().pair().cert, leaf, "{address}");
        }
        assert_eq!(chosen("::ffff:192.0.2.2").unwrap().pair().cert, leaves[1]);
        assert!(chosen("10.0.0.1").is_none());
    }
}
