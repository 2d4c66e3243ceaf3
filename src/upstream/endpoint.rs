//! What is known of one address of an upstream: its health, its load, its pace.
//!
//! Owns the atomics, and outlives tables and reloads; decides nothing about other addresses. Each word
//! stands alone, so a reader may see one of two that change together: a request more or less on a server
//! that is just changing its state is what any balancer has.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Tick;
use super::latency::Latency;

/// One address, shared by every table that has it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) latency: Latency,
    in_flight: AtomicU32,
    /// What active checks say: [`UNKNOWN`], [`HEALTHY`] or [`UNHEALTHY`].
    checked: AtomicU8,
    /// Checks in a row that spoke against `checked`.
    against: AtomicU32,
    /// Until when it is ejected; from then on it is half open. 0: it isn't.
    ejected_until: AtomicU64,
    /// Ejections that followed each other.
    ejections: AtomicU32,
    /// When the last ejection was over.
    returned: AtomicU64,
    /// Until when somebody tries it while it is half open; 0 for nobody.
    probed_until: AtomicU64,
    failures: AtomicU32,
    errors: AtomicU32,
    /// From when its share grows; 0: it has it in full.
    since: AtomicU64,
}

/// Whether requests may go to an address, its load aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Up,
    /// Active checks fail.
    Unhealthy,
    /// Left out after failures.
    Ejected,
    /// The ejection is over; one request shows how it is.
    HalfOpen,
}

impl Endpoint {
    /// `fresh` is when it joined servers that had been there before it.
    pub(super) fn new(address: SocketAddr, fresh: Option<Tick>) -> Self {
        Self {
            address,
            latency: Latency::default(),
            in_flight: AtomicU32::new(0),
            checked: AtomicU8::new(UNKNOWN),
            against: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            returned: AtomicU64::new(0),
            probed_until: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            since: AtomicU64::new(fresh.map_or(0, Tick::stored)),
        }
    }

    pub(super) fn standing(&self, now: Tick) -> Standing {
        if self.checked.load(Ordering::Relaxed) == UNHEALTHY {
            return Standing::Unhealthy;
        }
        match self.ejected_until() {
            None => Standing::Up,
            Some(until) if now < until => Standing::Ejected,
            Some(_) => Standing::HalfOpen,
        }
    }

    /// Until when it is ejected; a time that has passed makes it half open.
    pub(super) fn ejected_until(&self) -> Option<Tick> {
        Tick::from_stored(self.ejected_until.load(Ordering::Relaxed))
    }

    /// Whether a request may be tried on it now.
    pub(super) fn is_open(&self, now: Tick) -> bool {
        match self.standing(now) {
            Standing::Up => true,
            Standing::HalfOpen => self.probed_until.load(Ordering::Relaxed) <= now.stored(),
            Standing::Unhealthy | Standing::Ejected => false,
        }
    }

    /// Claims the one try of a half-open server. The claim ends by itself: a client that takes its time must
    /// not keep a server from coming back.
    pub(super) fn claim_probe(&self, now: Tick) -> bool {
        let claim = |until: u64| (until <= now.stored()).then(|| now.after(PROBE).stored());
        self.probed_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim).is_ok()
    }

    pub(super) fn release_probe(&self) {
        self.probed_until.store(0, Ordering::Release);
    }

    /// Counts a request in unless there are `most` already; [`Endpoint::leave`] counts it out.
    pub(super) fn enter(&self, most: Option<u32>) -> bool {
        let Some(most) = most else {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            return true;
        };
        let next = |now| (now < most).then_some(now + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Its share now, from a tenth to 1: full unless it is new or just back.
    pub(super) fn ramp(&self, slow_start: Option<Duration>, now: Tick) -> f64 {
        let Some(slow_start) = slow_start else { return 1.0 };
        let Some(since) = Tick::from_stored(self.since.load(Ordering::Relaxed)) else { return 1.0 };
        (now.since(since).as_secs_f64() / slow_start.as_secs_f64()).clamp(LEAST_SHARE, 1.0)
    }

    /// Takes in the result of a check; whether it changed what is known.
    pub(super) fn checked(&self, good: bool, healthy_after: u32, unhealthy_after: u32, now: Tick) -> bool {
        let known = self.checked.load(Ordering::Relaxed);
        let (new, needed) = if good { (HEALTHY, healthy_after) } else { (UNHEALTHY, unhealthy_after) };
        if known == new {
            self.against.store(0, Ordering::Relaxed);
            return false;
        }
        let row = self.against.fetch_add(1, Ordering::Relaxed) + 1;
        // The first result is believed at once.
        if known != UNKNOWN && row < needed {
            return false;
        }
        self.against.store(0, Ordering::Relaxed);
        self.checked.store(new, Ordering::Relaxed);
        if known == UNHEALTHY {
            self.start_slowly(now);
        }
        // A server that is found to be as it was taken to be has not changed.
        known != UNKNOWN || !good
    }

    /// Forgets what checks said, where there are none any more.
    pub(super) fn unchecked(&self) {
        self.checked.store(UNKNOWN, Ordering::Relaxed);
        self.against.store(0, Ordering::Relaxed);
    }

    /// Counts a failed request; how many there were in a row.
    pub(super) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a response of 5xx; how many there were in a row.
    pub(super) fn erred(&self) -> u32 {
        self.errors.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Ends the row of failures, and of 5xx where `errors` says so.
    pub(super) fn served(&self, errors: bool) {
        // Reading first keeps the line shared among cores in the usual case.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if errors && self.errors.load(Ordering::Relaxed) != 0 {
            self.errors.store(0, Ordering::Relaxed);
        }
    }

    /// Leaves it out for `base`, twice, three times and so on as long, but not longer than `most`; returns
    /// for how long.
    pub(super) fn eject(&self, base: Duration, most: Duration, now: Tick) -> Duration {
        let returned = Tick::from_stored(self.returned.load(Ordering::Relaxed));
        let starts_over = returned.is_some_and(|returned| now.since(returned) > most);
        let ejections =
            if starts_over { 1 } else { self.ejections.load(Ordering::Relaxed).saturating_add(1) };
        let time = base.saturating_mul(ejections).min(most);
        self.ejections.store(ejections, Ordering::Relaxed);
        self.served(true);
        self.ejected_until.store(now.after(time).stored(), Ordering::Relaxed);
        time
    }

    /// Ends an ejection.
    pub(super) fn readmit(&self, now: Tick) {
        self.ejected_until.store(0, Ordering::Relaxed);
        self.returned.store(now.stored(), Ordering::Relaxed);
        self.served(true);
        self.start_slowly(now);
    }

    /// Forgets an ejection, where there are none any more.
    pub(super) fn pardon(&self) {
        self.ejected_until.store(0, Ordering::Relaxed);
    }

    fn start_slowly(&self, now: Tick) {
        self.since.store(now.stored(), Ordering::Relaxed);
    }
}

/// How long one request may be the only one that tries a server.
const PROBE: Duration = Duration::from_secs(5);
const UNKNOWN: u8 = 0;
const HEALTHY: u8 = 1;
const UNHEALTHY: u8 = 2;
/// Envoy's least share of a server that starts slowly.
const LEAST_SHARE: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(([127, 0, 0, 1], 80).into(), None)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn never_takes_more_than_it_may() {
        let endpoint = endpoint();
        assert!(endpoint.enter(Some(2)) && endpoint.enter(Some(2)) && !endpoint.enter(Some(2)));
        endpoint.leave();
        assert!(endpoint.enter(Some(2)));
        assert_eq!(endpoint.in_flight(), 2);
    }

    #[test]
    fn the_first_check_decides_and_later_ones_need_a_row() {
        let endpoint = endpoint();
        let check = |good| endpoint.checked(good, 2, 3, Tick::at(0));
        assert!(check(false));
        assert_eq!(endpoint.standing(Tick::at(0)), Standing::Unhealthy);
        assert!(!check(true) && !check(false) && !check(true));
        assert!(check(true));
        assert_eq!(endpoint.standing(Tick::at(0)), Standing::Up);
        assert!(!check(false) && !check(false));
        assert!(check(false));
    }

    #[test]
    fn stays_out_longer_each_time_and_starts_over_after_a_good_while() {
        let (endpoint, most) = (endpoint(), 3 * SECOND);
        assert_eq!(endpoint.eject(SECOND, most, Tick::at(0)), SECOND);
        assert_eq!(endpoint.standing(Tick::at(999)), Standing::Ejected);
        assert_eq!(endpoint.standing(Tick::at(1000)), Standing::HalfOpen);
        let now = Tick::at(1000);
        assert!(endpoint.claim_probe(now) && !endpoint.claim_probe(now) && !endpoint.is_open(now));
        assert!(endpoint.is_open(now.after(PROBE)) && endpoint.claim_probe(now.after(PROBE)));
        assert_eq!(endpoint.eject(SECOND, most, Tick::at(1000)), 2 * SECOND);
        assert_eq!(endpoint.eject(SECOND, most, Tick::at(3000)), most);
        assert_eq!(endpoint.eject(SECOND, most, Tick::at(6000)), most);
        endpoint.readmit(Tick::at(9000));
        assert_eq!(endpoint.standing(Tick::at(9000)), Standing::Up);
        assert_eq!(endpoint.eject(SECOND, most, Tick::at(12_001)), SECOND);
    }

    #[test]
    fn comes_back_slowly() {
        let endpoint = endpoint();
        let ramp = |at| endpoint.ramp(Some(10 * SECOND), Tick::at(at));
        assert!((ramp(0) - 1.0).abs() < f64::EPSILON);
        endpoint.readmit(Tick::at(0));
        assert!((ramp(0) - 0.1).abs() < 0.001 && (ramp(5000) - 0.5).abs() < 0.001);
        assert!((ramp(10_000) - 1.0).abs() < 0.001 && (ramp(90_000) - 1.0).abs() < 0.001);
    }
}
