//! Rate limits: how many requests of one kind may come, and how many at once.
//!
//! Owns the bucket's arithmetic and the table of buckets. The bucket is the generic cell rate algorithm
//! (ITU-T I.371, annex A), which needs one number a key: when the bucket will be full again. The table's
//! memory is set when it is made, whatever clients do: 64-bit keyed hashes stand for keys, and where a new
//! key finds no room, the bucket that is nearest to full goes, which forgets the least. So whoever wants
//! to shake off his own debt has to fill the table with keys that owe more. Pure: the time is passed in.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How a bucket is emptied and filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds in which one request's worth comes back.
    interval: u64,
    /// Nanoseconds from empty to full.
    depth: u64,
}

/// What a bucket says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass {
        /// How many more may, at once.
        remaining: u64,
        /// Until the bucket is full.
        reset: Duration,
    },
    /// It may not.
    Over {
        /// Until one may.
        wait: Duration,
    },
}

impl Rate {
    /// `requests` in each `per`, `burst` of them at once; none of them zero.
    #[must_use]
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / u64::from(requests.max(1))).max(1);
        Self { interval, depth: interval.saturating_mul(u64::from(burst.max(1))) }
    }

    /// Takes one from a bucket that is full at `full`, if there is one; gives when it is full then.
    fn take(self, full: u64, now: u64) -> (u64, Verdict) {
        let then = full.max(now).saturating_add(self.interval);
        let owed = then - now;
        if owed > self.depth {
            return (full, Verdict::Over { wait: Duration::from_nanos(owed - self.depth) });
        }
        let remaining = (self.depth - owed) / self.interval;
        (then, Verdict::Pass { remaining, reset: Duration::from_nanos(owed) })
    }
}

/// Buckets by key.
#[derive(Debug)]
pub struct Table {
    sets: Box<[Mutex<[Bucket; WAYS]>]>,
    hasher: RandomState,
    forgotten: AtomicU64,
}

/// One key's bucket; none where `key` is 0.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    key: u64,
    /// When it is full, in nanoseconds of the caller's clock.
    full: u64,
}

impl Table {
    /// With room for so many buckets, rounded up a little; for good.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// What stands for `parts` here, and can be chosen by nobody outside.
    #[must_use]
    pub fn key(&self, parts: impl Hash) -> u64 {
        self.hasher.hash_one(parts).max(1)
    }

    /// Takes one from the bucket of `key` at `now`, in nanoseconds of a clock that never goes back.
    pub fn take(&self, key: u64, rate: Rate, now: u64) -> Verdict {
        let mut verdict = Verdict::Over { wait: Duration::ZERO };
        self.change(key, now, |full| {
            let (then, said) = rate.take(full, now);
            verdict = said;
            then
        });
        verdict
    }

    /// Puts back what was taken for a request that another rule denied.
    pub fn put_back(&self, key: u64, rate: Rate, now: u64) {
        self.change(key, now, |full| full.saturating_sub(rate.interval));
    }

    /// Buckets that made room while they were not full, since this was last asked.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        if self.forgotten.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.forgotten.swap(0, Ordering::Relaxed)
        }
    }

    fn change(&self, key: u64, now: u64, change: impl FnOnce(u64) -> u64) {
        // The high half, as the low one is the likelier to be looked at by whoever compares keys.
        let at = usize::try_from(key >> 32).unwrap_or_default() % self.sets.len();
        let Some(set) = self.sets.get(at) else { return };
        // A bucket is two plain numbers; no panic leaves it half changed.
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let [first, ..] = &*set;
        let (mut place, mut least) = (0, *first);
        for (at, bucket) in set.iter().enumerate() {
            if bucket.key == key {
                (place, least) = (at, *bucket);
                break;
            }
            if bucket.full < least.full {
                (place, least) = (at, *bucket);
            }
        }
        let mine = least.key == key;
        let then = change(if mine { least.full } else { 0 });
        if then <= now && !mine {
            // Full either way: nothing to remember.
            return;
        }
        if !mine && least.full > now {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(bucket) = set.get_mut(place) {
            *bucket = Bucket { key, full: then };
        }
    }
}

/// Buckets among which a new key finds a place; together with their lock two lines of a cache.
const WAYS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn passes(table: &Table, key: u64, rate: Rate, now: u64) -> bool {
        matches!(table.take(key, rate, now), Verdict::Pass { .. })
    }

    #[test]
    fn lets_a_burst_pass_and_then_the_rate() {
        let (table, rate) = (Table::new(64), Rate::new(10, Duration::from_secs(1), 20));
        let key = table.key("a");
        assert_eq!(
            table.take(key, rate, SECOND),
            Verdict::Pass { remaining: 19, reset: Duration::from_millis(100) }
        );
        assert_eq!((1..30).filter(|_| passes(&table, key, rate, SECOND)).count(), 19);
        assert_eq!(table.take(key, rate, SECOND), Verdict::Over { wait: Duration::from_millis(100) });
        // Being refused costs nothing.
        assert!(passes(&table, key, rate, SECOND + SECOND / 10));
        assert!(!passes(&table, key, rate, SECOND + SECOND / 10));
        let over_ten_seconds =
            (0..10_000).filter(|step| passes(&table, key, rate, 2 * SECOND + step * SECOND / 1000));
        assert!((108..=110).contains(&over_ten_seconds.count()));
        assert!(passes(&table, table.key("b"), rate, SECOND), "another key has its own bucket");
    }

    #[test]
    fn puts_back_what_another_rule_denied() {
        let (table, rate) = (Table::new(64), Rate::new(1, Duration::from_secs(60), 1));
        let key = table.key("a");
        assert!(passes(&table, key, rate, SECOND));
        table.put_back(key, rate, SECOND);
        assert!(passes(&table, key, rate, SECOND));
        assert!(!passes(&table, key, rate, SECOND));
    }

    #[test]
    fn forgets_full_buckets_first_and_then_those_that_owe_least() {
        let (table, rate) = (Table::new(WAYS), Rate::new(1, Duration::from_secs(1), 8));
        let debtor = table.key("debtor");
        (0..8).for_each(|_| assert!(passes(&table, debtor, rate, SECOND)));
        for other in 0..1000_u32 {
            assert!(passes(&table, table.key(other), rate, SECOND));
        }
        assert!(!passes(&table, debtor, rate, SECOND), "it shook off its debt");
        assert_eq!(table.forgotten(), 1000 - (WAYS as u64 - 1));
        let later = 3 * SECOND;
        (0..6_u32).for_each(|other| assert!(passes(&table, table.key(("new", other)), rate, later)));
        assert_eq!(table.forgotten(), 0, "full ones make room first");
    }

    #[test]
    fn holds_at_the_ends_of_numbers() {
        let table = Table::new(1);
        for rate in [
            Rate::new(1, Duration::from_secs(86_400), 1_000_000),
            Rate::new(1_000_000, Duration::from_secs(1), 1),
            Rate::new(0, Duration::ZERO, 0),
        ] {
            for now in [0, 1, u64::MAX - 1, u64::MAX] {
                let _ = table.take(table.key(now), rate, now);
                table.put_back(table.key(now), rate, now);
            }
        }
    }

    #[test]
    fn is_exact_under_many_threads() {
        let (table, rate) = (Table::new(64), Rate::new(1, Duration::from_secs(86_400), 1000));
        let key = table.key("a");
        let passed: usize = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| passes(&table, key, rate, SECOND)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1000);
    }
}
