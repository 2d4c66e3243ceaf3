//! Handshakes with clients: on which terms, by the name that the client asks for.
//!
//! Owns the rustls configurations, one for all vhosts and one for each that has terms of its own; a reload
//! replaces them. What is kept of sessions is for the common terms only: what a vhost asks of its clients
//! beside is asked anew in each handshake, so that no session passes it by (as in CVE-2025-23419). Sockets
//! and deadlines are `listen`'s.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use fluxheim_config::{Config, Tls, TlsVersion};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ServerConfig, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};

use super::alpn::{self, AlpnAnswers};
use super::certificates::Certificates;
use super::client_auth::{ClientAuth, ClientAuths};
use super::resolver::{Only, Resolver, asked};
use super::shown::Shown;
use super::tickets::Tickets;
use crate::route::Hosts;

/// What TLS listeners shake hands by.
#[derive(Debug)]
pub struct Termination {
    resolver: Arc<Resolver>,
    tickets: Arc<Tickets>,
    terms: ArcSwap<Terms>,
    answers: Arc<AlpnAnswers>,
    /// For CAs that validate a name (RFC 8737).
    validation: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Terms {
    hosts: Hosts,
    patience: Duration,
    strict_sni: bool,
    cache: Cache,
    common: Arc<ServerConfig>,
    /// Of vhosts with terms of their own.
    own: HashMap<usize, Arc<ServerConfig>>,
    clients: ClientAuths,
}

/// Sessions in memory, so many of them.
#[derive(Debug, Clone)]
struct Cache(usize, Arc<dyn StoresServerSessions>);

/// The terms for one client.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub config: Arc<ServerConfig>,
    /// The vhost that answers for the name it asked for, if one does.
    pub vhost: Option<usize>,
    /// For whom the certificate is that it gets.
    pub names: Arc<[String]>,
    /// What is asked of the client's certificate, if one is asked for.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// Whether a CA validates a name: nothing follows the handshake (RFC 8737 section 3).
    pub validates: bool,
}

/// There is no certificate for the name that a client asked for, nor one to stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no certificate is for the name that the client asked for")]
pub struct UnrecognizedName;

impl Termination {
    /// On the terms of `config`, with these certificates; `clients` is whose certificates are believed.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(
        config: &Config,
        clients: &ClientAuths,
        certificates: Certificates,
    ) -> Result<Self, Unspecified> {
        let keys = certificates.ticket_keys().cloned();
        let tickets = Arc::new(Tickets::new(keys, config.tls.session_tickets.rotation)?);
        let resolver = Arc::new(Resolver::new(certificates));
        let terms = ArcSwap::from_pointee(Terms::of(config, clients, &resolver, &tickets, None));
        let answers = Arc::<AlpnAnswers>::default();
        let validation = Arc::new(alpn::terms(&answers));
        Ok(Self { resolver, tickets, terms, answers, validation })
    }

    /// New handshakes are on the terms of `config`, with these certificates, from now on.
    pub fn replace(&self, config: &Config, clients: &ClientAuths, certificates: Certificates) {
        self.tickets.follow(certificates.ticket_keys().cloned(), config.tls.session_tickets.rotation);
        self.resolver.replace(certificates);
        let cache = self.terms.load().cache.clone();
        let terms = Terms::of(config, clients, &self.resolver, &self.tickets, Some(cache));
        self.terms.store(Arc::new(terms));
    }

    /// New handshakes believe `clients` from now on; the rest stays.
    pub fn believe(&self, config: &Config, clients: &ClientAuths) {
        let cache = self.terms.load().cache.clone();
        let terms = Terms::of(config, clients, &self.resolver, &self.tickets, Some(cache));
        self.terms.store(Arc::new(terms));
    }

    /// The certificates in use.
    #[must_use]
    pub const fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// What makes session tickets.
    #[must_use]
    pub const fn tickets(&self) -> &Arc<Tickets> {
        &self.tickets
    }

    /// What CAs are answered who validate a name by TLS-ALPN-01.
    #[must_use]
    pub const fn answers(&self) -> &Arc<AlpnAnswers> {
        &self.answers
    }

    /// How long a client may take to finish the handshake.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.terms.load().patience
    }

    /// The terms for a client that begins with `hello` and came to the address `local` of ours: by that it knows
    /// us where it sends no name.
    ///
    /// # Errors
    /// When it is to be told that its name is not one of ours (RFC 6066 section 3).
    pub fn choose(&self, hello: &ClientHello<'_>, local: Option<IpAddr>) -> Result<Chosen, UnrecognizedName> {
        if alpn::validates(hello)
            && hello.server_name().is_some_and(|name| self.answers.find(&asked(name)).is_some())
        {
            let config = Arc::clone(&self.validation);
            return Ok(Chosen {
                config,
                vhost: None,
                names: Arc::default(),
                client_auth: None,
                validates: true,
            });
        }
        let terms = self.terms.load();
        let name = hello.server_name().map(asked);
        let schemes = hello.signature_schemes();
        let by_address =
            local.filter(|_| name.is_none()).and_then(|local| self.resolver.of_address(local, schemes));
        let shown = by_address
            .clone()
            .or_else(|| self.resolver.choose(name.as_deref(), schemes, terms.strict_sni))
            .ok_or(UnrecognizedName)?;
        let names = Arc::clone(&shown.about.names);
        let vhost = terms.hosts.of_connection(name.as_deref(), local);
        let own = vhost.and_then(|vhost| terms.own.get(&vhost));
        let client_auth = vhost.and_then(|vhost| terms.clients.of(vhost)).cloned();
        let config = match by_address {
            Some(shown) => showing(own.unwrap_or(&terms.common), shown),
            None => Arc::clone(own.unwrap_or(&terms.common)),
        };
        Ok(Chosen { config, vhost, names, client_auth, validates: false })
    }
}

impl Terms {
    fn of(
        config: &Config,
        clients: &ClientAuths,
        resolver: &Arc<Resolver>,
        tickets: &Arc<Tickets>,
        cache: Option<Cache>,
    ) -> Self {
        let size = config.tls.session_cache_size;
        let cache = cache.filter(|cache| cache.0 == size).unwrap_or_else(|| Cache::of(size));
        let mut common = server_config(&config.tls, resolver, WebPkiClientVerifier::no_client_auth());
        resumes(&mut common, &config.tls, tickets, &cache);
        // Sessions with these are never taken up again: one would be good for longer than the CA, the
        // revocation list or the certificate that it began with.
        let asking = |auth: &ClientAuth| Arc::new(server_config(&config.tls, resolver, auth.verifier()));
        let own = clients.iter().map(|(vhost, auth)| (vhost, asking(auth)));
        Self {
            hosts: Hosts::new(&config.vhosts),
            patience: config.tls.handshake_timeout,
            strict_sni: config.tls.strict_sni,
            cache,
            common: Arc::new(common),
            own: own.collect(),
            clients: clients.clone(),
        }
    }
}

impl Cache {
    fn of(size: usize) -> Self {
        if size == 0 {
            Self(0, Arc::new(NoServerSessionStorage {}))
        } else {
            Self(size, ServerSessionMemoryCache::new(size))
        }
    }
}

/// Terms on which no session is taken up.
///
/// X25519MLKEM768 is the first of the provider's groups, and every suite of it has forward secrecy and
/// authenticated encryption: what the profiles differ in is the version.
fn server_config(tls: &Tls, resolver: &Arc<Resolver>, verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
    let versions: &[_] = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut server = ServerConfig::builder_with_protocol_versions(versions)
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(resolver) as _);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server
}

/// The same terms with this certificate: the library's question for one has no address in it.
fn showing(config: &ServerConfig, shown: Arc<Shown>) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.cert_resolver = Arc::new(Only(shown));
    Arc::new(config)
}

/// Lets sessions be taken up again; by rustls, only for the name they were made for.
fn resumes(server: &mut ServerConfig, tls: &Tls, tickets: &Arc<Tickets>, cache: &Cache) {
    server.session_storage = Arc::clone(&cache.1);
    if tls.session_tickets.enabled {
        server.ticketer = Arc::clone(tickets) as _;
    }
    if tls.session_tickets.enabled || cache.0 > 0 {
        server.send_tls13_tickets = TICKETS;
    }
}

/// A client uses each once (RFC 8446 appendix C.4); browsers make two connections at a time.
const TICKETS: usize = 2;
