//! Handshakes with clients: on which terms, by the name that the client asks for.
//!
//! Owns the rustls configurations, one for all vhosts and one for each that has terms of its own; a reload
//! replaces them. Sockets and deadlines are `listen`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fluxheim_config::{Config, TlsVersion};
use rustls::server::{ClientHello, ServerConfig};
use rustls::version::{TLS12, TLS13};

use super::resolver::{Resolver, asked};
use crate::route::Hosts;

/// What TLS listeners shake hands by.
#[derive(Debug)]
pub struct Termination {
    resolver: Arc<Resolver>,
    terms: ArcSwap<Terms>,
}

#[derive(Debug)]
struct Terms {
    hosts: Hosts,
    patience: Duration,
    common: Arc<ServerConfig>,
    /// Of vhosts with terms of their own.
    own: HashMap<usize, Arc<ServerConfig>>,
}

/// The terms for one client.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub config: Arc<ServerConfig>,
    /// The vhost that answers for the name it asked for, if one does.
    pub vhost: Option<usize>,
}

impl Termination {
    /// On the terms of `config`, with the certificates of `resolver`.
    #[must_use]
    pub fn new(config: &Config, resolver: Arc<Resolver>) -> Self {
        let terms = ArcSwap::from_pointee(Terms::of(config, &resolver));
        Self { resolver, terms }
    }

    /// New handshakes are on the terms of `config` from now on.
    pub fn replace(&self, config: &Config) {
        self.terms.store(Arc::new(Terms::of(config, &self.resolver)));
    }

    /// The certificates in use.
    #[must_use]
    pub const fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// How long a client may take to finish the handshake.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.terms.load().patience
    }

    /// The terms for a client that begins with `hello`.
    #[must_use]
    pub fn choose(&self, hello: &ClientHello<'_>) -> Chosen {
        let terms = self.terms.load();
        let vhost = match hello.server_name().map(asked) {
            Some(name) => terms.hosts.find(&name),
            None => terms.hosts.any(),
        };
        let own = vhost.and_then(|vhost| terms.own.get(&vhost));
        Chosen { config: Arc::clone(own.unwrap_or(&terms.common)), vhost }
    }
}

impl Terms {
    fn of(config: &Config, resolver: &Arc<Resolver>) -> Self {
        Self {
            hosts: Hosts::new(&config.vhosts),
            patience: config.tls.handshake_timeout,
            common: Arc::new(server_config(config, resolver)),
            own: HashMap::new(),
        }
    }
}

fn server_config(config: &Config, resolver: &Arc<Resolver>) -> ServerConfig {
    let versions: &[_] = match config.tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut server = ServerConfig::builder_with_protocol_versions(versions)
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(resolver) as _);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server
}
