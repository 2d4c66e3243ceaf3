//! TLS: towards clients, versions, key exchange and which certificate a name gets; towards upstreams, whom to
//! believe and what to show.
//!
//! Owns the rustls configuration. Certificates and keys are read through `fluxheim-trust` in
//! `certificates`; connections are accepted in `listen`.

mod about;
mod alpn;
mod certificates;
pub mod client_auth;
mod identity;
mod key;
mod outward;
mod pair;
mod resolver;
mod shown;
mod staple;
mod termination;
mod tickets;
pub mod told;

use std::time::Duration;

use fluxheim_config::Limits;
use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};

pub use about::About;
pub use alpn::AlpnAnswers;
pub use certificates::{Certificates, Loaded, read_ticket_keys};
pub use client_auth::{ClientAuth, ClientAuths, Renewed as ClientsRenewed};
pub use outward::{Outward, Outwards, read_outward};
pub use pair::{CertificateError, KeysRead};
pub use resolver::{Entry, Resolver, Source};
pub use shown::Shown;
pub use termination::{Chosen, Termination, UnrecognizedName};
pub use tickets::{NoTicketKeys, TicketKeys};

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
