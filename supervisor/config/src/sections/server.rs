//! `[server]`, and the rule that no two listeners want one address.
//!
//! Owns the stop budget's arithmetic; binds nothing.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use toml::de::DeValue;

use super::balancing;
use super::limits::{self, CONNECTIONS, index};
use crate::flaw::Flaw;
use crate::schema;
use crate::section::{At, Node, Read, Section};
use crate::value::{address, duration};
use crate::{Listener, Server};

/// Docker and Podman send SIGKILL 10 seconds after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// What the above leaves after [`STOP_MARGIN`], and a second to spare.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// What the supervisor needs to reap and report after the drain.
pub const STOP_MARGIN: Duration = Duration::from_secs(1);

const ADDRESSES: &str = "a list such as [\"0.0.0.0:8080\"]";
const LISTENERS: &str = "a list such as [\"0.0.0.0:8080\"]";
const LISTENER: &str = "\"address:port\" or { address = \"address:port\", max_connections = 1000 }";
const NETWORKS: &str = "a list such as [\"10.0.0.0/8\"]";

/// An address to listen on, and what it is for.
pub(crate) type Wanted = (&'static str, At<SocketAddr>);

/// The table, and its listeners for [`check_listeners`].
pub(crate) fn read(section: &Section<'_>) -> (Server, Vec<Wanted>) {
    let mut wanted = Vec::new();
    let http = listeners(section, "http", "http in [server]", &mut wanted);
    let https = listeners(section, "https", "https in [server]", &mut wanted);
    let trusted = section.list("trusted_proxies", NETWORKS, address::network);
    let announced = http.iter().chain(&https).find(|listener| listener.proxy_protocol);
    if let (Some(listener), Some([])) = (announced, trusted.clone().certain(Vec::new()).as_deref()) {
        let flaw = Flaw::new(format!("proxy_protocol: {} would refuse every connection", listener.address));
        let help = "name in trusted_proxies who sends the headers, e.g. [\"10.0.0.0/8\"]";
        section.run().sink.absence(section.at, flaw.help(help));
    }
    let trusted = trusted.or(Vec::new());
    let threads = section.number("threads", 1..=1024).good();
    let (drain_delay, drain_timeout, stop_timeout) = stop_budget(section);
    let server = Server {
        http,
        https,
        trusted_proxies: trusted.into_iter().map(|network| network.value).collect(),
        zone: balancing::zone(section),
        threads: threads.and_then(|at| usize::try_from(at.value).ok()).and_then(NonZeroUsize::new),
        drain_delay,
        drain_timeout,
        stop_timeout,
    };
    (server, wanted)
}

/// The listeners at `key`, their addresses also entered among those `wanted`.
fn listeners(
    section: &Section<'_>,
    key: &'static str,
    title: &'static str,
    wanted: &mut Vec<Wanted>,
) -> Vec<Listener> {
    let list = section.nodes(key, LISTENERS).map_items(|node| listener(section, key, node));
    if matches!(list, Read::Flawed) {
        section.run().sink.mark_unheard();
    }
    let list = list.or(Vec::new());
    wanted.extend(list.iter().map(|At { at, value }| (title, At { at: *at, value: value.address })));
    list.into_iter().map(|at| at.value).collect()
}

fn listener(section: &Section<'_>, key: &'static str, node: Node<'_>) -> Option<At<Listener>> {
    let value = match node.value {
        DeValue::String(text) => section.judge(key, node.at, address::listener(text))?.into(),
        DeValue::Table(table) => limited(&section.inline(node, table, &schema::LISTENER), key)?,
        _ => {
            section.wrong_type(key, LISTENER, node, None);
            return None;
        }
    };
    Some(At { at: node.at, value })
}

fn limited(section: &Section<'_>, key: &str) -> Option<Listener> {
    let address = section.require("address", "\"address:port\"", address::listener);
    let [max_connections, max_connections_per_client] =
        ["max_connections", "max_connections_per_client"].map(|key| section.number(key, CONNECTIONS).good());
    let proxy_protocol = section.boolean("proxy_protocol").or(false);
    let h2c = section.boolean("h2c");
    if let (Read::Good(At { at, value: true }), "https") = (&h2c, key) {
        let flaw = Flaw::new("h2c is HTTP/2 without TLS, and this listener has TLS");
        section.here("h2c", *at, flaw.help("remove it: over TLS, HTTP/2 is agreed on by ALPN"));
    }
    let h2c = h2c.or(false);
    let limits = limits::of_listener(section);
    let number = |at: Option<At<u32>>| at.map(|at| index(u64::from(at.value)));
    Some(Listener {
        address: address?.value,
        max_connections: number(max_connections),
        max_connections_per_client: number(max_connections_per_client),
        proxy_protocol,
        h2c,
        limits,
    })
}

/// The addresses at `key`, also entered among `listeners`.
pub(crate) fn addresses(
    section: &Section<'_>,
    key: &'static str,
    title: &'static str,
    listeners: &mut Vec<Wanted>,
) -> Vec<SocketAddr> {
    let list = section.list(key, ADDRESSES, address::listener);
    if matches!(list, Read::Flawed) {
        section.run().sink.mark_unheard();
    }
    let list = list.or(Vec::new());
    listeners.extend(list.iter().map(|at| (title, at.clone())));
    list.into_iter().map(|at| at.value).collect()
}

/// Reports listeners that could not all be bound: the same address, or one that holds the other.
pub(crate) fn check_listeners(section: &Section<'_>, listeners: &[Wanted]) {
    let mut sorted: Vec<&Wanted> = listeners.iter().collect();
    // Per port and family, the unspecified address comes first and so meets every other one.
    sorted.sort_by_key(|(_, at)| (at.value.port(), at.value.is_ipv6(), at.value.ip(), at.at));
    let mut wide: Option<&Wanted> = None;
    for pair in sorted.windows(2) {
        let [first, second] = pair else { continue };
        if first.1.value.ip().is_unspecified() {
            wide = Some(first);
        }
        let clash = [Some(*first), wide].into_iter().flatten().find(|other| overlap(other, second));
        if let Some(other) = clash {
            report_clash(section, other, second);
        }
    }
}

fn overlap((_, first): &Wanted, (_, second): &Wanted) -> bool {
    let (first, second) = (first.value, second.value);
    // Port 0 is a different free port each time.
    first.port() != 0
        && first.port() == second.port()
        && first.is_ipv6() == second.is_ipv6()
        && (first.ip().is_unspecified() || first.ip() == second.ip())
}

fn report_clash(section: &Section<'_>, first: &Wanted, second: &Wanted) {
    let (first, second) = if first.1.at <= second.1.at { (first, second) } else { (second, first) };
    let other = section.describe(first.1.at);
    let message = if first.1.value == second.1.value {
        format!("{}: {} is already taken by {}, in {other}", second.0, second.1.value, first.0)
    } else {
        format!(
            "{}: {} cannot be had beside {} of {}, in {other}",
            second.0, second.1.value, first.1.value, first.0
        )
    };
    section.run().sink.here(second.1.at, Flaw::new(message).help("use each port of an address once"));
}

fn stop_budget(section: &Section<'_>) -> (Duration, Duration, Duration) {
    let delay = section.read("drain_delay", duration::EXPECTED, duration::any);
    let drain = section.read("drain_timeout", duration::EXPECTED, duration::positive);
    let stop = section.read("stop_timeout", duration::EXPECTED, duration::positive);
    let place = [&stop, &drain, &delay].into_iter().find_map(|read| match read {
        Read::Good(at) => Some(at.at),
        Read::Absent | Read::Flawed => None,
    });
    let certain = (delay.certain(Duration::ZERO), drain.certain(DRAIN_TIMEOUT), stop.certain(STOP_TIMEOUT));
    let (Some(delay), Some(drain), Some(stop)) = certain else {
        return (Duration::ZERO, DRAIN_TIMEOUT, STOP_TIMEOUT);
    };
    if delay + drain + STOP_MARGIN > stop {
        section.run().sink.here(place.unwrap_or(section.at), over_budget(delay, drain, stop));
    }
    (delay, drain, stop)
}

fn over_budget(delay: Duration, drain: Duration, stop: Duration) -> Flaw {
    let sum = delay + drain + STOP_MARGIN;
    let [delay, drain, margin, sum, stop] = [delay, drain, STOP_MARGIN, sum, stop].map(duration::print);
    let message = format!(
        "drain_delay {delay} + drain_timeout {drain} + {margin} to finish = {sum}, but stop_timeout is {stop}"
    );
    Flaw::new(message).help(format!(
        "shorten the drain, or set stop_timeout = \"{sum}\" and give the container as long to stop"
    ))
}
