//! What an upstream keeps over changes of its addresses and over reloads.
//!
//! Owns the endpoints by address, and the counts over all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fluxheim_config::UpstreamServer;

use super::clock::Tick;
use super::endpoint::Endpoint;
use super::queue::Line;
use super::seen;

/// Of one upstream, by name.
#[derive(Debug)]
pub(super) struct Shared {
    born: Tick,
    endpoints: Mutex<BTreeMap<SocketAddr, Arc<Endpoint>>>,
    in_flight: AtomicU32,
    /// Requests in flight that are retries of ones that were sent before.
    retrying: AtomicU32,
    pub(super) line: Line,
    /// Which servers drain, or don't, whatever the configuration says; by what it calls them.
    drains: Mutex<BTreeMap<String, bool>>,
    /// How often that changed.
    drain_changes: AtomicU64,
}

impl Shared {
    pub(super) fn new(now: Tick) -> Self {
        Self {
            born: now,
            endpoints: Mutex::default(),
            in_flight: AtomicU32::new(0),
            retrying: AtomicU32::new(0),
            line: Line::default(),
            drains: Mutex::default(),
            drain_changes: AtomicU64::new(0),
        }
    }

    /// The endpoint of that address: the one there is, or a new one.
    pub(super) fn endpoint(&self, address: SocketAddr, now: Tick) -> Arc<Endpoint> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that no table and no request has any more.
        endpoints.retain(|at, endpoint| *at == address || Arc::strong_count(endpoint) > 1);
        // The first addresses are no newcomers among others.
        let fresh = (now.since(self.born) > SETTLING).then_some(now);
        Arc::clone(endpoints.entry(address).or_insert_with(|| Arc::new(Endpoint::new(address, fresh))))
    }

    /// Whether new requests stay away from `server`, and whether the configuration says otherwise.
    pub(super) fn drains(&self, server: &UpstreamServer) -> (bool, bool) {
        let drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        drains.get(&seen::name(server)).map_or((server.drain, false), |drain| (*drain, true))
    }

    /// From now on; what is as the configuration has it needs no other word.
    pub(super) fn set_drain(&self, server: &UpstreamServer, drain: bool) {
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        if drain == server.drain {
            drains.remove(&seen::name(server));
        } else {
            drains.insert(seen::name(server), drain);
        }
        self.drain_changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets what is said of servers that are no more, or as the configuration has it by now.
    pub(super) fn keep_drains(&self, servers: &[UpstreamServer]) {
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        drains.retain(|name, drain| {
            servers.iter().any(|server| seen::name(server) == *name && server.drain != *drain)
        });
    }

    pub(super) fn drain_changes(&self) -> u64 {
        self.drain_changes.load(Ordering::Acquire)
    }

    /// Counts a request in unless there are `most` already.
    pub(super) fn enter(&self, most: Option<u32>, retry: bool) -> bool {
        let next = |now| most.is_none_or(|most| now < most).then(|| now + 1);
        let entered = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok();
        if entered && retry {
            self.retrying.fetch_add(1, Ordering::AcqRel);
        }
        entered
    }

    pub(super) fn leave(&self, retry: bool) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        if retry {
            self.retrying.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Whether one more retry stays within `percent` of what is in flight.
    pub(super) fn affords_retry(&self, percent: u8) -> bool {
        let allowed = u64::from(self.in_flight()) * u64::from(percent) / 100;
        u64::from(self.retrying.load(Ordering::Acquire)) < allowed.max(LEAST_RETRIES)
    }
}

/// How long the first answers of name servers may come apart.
const SETTLING: Duration = Duration::from_secs(10);
/// Envoy's `min_retry_concurrency`: a share of next to nothing would forbid every retry.
const LEAST_RETRIES: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_failures_does_not_become_a_storm_of_retries() {
        let shared = Shared::new(Tick::at(0));
        for _ in 0..100 {
            assert!(shared.enter(None, false));
        }
        let mut retries = 0;
        while shared.affords_retry(20) && shared.enter(None, true) {
            retries += 1;
        }
        assert!((20..=25).contains(&retries), "{retries}");
        (0..retries).for_each(|_| shared.leave(true));
        (0..100).for_each(|_| shared.leave(false));
        assert_eq!(shared.in_flight(), 0);
        assert!(shared.affords_retry(20));
    }

    #[test]
    fn an_address_that_comes_back_at_once_is_the_same_one_and_a_lost_one_is_forgotten() {
        let shared = Shared::new(Tick::at(0));
        let (one, other) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let first = shared.endpoint(one, Tick::at(1));
        assert!(Arc::ptr_eq(&first, &shared.endpoint(one, Tick::at(2))));
        assert!(first.enter(None));
        drop(first);
        let _other = shared.endpoint(other, Tick::at(3));
        assert_eq!(shared.endpoint(one, Tick::at(4)).in_flight(), 0);
    }
}
