//! TLS: towards clients, versions, key exchange and which certificate a name gets; towards upstreams, whom to
//! believe and what to show.
//!
//! Owns the rustls configuration. Certificates and keys are read through `fluxheim-trust` in
//! `certificates`; connections are accepted in `listen`.

mod certificates;
mod key;
mod outward;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fluxheim_config::{Limits, Tls, TlsVersion};
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

pub use certificates::{CertificateError, Certificates, KeysRead};
pub use outward::{Outward, Outwards};

/// Makes aws-lc-rs the process's provider, before anything of the framework can choose another.
///
/// X25519MLKEM768 is the first group it offers.
///
/// # Errors
/// When a provider was installed already; then that one would decide.
pub fn install_provider() -> Result<(), &'static str> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider other than aws-lc-rs was installed first")
}

/// Answers SNI from tables that a reload can replace.
#[derive(Debug)]
pub struct Resolver(ArcSwap<Certificates>);

impl Resolver {
    /// Starts with these certificates.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    /// New handshakes use these from now on.
    pub fn replace(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(hello.server_name())
    }
}

/// The acceptor of the TLS listeners.
#[must_use]
pub fn acceptor(tls: &Tls, resolver: Arc<Resolver>) -> Arc<Acceptor> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_protocol_versions(versions)
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(Acceptor::from_server_config(Arc::new(config)))
}

/// HTTP/2 settings: the framework's safe bounds, tightened by ours.
#[must_use]
pub fn h2_options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.max_h2_streams);
    options.max_send_buffer_size(H2_SEND_BUFFER);
    options.max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX));
    options
}

/// What waits to be sent on a stream; the library's own default is 400 KiB, on each of a hundred.
const H2_SEND_BUFFER: usize = 64 << 10;

/// For `keepalive_timeout = "0s"`: long enough for a request to follow the preface.
const SHORTEST_H2_IDLE: Duration = Duration::from_secs(1);

/// Connection settings of both HTTP versions.
#[must_use]
pub fn server_options(limits: &Limits) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    // Not to serve it: the framework's own refusal would come before a request exists, and be neither
    // logged nor counted. Admission refuses every CONNECT.
    options.allow_connect_method_proxying = true;
    // The framework counts how often a connection is used again.
    options.keepalive_request_limit = Some(limits.keepalive_requests.saturating_sub(1));
    // Zero would end a connection before its first request; that one may take a moment.
    options.h2_idle_timeout = Some(limits.keepalive_timeout.max(SHORTEST_H2_IDLE));
    options
}
