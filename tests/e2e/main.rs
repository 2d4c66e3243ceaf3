//! The real `fluxheim` program, driven from outside: real nginx origins, curl and OpenSSL clients,
//! raw sockets, real signals.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests write their own fixtures; a failure here fails the test, which is the point"
)]

mod support;

mod access;
mod acme;
mod acme_dns;
mod acme_hook;
mod acme_ours;
mod admin;
mod admission;
mod auth;
mod balancing;
mod causes;
mod channels;
mod client_certificates;
mod client_identity;
mod clocks;
mod command_line;
mod compression;
mod consulting;
mod ctl;
mod directory;
mod dns_hook;
mod dns_standing;
mod dns_updates;
mod draining;
mod errors;
mod files;
mod fleet;
mod floods;
mod forwarding;
mod framing;
mod keys;
mod lessons;
mod limits;
mod observing;
mod policy;
mod protocols;
mod proxy_headers;
mod rates;
mod reloading;
mod rotating;
mod routing;
mod secure_upstreams;
mod streaming;
mod testssl;
mod tls;
mod tokens;
mod tracing;
mod upstreams;
