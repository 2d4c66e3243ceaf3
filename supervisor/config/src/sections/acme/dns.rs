//! `[acme.dns]`: how the records of DNS challenges are made.
//!
//! Owns which keys go with which provider; makes no record.

use std::time::Duration;

use super::{TSIG, file, needed_file};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Section};
use crate::value::{self, address, duration, host};
use crate::{AcmeDns, DnsProvider, Rfc2136, UpstreamHost};

/// Secondaries are told at once (RFC 1996) or ask within minutes.
const PROPAGATION: Duration = Duration::from_secs(120);
/// Short: nobody shall keep a record that is made anew for each order.
const TTL: Duration = Duration::from_secs(60);
pub(super) fn read(acme: &Section<'_>) -> Option<AcmeDns> {
    let section = acme.optional("dns", &schema::ACME_DNS)?;
    let kind = section.require("provider", "\"rfc2136\"", kind);
    let propagation = section.read("propagation_timeout", duration::EXPECTED, duration::positive);
    let server = section.read("server", SERVER, server).good();
    let zone = section.read("zone", "the name of a zone", host::name).good();
    let key_name = section.read("key_name", "the name of the key", host::name).good();
    let key_file = file(&section, "key_file");
    let algorithm = section.read("algorithm", "a word", |text| value::word(text, &TSIG));
    let ttl = section.read("ttl", duration::EXPECTED, ttl);
    let provider = match kind?.value {
        Kind::Rfc2136 => {
            let server = server.or_else(|| missing(&section, "server", SERVER));
            if !section.has("key_file") {
                needed_file(&section, "key_file", "the path of a file that holds the TSIG key");
            }
            let (host, port) = server?.value;
            DnsProvider::Rfc2136(Rfc2136 {
                host,
                port,
                zone: zone.map(|at| at.value),
                key_name: key_name.map(|at| at.value),
                key_file: key_file.good()?.value,
                algorithm: algorithm.good().map(|at| at.value),
                ttl: ttl.or(TTL),
            })
        }
    };
    Some(AcmeDns { provider, propagation_timeout: propagation.or(PROPAGATION) })
}

const SERVER: &str = "a name server such as \"ns1.example.com\" or \"192.0.2.1:53\"";

/// Says so where `key` isn't there; a flawed one was told already.
fn missing<T>(section: &Section<'_>, key: &'static str, expected: &str) -> Option<At<T>> {
    if !section.has(key) {
        section.missing(key, expected);
    }
    None
}

#[derive(Clone, Copy)]
enum Kind {
    Rfc2136,
}

/// A program of the operator's is what others have besides. It would need a process that may start programs,
/// with whatever calls they make, beside one that may not.
fn kind(text: &str) -> Result<Kind, Flaw> {
    match text {
        "exec" => Err(Flaw::new(
            "\"exec\" is not offered: the proxy can start no program, by its own seccomp filter",
        )
        .help("use \"rfc2136\", delegate by a CNAME to a zone that takes updates, or use dns-persist-01")),
        _ => value::word(text, &[("rfc2136", Kind::Rfc2136)]),
    }
}

/// Port 53 where none is given.
fn server(text: &str) -> Result<(UpstreamHost, u16), Flaw> {
    let whole = match text.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(v6)) => format!("[{v6}]:53"),
        Ok(std::net::IpAddr::V4(_)) => format!("{text}:53"),
        Err(_) if text.contains(':') => text.to_owned(),
        Err(_) => format!("{text}:53"),
    };
    match address::upstream(&whole)? {
        (UpstreamHost::Service(_), _) => {
            Err(Flaw::new(format!("{} is a service", show(text))).help("name one server"))
        }
        server => Ok(server),
    }
}

/// Whole seconds, as records have them (RFC 2181 section 8).
fn ttl(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if time.subsec_nanos() == 0 && time <= Duration::from_secs(86_400) {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} is no TTL", show(text))).help("choose whole seconds, up to 1d"))
}

/// A server as the configuration writes it.
pub(crate) fn print_server(host: &UpstreamHost, port: u16) -> String {
    match host {
        UpstreamHost::Ip(ip) => std::net::SocketAddr::new(*ip, port).to_string(),
        UpstreamHost::Name(name) | UpstreamHost::Service(name) => format!("{name}:{port}"),
    }
}
