//! `[acme.dns]`: how the records of DNS challenges are made.
//!
//! Owns which keys go with which provider; makes no record.

use std::path::PathBuf;
use std::time::Duration;

use super::{TSIG, file, needed_file};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Section};
use crate::sections::admin::socket_path;
use crate::value::{self, address, duration, host};
use crate::{AcmeDns, DnsHook, DnsProvider, Rfc2136, TsigAlgorithm, UpstreamHost};

/// Secondaries are told at once (RFC 1996) or ask within minutes.
const PROPAGATION: Duration = Duration::from_secs(120);
/// Short: nobody shall keep a record that is made anew for each order.
const TTL: Duration = Duration::from_secs(60);
/// Twice the time that `fluxheim dns-hook` gives a program, as one may have to wait for another, and some more.
const HOOK: Duration = Duration::from_secs(150);

/// What is said, of whichever provider.
struct Keys {
    zone: Option<String>,
    server: Option<At<(UpstreamHost, u16)>>,
    key_name: Option<String>,
    key_file: Option<PathBuf>,
    algorithm: Option<TsigAlgorithm>,
    ttl: Duration,
    socket: Option<PathBuf>,
    timeout: Duration,
}

pub(super) fn read(acme: &Section<'_>) -> Option<AcmeDns> {
    let section = acme.optional("dns", &schema::ACME_DNS)?;
    let kind = section.require("provider", "\"rfc2136\" or \"hook\"", kind);
    let propagation = section.read("propagation_timeout", duration::EXPECTED, duration::positive);
    let keys = Keys::read(&section);
    let provider = match kind?.value {
        Kind::Rfc2136 => {
            others(&section, &OF_HOOK, "hook");
            rfc2136(&section, keys).map(DnsProvider::Rfc2136)
        }
        Kind::Hook => {
            others(&section, &OF_RFC2136, "rfc2136");
            hook(&section, keys).map(DnsProvider::Hook)
        }
    };
    Some(AcmeDns { provider: provider?, propagation_timeout: propagation.or(PROPAGATION) })
}

impl Keys {
    fn read(section: &Section<'_>) -> Self {
        let name = |key, what| section.read(key, what, host::name).good().map(|at| at.value);
        let algorithm = section.read("algorithm", "a word", |text| value::word(text, &TSIG));
        Self {
            zone: name("zone", "the name of a zone"),
            server: section.read("server", SERVER, server).good(),
            key_name: name("key_name", "the name of the key"),
            key_file: file(section, "key_file").good().map(|at| at.value),
            algorithm: algorithm.good().map(|at| at.value),
            ttl: section.read("ttl", duration::EXPECTED, ttl).or(TTL),
            socket: socket_path(section, "dns-hook"),
            timeout: section.read("timeout", duration::EXPECTED, duration::positive).or(HOOK),
        }
    }
}

fn rfc2136(section: &Section<'_>, keys: Keys) -> Option<Rfc2136> {
    let Keys { zone, key_name, algorithm, ttl, .. } = keys;
    let server = keys.server.or_else(|| missing(section, "server", SERVER));
    if !section.has("key_file") {
        needed_file(section, "key_file", "the path of a file that holds the TSIG key");
    }
    let (host, port) = server?.value;
    Some(Rfc2136 { host, port, zone, key_name, key_file: keys.key_file?, algorithm, ttl })
}

fn hook(section: &Section<'_>, keys: Keys) -> Option<DnsHook> {
    let Keys { zone, socket, timeout, .. } = keys;
    if !section.has("socket") {
        section.missing("socket", "the path of a socket: \"/run/fluxheim/dns-hook.sock\"");
    }
    Some(DnsHook { socket: socket?, zone, timeout })
}

const OF_RFC2136: [&str; 5] = ["server", "key_name", "key_file", "algorithm", "ttl"];
const OF_HOOK: [&str; 2] = ["socket", "timeout"];

/// Says of each of `keys` that it goes with another provider.
fn others(section: &Section<'_>, keys: &[&'static str], provider: &str) {
    for key in keys.iter().filter(|key| section.has(key)) {
        let flaw = Flaw::new(format!("it goes with provider = \"{provider}\" alone"));
        section.here(key, section.place(key), flaw.help(format!("remove {key}")));
    }
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
    Hook,
}

fn kind(text: &str) -> Result<Kind, Flaw> {
    match text {
        "exec" => Err(Flaw::new(
            "\"exec\" is not offered: the proxy can start no program, by its own seccomp filter",
        )
        .help("use \"hook\": fluxheim dns-hook runs the program, in a process of its own")),
        _ => value::word(text, &[("rfc2136", Kind::Rfc2136), ("hook", Kind::Hook)]),
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
