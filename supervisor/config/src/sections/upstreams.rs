//! `[[upstreams]]`: groups of servers and how to talk to them.
//!
//! Owns upstream names; resolves no host name.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::{Names, balancing, upstream_tls};
use crate::flaw::Flaw;
use crate::schema;
use crate::section::{At, Node, Read, Section};
use crate::sink::Place;
use crate::value::{self, address, duration};
use crate::{Balance, ProxyVersion, Retry, Upstream, UpstreamHost, UpstreamProtocol, UpstreamServer};

/// A TCP handshake that takes longer has lost its packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What nginx gives an upstream, which applications are written for.
const IO_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the 65 to 75 seconds after which common servers close idle connections.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// As nginx has them: what a server leaks by connection is bounded.
const KEEPALIVE_REQUESTS: u32 = 1000;
const KEEPALIVE_TIME: Duration = Duration::from_secs(3600);
/// Longer than the pings of common WebSocket servers and clients are apart (20 to 60 seconds).
const UPGRADE_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The words for protocols.
pub(crate) const PROTOCOLS: [(&str, UpstreamProtocol); 4] = [
    ("http1", UpstreamProtocol::Http1),
    ("h2", UpstreamProtocol::H2),
    ("h2c", UpstreamProtocol::H2c),
    ("auto", UpstreamProtocol::Auto),
];
/// The words for PROXY protocol headers.
pub(crate) const PROXY_VERSIONS: [(&str, Option<ProxyVersion>); 3] =
    [("off", None), ("v1", Some(ProxyVersion::V1)), ("v2", Some(ProxyVersion::V2))];

const SERVERS: &str = "a list such as [\"app-1:3000\"]";
const SERVER: &str = "\"host:port\" or { address = \"host:port\", weight = 2 }";

impl Upstream {
    /// An upstream with default settings.
    #[must_use]
    pub fn new(name: &str, servers: Vec<UpstreamServer>) -> Self {
        Self {
            name: name.to_owned(),
            balance: Balance::default(),
            sticky: None,
            servers,
            health: None,
            outlier: None,
            slow_start: None,
            panic_threshold: 50,
            max_in_flight: None,
            queue: None,
            retry: Retry::default(),
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: IO_TIMEOUT,
            write_timeout: IO_TIMEOUT,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            keepalive_requests: KEEPALIVE_REQUESTS,
            keepalive_time: KEEPALIVE_TIME,
            upgrade_idle_timeout: UPGRADE_IDLE_TIMEOUT,
            protocol: UpstreamProtocol::Http1,
            proxy_protocol: None,
            tls: None,
        }
    }
}

impl UpstreamServer {
    /// A server with default settings.
    #[must_use]
    pub const fn new(host: UpstreamHost, port: u16) -> Self {
        Self {
            host,
            port,
            weight: 1,
            backup: false,
            priority: 0,
            zone: None,
            drain: false,
            max_in_flight: None,
        }
    }
}

/// All upstreams, and their names.
pub(crate) fn read(root: &Section<'_>) -> (Vec<Upstream>, Names) {
    let mut names = Names::new("upstream");
    let tables = root.tables("upstreams", &schema::UPSTREAM);
    let upstreams = tables.iter().enumerate().filter_map(|(index, table)| upstream(table, index, &mut names));
    (upstreams.collect(), names)
}

fn upstream(section: &Section<'_>, index: usize, names: &mut Names) -> Option<Upstream> {
    let name = section.require("name", "a name for routes to refer to", value::name);
    names.enter(section, index, name.as_ref());
    let time = |key, check: fn(&str) -> Result<Duration, Flaw>, default| {
        section.read(key, duration::EXPECTED, check).or(default)
    };
    let connect_timeout = time("connect_timeout", duration::positive, CONNECT_TIMEOUT);
    let read_timeout = time("read_timeout", duration::positive, IO_TIMEOUT);
    let write_timeout = time("write_timeout", duration::positive, IO_TIMEOUT);
    let keepalive_timeout = time("keepalive_timeout", duration::any, KEEPALIVE_TIMEOUT);
    let keepalive_time = time("keepalive_time", duration::positive, KEEPALIVE_TIME);
    let upgrade_idle_timeout = time("upgrade_idle_timeout", duration::positive, UPGRADE_IDLE_TIMEOUT);
    let keepalive_requests = section.number("keepalive_requests", 1..=u32::MAX).or(KEEPALIVE_REQUESTS);
    let proxy_protocol = section.read("proxy_protocol", "a word", |text| value::word(text, &PROXY_VERSIONS));
    let (protocol, tls) = (protocol(section), upstream_tls::read(section));
    let servers = servers(section);
    if let (Some(tls), Some(servers)) = (&tls, &servers) {
        upstream_tls::check_name(section, tls, servers);
    }
    let complete = servers.is_some();
    let mut upstream = Upstream {
        connect_timeout,
        read_timeout,
        write_timeout,
        keepalive_timeout,
        keepalive_requests,
        keepalive_time,
        upgrade_idle_timeout,
        protocol,
        proxy_protocol: proxy_protocol.or(None),
        tls,
        ..Upstream::new(name.as_ref().map_or("", |name| &name.value), servers.unwrap_or_default())
    };
    balancing::read(section, &mut upstream, complete);
    (complete && name.is_some()).then_some(upstream)
}

/// The protocol, which must go with what it is spoken over.
fn protocol(section: &Section<'_>) -> UpstreamProtocol {
    let read = section.read("protocol", "a word", |text| value::word(text, &PROTOCOLS));
    if let Read::Good(At { at, value }) = &read {
        let secure = section.has("tls") || section.may_hide("tls");
        let wrong = match value {
            UpstreamProtocol::Http1 => None,
            UpstreamProtocol::H2c => secure.then_some(("h2c is HTTP/2 without TLS", "over TLS it is \"h2\"")),
            UpstreamProtocol::H2 => {
                (!secure).then_some(("h2 is HTTP/2 over TLS", "add tls = {}, or without TLS write \"h2c\""))
            }
            UpstreamProtocol::Auto => (!secure).then_some((
                "without TLS nothing tells what the server speaks",
                "add tls = {}, or write \"http1\" or \"h2c\"",
            )),
        };
        if let Some((message, help)) = wrong {
            section.here("protocol", *at, Flaw::new(message).help(help));
        }
    }
    read.or(UpstreamProtocol::Http1)
}

fn servers(section: &Section<'_>) -> Option<Vec<UpstreamServer>> {
    let servers = match section.nodes("servers", SERVERS).map_items(|node| server(section, node)) {
        Read::Absent => {
            section.missing("servers", SERVERS);
            return None;
        }
        read => read.good()?,
    };
    if servers.value.is_empty() {
        section.here("servers", servers.at, Flaw::new("the list is empty").help("name at least one server"));
    }
    report_duplicates(section, &servers.value);
    Some(servers.value.into_iter().map(|server| server.value).collect())
}

fn server(section: &Section<'_>, node: Node<'_>) -> Option<At<UpstreamServer>> {
    let at = node.at;
    let value = match node.value {
        DeValue::String(text) => {
            let (host, port) = section.judge("servers", at, address::upstream(text))?;
            UpstreamServer::new(host, port)
        }
        DeValue::Table(table) => server_table(&section.inline(node, table, &schema::UPSTREAM_SERVER))?,
        _ => {
            section.wrong_type("servers", SERVER, node, None);
            return None;
        }
    };
    Some(At { at, value })
}

fn server_table(section: &Section<'_>) -> Option<UpstreamServer> {
    let address = section.require("address", "\"host:port\"", address::upstream);
    let weight = section.number("weight", 1..=1000).certain(1);
    let backup = section.boolean("backup").or(false);
    let priority = u8::try_from(section.number("priority", 0..=100).or(0)).unwrap_or(0);
    let zone = balancing::zone(section);
    let drain = section.boolean("drain").or(false);
    let max_in_flight = section.number("max_in_flight", balancing::IN_FLIGHT).good().map(|at| at.value);
    let (host, port) = address?.value;
    let weight = u16::try_from(weight?).ok()?;
    Some(UpstreamServer {
        weight,
        backup,
        priority,
        zone,
        drain,
        max_in_flight,
        ..UpstreamServer::new(host, port)
    })
}

fn report_duplicates(section: &Section<'_>, servers: &[At<UpstreamServer>]) {
    let mut seen: BTreeMap<(&UpstreamHost, u16), Place> = BTreeMap::new();
    for At { at, value } in servers {
        if let Some(first) = seen.insert((&value.host, value.port), *at) {
            let flaw = Flaw::new(format!("this server is already listed, in {}", section.describe(first)));
            section.here("servers", *at, flaw.help("list it once and set weight"));
        }
    }
}
