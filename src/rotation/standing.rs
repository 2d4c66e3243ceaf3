//! How one file or pair stands: as it should, waiting for its other half, or given up on until it changes.
//!
//! Owns when it is read again and when it is time to raise an alarm. Pure: told the time.

use std::time::Duration;

use tokio::time::Instant;

/// What became of the last change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// What is used is what is there.
    #[default]
    Good,
    /// What is there can't be used, and what was read before still is.
    Bad(Bad),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    since: Instant,
    tries: u32,
    /// When it is read again, changed or not.
    next: Instant,
    /// What was told, once it was.
    told: Option<String>,
}

/// What is to be said after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// Not yet, or not again.
    Nothing,
    /// It has been bad for too long to be a rotation under way, or is bad in another way by now.
    Alarm,
    /// An alarm is over.
    Recovered,
}

impl Standing {
    /// It was read, and is used.
    pub(super) fn good(&mut self) -> Tell {
        match std::mem::take(self) {
            Self::Bad(Bad { told: Some(_), .. }) => Tell::Recovered,
            Self::Good | Self::Bad(_) => Tell::Nothing,
        }
    }

    /// It could not be used; `slowest` is how long until it is tried again at most.
    pub(super) fn bad(&mut self, reason: &str, slowest: Duration, now: Instant) -> Tell {
        let mut bad = match std::mem::take(self) {
            Self::Bad(bad) => bad,
            Self::Good => Bad { since: now, tries: 0, next: now, told: None },
        };
        let wait = SOONEST.saturating_mul(1 << bad.tries.min(MOST_DOUBLINGS)).min(slowest);
        bad.tries = bad.tries.saturating_add(1);
        bad.next = now + wait;
        let told = bad.told.as_deref();
        // A rotation that is under way fails in one way now and in another then.
        let is_due = now.duration_since(bad.since) >= PATIENCE && told != Some(reason);
        if is_due {
            bad.told = Some(reason.to_owned());
        }
        *self = Self::Bad(bad);
        if is_due { Tell::Alarm } else { Tell::Nothing }
    }

    /// It has changed: what comes is another rotation, which may take its time too.
    pub(super) fn changed(&mut self, now: Instant) {
        if let Self::Bad(bad) = self {
            bad.tries = 0;
            bad.next = now;
            if bad.told.is_some() {
                bad.since = now;
            }
        }
    }

    /// When it is to be read again though nothing has changed.
    pub(super) const fn retry(&self) -> Option<Instant> {
        match self {
            Self::Good => None,
            Self::Bad(bad) => Some(bad.next),
        }
    }
}

/// How long after the first failure it is tried again; twice as long after each that follows.
const SOONEST: Duration = Duration::from_millis(200);
const MOST_DOUBLINGS: u32 = 16;
/// How long the halves of a pair may be apart: tools that copy files over a slow line take seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const SLOWEST: Duration = Duration::from_secs(30);

    #[test]
    fn is_patient_with_a_rotation_under_way_and_tells_of_a_bad_one_once() {
        let (mut standing, mut now) = (Standing::default(), Instant::now());
        let began = now;
        let mut told = Vec::new();
        for _ in 0..20 {
            if standing.bad("mismatch", SLOWEST, now) == Tell::Alarm {
                told.push(now - began);
            }
            now = standing.retry().unwrap();
        }
        assert!(matches!(told[..], [at] if at >= PATIENCE && at < 2 * PATIENCE), "{told:?}");
        assert_eq!(standing.bad("expired", SLOWEST, now), Tell::Alarm, "bad in another way");
        assert_eq!(standing.bad("expired", SLOWEST, now), Tell::Nothing);
        assert_eq!((standing.good(), standing.good()), (Tell::Recovered, Tell::Nothing));
    }

    #[test]
    fn tries_again_soon_then_less_and_less_often_and_soon_again_after_a_change() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        let mut wait = || {
            standing.bad("mismatch", SLOWEST, now);
            standing.retry().unwrap() - now
        };
        let waits: Vec<_> = (0..20).map(|_| wait()).collect();
        assert_eq!(waits[..3], [SOONEST, 2 * SOONEST, 4 * SOONEST]);
        assert!(waits.is_sorted() && *waits.last().unwrap() == SLOWEST, "{waits:?}");
        standing.changed(now);
        assert_eq!(standing.retry(), Some(now));
        standing.bad("mismatch", SLOWEST, now);
        assert_eq!(standing.retry(), Some(now + SOONEST));
    }

    #[test]
    fn says_nothing_of_a_pair_that_was_mixed_for_a_moment() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        assert_eq!(standing.bad("mismatch", SLOWEST, now), Tell::Nothing);
        assert_eq!(standing.good(), Tell::Nothing);
        assert_eq!(standing.retry(), None);
    }
}
