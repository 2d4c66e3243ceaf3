//! Upstreams at run time: which addresses each has now, how they are, and which one a request tries.
//!
//! Owns the pools. Names are resolved by [`resolve`], servers are checked by [`health`], connections are
//! the framework's. Picking takes no lock: it reads a table that is never changed, and the atomics of
//! its endpoints.

mod balance;
pub mod clock;
mod dial;
mod endpoint;
mod hash;
pub mod health;
mod latency;
mod lease;
mod link;
mod outlier;
mod pick;
mod queue;
pub mod resolve;
mod seen;
mod service;
mod shared;
mod sticky;
mod table;
mod tunnel;

#[cfg(test)]
mod drain_tests;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use fluxheim_config::{Upstream, UpstreamHost, UpstreamServer};

use crate::telemetry::metrics::meters::UpstreamMeters;
use crate::tls::Outward;
use clock::Tick;
pub use lease::Lease;
pub use link::Link;
use pick::{Ask, Refused, Tried};
pub use seen::{ServerListed, ServerSeen};
pub use service::Found;
use shared::Shared;
use sticky::Pinned;
pub use sticky::{KeyTooShort, StickyKey};
use table::Table;
pub use tunnel::Tunnel;

/// One `[[upstreams]]` entry at run time.
#[derive(Debug)]
pub struct Pool {
    pub config: Upstream,
    /// What it counts.
    pub meters: UpstreamMeters,
    pub link: Link,
    zone: Option<String>,
    sticky: ArcSwapOption<StickyKey>,
    table: ArcSwap<Table>,
    /// What each configured server resolved to last, in order.
    known: ArcSwap<Vec<Vec<Found>>>,
    turns: AtomicUsize,
    /// When time alone changes something next; [`u64::MAX`] for never.
    due: AtomicU64,
    /// Held while a state or the table changes, never while a server is picked.
    changing: Mutex<()>,
    /// Held while a table is made, so that none is made of what is no longer so.
    rebuilding: Mutex<()>,
}

/// A request's way through an upstream: what it asks for, and where it was.
#[derive(Debug)]
pub struct Turn {
    table: Arc<Table>,
    key: Option<u64>,
    pinned: Option<Pinned>,
    tried: Tried,
}

/// Why there is no server for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoServer {
    /// No name has resolved.
    #[error("no name of the upstream has resolved to an address")]
    NoAddress,
    /// All are unhealthy or ejected, or drain, or were tried.
    #[error("no server of the upstream may be used just now")]
    Unusable,
    /// `max_in_flight` is reached, and there is no queue.
    #[error("every server has max_in_flight requests")]
    Full,
    /// The queue is full too.
    #[error("every server has max_in_flight requests, and the queue is full")]
    QueueFull,
    /// Nothing came free in time.
    #[error("every server had max_in_flight requests for as long as the queue's timeout")]
    QueueTimeout,
}

impl From<Refused> for NoServer {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoAddress => Self::NoAddress,
            Refused::NoServer => Self::Unusable,
            Refused::Full => Self::Full,
        }
    }
}

impl Pool {
    /// A pool whose address literals are known at once and whose names are not, yet. `outward` is what was
    /// read for its TLS, `zone` where this instance runs.
    #[must_use]
    pub fn new(
        config: Upstream,
        outward: Option<&Outward>,
        zone: Option<&str>,
        sticky: Option<StickyKey>,
    ) -> Self {
        let known: Vec<Vec<Found>> = config.servers.iter().map(literal).collect();
        let now = Tick::now();
        let table = Table::new(&config, zone, sticky.as_ref(), &known, Arc::new(Shared::new(now)), now);
        let pool = Self {
            meters: UpstreamMeters::new(&config.name),
            link: Link::new(&config, outward),
            config,
            zone: zone.map(str::to_owned),
            sticky: ArcSwapOption::from_pointee(sticky),
            table: ArcSwap::from_pointee(table),
            known: ArcSwap::from_pointee(known),
            turns: AtomicUsize::new(0),
            due: AtomicU64::new(u64::MAX),
            changing: Mutex::default(),
            rebuilding: Mutex::default(),
        };
        pool.change(now, |_| ());
        pool
    }

    /// Starts with what `earlier` pools know: the state of the servers of the upstream of the same name,
    /// and the addresses of the same servers, so that a reload during an outage of the name server costs
    /// nothing.
    pub fn inherit(&self, earlier: &[Arc<Self>]) {
        let mut known = self.known();
        for (server, addresses) in self.config.servers.iter().zip(known.iter_mut()) {
            if addresses.is_empty() {
                let found = earlier.iter().find_map(|pool| pool.known_of(server));
                *addresses = found.unwrap_or_default();
            }
        }
        let namesake = earlier.iter().find(|pool| pool.config.name == self.config.name);
        let shared = namesake.map(|pool| Arc::clone(&pool.table.load().shared));
        self.rebuild(Some(known), shared);
    }

    fn known_of(&self, server: &UpstreamServer) -> Option<Vec<Found>> {
        let at = self
            .config
            .servers
            .iter()
            .position(|ours| ours.host == server.host && ours.port == server.port)?;
        self.known.load().get(at).filter(|addresses| !addresses.is_empty()).cloned()
    }

    /// What its servers are called, for `Host` in requests of our own: as the first of them is.
    #[must_use]
    pub fn authority(&self) -> String {
        self.config.servers.first().map_or_else(|| self.config.name.clone(), authority)
    }

    /// What each of its servers is called.
    #[must_use]
    pub fn authorities(&self) -> Vec<String> {
        self.config.servers.iter().map(authority).collect()
    }

    /// What each configured server resolved to last, in order.
    #[must_use]
    pub fn known(&self) -> Vec<Vec<Found>> {
        Vec::clone(&self.known.load())
    }

    /// Replaces the addresses; `resolved` has one list for each configured server, in order.
    pub fn replace(&self, resolved: Vec<Vec<Found>>) {
        if **self.known.load() != resolved {
            self.rebuild(Some(resolved), None);
        }
    }

    /// From now on, cookies are of this key; those of the one before are as good as none.
    pub fn replace_sticky(&self, key: StickyKey) {
        self.sticky.store(Some(Arc::new(key)));
        self.rebuild(None, None);
    }

    /// Keeps new requests away from the server of that name, or lets them come again, whatever the
    /// configuration says; over reloads too, until it says the same or has the server no more. Whether there
    /// is such a server.
    #[must_use]
    pub fn set_drain(&self, name: &str, drain: bool) -> bool {
        let Some(server) = self.config.servers.iter().find(|server| seen::name(server) == name) else {
            return false;
        };
        self.table.load().shared.set_drain(server, drain);
        self.rebuild(None, None);
        true
    }

    /// Follows what was set on its predecessor while this pool was being made.
    pub fn follow_drains(&self) {
        let table = self.table.load();
        table.shared.keep_drains(&self.config.servers);
        if table.drain_changes != table.shared.drain_changes() {
            self.rebuild(None, None);
        }
    }

    /// A new table: of other addresses, or with another state, where these are given.
    fn rebuild(&self, known: Option<Vec<Vec<Found>>>, shared: Option<Arc<Shared>>) {
        let _rebuilding = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.unwrap_or_else(|| self.known());
        let now = Tick::now();
        let shared = shared.unwrap_or_else(|| Arc::clone(&self.table.load().shared));
        let zone = self.zone.as_deref();
        let table = Table::new(&self.config, zone, self.sticky.load().as_deref(), &known, shared, now);
        self.known.store(Arc::new(known));
        self.table.store(Arc::new(table));
        self.change(now, |_| ());
    }

    /// How many addresses there are now.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.table.load().members.len()
    }

    /// Begins a request. `key` is, in parts, what the request has of what `hash` hashes, `cookie` the value of its
    /// sticky cookie, `now` in seconds since the Unix epoch.
    #[must_use]
    pub fn turn(&self, key: Option<&[&[u8]]>, cookie: Option<&str>, now: u64) -> Turn {
        let pinned = cookie.and_then(|value| self.sticky.load().as_ref()?.open(value, now));
        let key = key.map(hash::of);
        Turn { table: self.table.load_full(), key, pinned, tried: Tried::default() }
    }

    /// The `Set-Cookie` value for a client served by `lease`, where it needs one.
    #[must_use]
    pub fn set_cookie(&self, turn: &Turn, lease: &Lease, now: u64) -> Option<String> {
        let (key, sticky) = (self.sticky.load(), self.config.sticky.as_ref()?);
        key.as_ref()?.set_cookie(sticky, turn.pinned, &lease.address(), now)
    }

    /// A server for the next attempt, if one may be used at once.
    fn try_acquire(self: &Arc<Self>, turn: &mut Turn, retry: bool, now: Tick) -> Result<Lease, Refused> {
        self.keep_up(now);
        let shared = turn.shared();
        if !shared.enter(self.config.max_in_flight, retry) {
            return Err(Refused::Full);
        }
        match turn.table.pick(&self.ask(turn, now)) {
            Ok(entered) => {
                let member = turn.table.member(entered.member);
                let endpoint = member.map(|member| Arc::clone(&member.endpoint)).ok_or(Refused::NoServer)?;
                let shared = Arc::clone(turn.shared());
                turn.tried.note(entered.member);
                let probe = entered.probe;
                let pool = Arc::clone(self);
                Ok(Lease { pool, shared, endpoint, since: now, probe, retry, judged: false })
            }
            Err(refused) => {
                shared.leave(retry);
                Err(refused)
            }
        }
    }

    /// Whether an attempt more would find a server that was not tried.
    #[must_use]
    pub fn has_another(&self, turn: &Turn, now: Tick) -> bool {
        turn.table.has_another(&self.ask(turn, now))
    }

    /// Whether one more request that was sent before may be sent again.
    #[must_use]
    pub fn affords_retry(&self, turn: &Turn) -> bool {
        turn.shared().affords_retry(self.config.retry.budget_percent)
    }

    fn ask<'a>(&'a self, turn: &'a Turn, now: Tick) -> Ask<'a> {
        Ask {
            key: turn.key,
            pinned: turn.pinned.map(|pinned| pinned.name),
            tried: &turn.tried,
            slow_start: self.config.slow_start,
            turns: &self.turns,
            now,
        }
    }

    /// What time alone brings: ejections that end.
    fn keep_up(&self, now: Tick) {
        if now.stored() >= self.due.load(Ordering::Relaxed) {
            self.change(now, |_| ());
        }
    }

    /// Changes the state of servers, and works out what follows from it.
    fn change(&self, now: Tick, change: impl FnOnce(&Table)) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load();
        change(&table);
        let (before, after) = table.assess(self.config.panic_threshold, now);
        self.due.store(table.next_end(now).map_or(u64::MAX, Tick::stored), Ordering::Relaxed);
        let upstream = &self.config.name;
        if after.panic && !before.panic && !table.members.is_empty() {
            tracing::warn!(upstream, "too few healthy servers: health is ignored");
        } else if before.panic && !after.panic {
            tracing::info!(upstream, "enough healthy servers: health counts again");
        }
        table.shared.line.wake();
    }
}

impl Turn {
    fn shared(&self) -> &Arc<Shared> {
        &self.table.shared
    }

    /// Allows the server tried last once more: it was not at fault.
    pub fn forgive(&mut self) {
        self.tried.forget();
    }
}

/// Addresses of a server that needs no resolver.
fn authority(server: &UpstreamServer) -> String {
    match &server.host {
        UpstreamHost::Ip(ip) => SocketAddr::new(*ip, server.port).to_string(),
        UpstreamHost::Name(name) => format!("{name}:{}", server.port),
        UpstreamHost::Service(name) => name.clone(),
    }
}

fn literal(server: &UpstreamServer) -> Vec<Found> {
    match &server.host {
        UpstreamHost::Ip(ip) => vec![SocketAddr::new(*ip, server.port).into()],
        UpstreamHost::Name(_) | UpstreamHost::Service(_) => Vec::new(),
    }
}
