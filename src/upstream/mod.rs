//! Upstreams at run time: which addresses each has now, and which one a request tries next.
//!
//! Owns the address sets and the turn counter. Names are resolved by [`resolve`], connections are
//! the framework's. Picking has no side effect beyond taking a turn once a request.

mod balance;
mod dial;
mod link;
pub mod resolve;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use fluxheim_config::{Upstream, UpstreamHost, UpstreamServer};

use crate::telemetry::metrics::meters::UpstreamMeters;
use crate::tls::Outward;
use balance::Turns;
pub use link::Link;
pub use tunnel::Tunnel;

/// One `[[upstreams]]` entry at run time.
#[derive(Debug)]
pub struct Pool {
    pub config: Upstream,
    /// What it counts.
    pub meters: UpstreamMeters,
    pub link: Link,
    current: ArcSwap<Turns>,
    /// What each configured server resolved to last, in order.
    known: ArcSwap<Vec<Vec<SocketAddr>>>,
    next: AtomicUsize,
}

/// A request's place in an upstream's order; each attempt takes the address after the last one.
#[derive(Debug, Clone)]
pub struct Turn {
    turns: Arc<Turns>,
    start: usize,
}

impl Pool {
    /// A pool whose address literals are known at once and whose names are not, yet.
    #[must_use]
    pub fn new(config: Upstream) -> Self {
        Self::over(config, None)
    }

    /// The same over TLS, with what was read for it.
    #[must_use]
    pub fn over(config: Upstream, outward: Option<&Outward>) -> Self {
        let link = Link::new(&config, outward);
        let known: Vec<Vec<SocketAddr>> = config.servers.iter().map(literal).collect();
        let turns = Turns::new(&weigh(&config, &known));
        let known = ArcSwap::from_pointee(known);
        let meters = UpstreamMeters::new(&config.name);
        Self { config, link, meters, current: ArcSwap::from_pointee(turns), known, next: AtomicUsize::new(0) }
    }

    /// Starts with what `earlier` pools know of the same servers, so that a reload during an outage
    /// of the name server costs nothing.
    pub fn inherit(&self, earlier: &[Arc<Self>]) {
        let mut known = self.known();
        for (server, addresses) in self.config.servers.iter().zip(known.iter_mut()) {
            if addresses.is_empty() {
                let found = earlier.iter().find_map(|pool| pool.known_of(server));
                *addresses = found.unwrap_or_default();
            }
        }
        self.replace(known);
    }

    fn known_of(&self, server: &UpstreamServer) -> Option<Vec<SocketAddr>> {
        let at = self
            .config
            .servers
            .iter()
            .position(|ours| ours.host == server.host && ours.port == server.port)?;
        self.known.load().get(at).filter(|addresses| !addresses.is_empty()).cloned()
    }

    /// What each configured server resolved to last, in order.
    #[must_use]
    pub fn known(&self) -> Vec<Vec<SocketAddr>> {
        Vec::clone(&self.known.load())
    }

    /// Takes a turn. To be called once a request.
    #[must_use]
    pub fn turn(&self) -> Turn {
        Turn { turns: self.current.load_full(), start: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Replaces the addresses; `resolved` has one list for each configured server, in order.
    pub fn replace(&self, resolved: Vec<Vec<SocketAddr>>) {
        let turns = Turns::new(&weigh(&self.config, &resolved));
        self.known.store(Arc::new(resolved));
        if **self.current.load() != turns {
            self.current.store(Arc::new(turns));
        }
    }

    /// How many addresses there are now.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.current.load().addresses()
    }
}

impl Turn {
    /// The address for attempt `n`, counted from 0; `None` when every address was tried.
    #[must_use]
    pub fn address(&self, attempt: usize) -> Option<SocketAddr> {
        self.turns.pick(self.start, attempt)
    }
}

/// Addresses of a server that needs no resolver.
fn literal(server: &UpstreamServer) -> Vec<SocketAddr> {
    match &server.host {
        UpstreamHost::Ip(ip) => vec![SocketAddr::new(*ip, server.port)],
        UpstreamHost::Name(_) => Vec::new(),
    }
}

/// Every address with its server's weight, each address once.
fn weigh(config: &Upstream, resolved: &[Vec<SocketAddr>]) -> Vec<(SocketAddr, u16)> {
    let mut weighed: Vec<(SocketAddr, u16)> = Vec::new();
    for (server, addresses) in config.servers.iter().zip(resolved) {
        for address in addresses {
            if !weighed.iter().any(|(known, _)| known == address) {
                weighed.push((*address, server.weight));
            }
        }
    }
    weighed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(servers: Vec<UpstreamServer>) -> Pool {
        Pool::new(Upstream::new("app", servers))
    }

    fn ip(last: u8) -> UpstreamServer {
        UpstreamServer { host: UpstreamHost::Ip([127, 0, 0, last].into()), port: 80, weight: 1 }
    }

    #[test]
    fn takes_turns_and_moves_on_when_an_attempt_fails() {
        let pool = pool(vec![ip(1), ip(2)]);
        let first = pool.turn();
        let second = pool.turn();
        assert_eq!(first.address(0), Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(first.address(1), Some("127.0.0.2:80".parse().unwrap()));
        assert_eq!(first.address(2), None);
        assert_eq!(second.address(0), Some("127.0.0.2:80".parse().unwrap()));
    }

    #[test]
    fn a_name_has_no_address_until_it_is_resolved() {
        let name = UpstreamServer { host: UpstreamHost::Name("app".into()), port: 80, weight: 1 };
        let pool = pool(vec![name]);
        assert_eq!(pool.turn().address(0), None);
        pool.replace(vec![vec!["127.0.0.9:80".parse().unwrap()]]);
        assert_eq!(pool.turn().address(0), Some("127.0.0.9:80".parse().unwrap()));
        assert_eq!(pool.addresses(), 1);
    }

    #[test]
    fn a_new_pool_inherits_what_an_earlier_one_knows_of_the_same_server() {
        let name = || UpstreamServer { host: UpstreamHost::Name("app".into()), port: 80, weight: 1 };
        let old = pool(vec![name()]);
        old.replace(vec![vec!["127.0.0.9:80".parse().unwrap()]]);
        let new = pool(vec![ip(1), name()]);
        new.inherit(&[Arc::new(old)]);
        assert_eq!(new.addresses(), 2);
    }
}
