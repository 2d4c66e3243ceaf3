//! `[[upstreams]]`: groups of servers and how to talk to them.
//!
//! Owns upstream names; resolves no host name.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::Names;
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Node, Read, Section};
use crate::sink::Place;
use crate::value::{self, address, duration};
use crate::{Balance, Upstream, UpstreamHost, UpstreamServer};

/// A TCP handshake that takes longer has lost its packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What nginx gives an upstream, which applications are written for.
const IO_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the 65 to 75 seconds after which common servers close idle connections.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);

const SERVERS: &str = "a list such as [\"app-1:3000\"]";
const SERVER: &str = "\"host:port\" or { address = \"host:port\", weight = 2 }";

impl Upstream {
    /// An upstream with default settings.
    #[must_use]
    pub fn new(name: &str, servers: Vec<UpstreamServer>) -> Self {
        Self {
            name: name.to_owned(),
            balance: Balance::RoundRobin,
            servers,
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: IO_TIMEOUT,
            write_timeout: IO_TIMEOUT,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
        }
    }
}

impl UpstreamServer {
    /// A server with default settings.
    #[must_use]
    pub const fn new(host: UpstreamHost, port: u16) -> Self {
        Self { host, port, weight: 1 }
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
    let balance = section.read("balance", "a word", balance);
    let connect_timeout = time("connect_timeout", duration::positive, CONNECT_TIMEOUT);
    let read_timeout = time("read_timeout", duration::positive, IO_TIMEOUT);
    let write_timeout = time("write_timeout", duration::positive, IO_TIMEOUT);
    let keepalive_timeout = time("keepalive_timeout", duration::any, KEEPALIVE_TIMEOUT);
    let servers = servers(section)?;
    let balance = balance.or(Balance::RoundRobin);
    let name = name?.value;
    Some(Upstream { name, balance, servers, connect_timeout, read_timeout, write_timeout, keepalive_timeout })
}

fn balance(text: &str) -> Result<Balance, Flaw> {
    match text {
        "least_conn" | "random" | "ip_hash" | "hash" | "ewma" => {
            let flaw = Flaw::new(format!("{} is not supported in this version", show(text)));
            Err(flaw.help("known is round_robin"))
        }
        _ => value::word(text, &[("round_robin", Balance::RoundRobin)]),
    }
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
    let ((host, port), weight) = match node.value {
        DeValue::String(text) => (section.judge("servers", at, address::upstream(text))?, Some(1)),
        DeValue::Table(table) => weighted(&section.inline(node, table, &schema::UPSTREAM_SERVER))?,
        _ => {
            section.wrong_type("servers", SERVER, node, None);
            return None;
        }
    };
    Some(At { at, value: UpstreamServer { host, port, weight: weight? } })
}

type Weighted = ((UpstreamHost, u16), Option<u16>);

fn weighted(section: &Section<'_>) -> Option<Weighted> {
    let address = section.require("address", "\"host:port\"", address::upstream);
    let weight = section.number("weight", 1..=1000).certain(1);
    Some((address?.value, weight.and_then(|weight| u16::try_from(weight).ok())))
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
