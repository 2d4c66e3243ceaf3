//! When what is done: renewals, tries after failures, and how much may be asked for in an hour.
//!
//! Pure: times are seconds since 1970 that the caller gives, and so is chance. A clock that jumps is
//! therefore no more than another value.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

/// When a certificate that is good from `from` until `until` is renewed: `before` its end where that is
/// configured, else after two thirds of its life. `chance` of 0 to 1 spreads those that began together over a
/// thirtieth of the life.
#[must_use]
pub(super) fn renewal(from: u64, until: u64, before: Option<u64>, chance: f64) -> u64 {
    let life = until.saturating_sub(from);
    // A configured time that is longer than the life would mean an order at once, and again, for ever.
    let left = before.filter(|before| *before < life).unwrap_or(life / 3);
    let latest = until.saturating_sub(left);
    // Not before it began, however early that is asked for.
    latest.saturating_sub(part((life / 30).min(latest.saturating_sub(from)), chance))
}

/// The moment of a window that a CA suggests (RFC 9773 section 4.2).
#[must_use]
pub(super) fn within((start, end): (u64, u64), chance: f64) -> u64 {
    start.saturating_add(part(end.saturating_sub(start), chance))
}

/// How long to wait after so many failures in a row: doubled each time, up to six hours, and never more than a
/// quarter of what is left of the certificate's life.
#[must_use]
pub(super) fn pause(failures: u32, left: Option<u64>, chance: f64) -> u64 {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(20));
    let most = left.map_or(LONGEST_PAUSE, |left| (left / 4).clamp(FIRST_PAUSE, LONGEST_PAUSE));
    let pause = doubled.min(most);
    // Not all at once, those that failed together.
    pause - part(pause / 4, chance)
}

/// The chance that belongs to `of`: always the same, so that a restart changes no plan.
#[must_use]
pub(super) fn chance(of: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a part of a whole fits where the whole does")]
fn part(whole: u64, chance: f64) -> u64 {
    (whole as f64 * chance.clamp(0.0, 1.0)) as u64
}

/// Orders that were begun, by the minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger(BTreeMap<u64, u32>);

impl Ledger {
    /// Enters one at `now` if fewer than `most` were begun within the hour before; else says when there is room.
    ///
    /// # Errors
    /// When to ask again.
    pub(super) fn enter(&mut self, now: u64, most: u32) -> Result<(), u64> {
        let minute = now / 60;
        // Those of the future are from before a clock was set back.
        self.0.retain(|at, _| *at <= minute && at + 60 > minute);
        let begun: u32 = self.0.values().sum();
        if begun < most {
            *self.0.entry(minute).or_default() += 1;
            return Ok(());
        }
        let oldest = self.0.keys().next().copied().unwrap_or(minute);
        Err((oldest + 60) * 60)
    }
}

const FIRST_PAUSE: u64 = 60;
const LONGEST_PAUSE: u64 = 6 * 3600;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn renews_after_two_thirds_or_as_configured() {
        assert_eq!(renewal(0, 90 * DAY, None, 0.0), 60 * DAY);
        assert_eq!(renewal(0, 90 * DAY, None, 1.0), 57 * DAY);
        assert_eq!(renewal(0, 6 * DAY, None, 0.0), 4 * DAY);
        assert_eq!(renewal(0, 90 * DAY, Some(10 * DAY), 0.0), 80 * DAY);
        assert_eq!(renewal(0, 6 * DAY, Some(30 * DAY), 0.0), 4 * DAY, "longer than its life");
    }

    #[test]
    fn pauses_double_up_to_a_cap() {
        let pauses: Vec<_> = (1..=4).map(|failures| pause(failures, None, 0.0)).collect();
        assert_eq!(pauses, [60, 120, 240, 480]);
        assert_eq!(pause(u32::MAX, None, 0.0), LONGEST_PAUSE);
        assert_eq!(pause(20, Some(DAY / 6), 0.0), DAY / 24, "time is short");
        assert_eq!(pause(20, Some(0), 0.0), 60);
    }

    #[test]
    fn an_hour_has_room_for_so_many_orders() {
        let mut ledger = Ledger::default();
        assert!((0..3).all(|at| ledger.enter(at * 60, 3).is_ok()));
        assert_eq!(ledger.enter(200, 3), Err(3600));
        assert_eq!(ledger.enter(3600, 3), Ok(()));
        assert_eq!(ledger.enter(10, 3), Ok(()), "the clock was set back");
    }

    proptest! {
        #[test]
        fn renewals_come_within_the_life(from in 0..1u64 << 40, life in 0..1u64 << 32, before in any::<Option<u32>>(), chance in 0.0..=1.0f64) {
            let at = renewal(from, from + life, before.map(u64::from), chance);
            prop_assert!((from..=from + life).contains(&at));
        }

        #[test]
        fn no_pause_is_nothing_or_for_ever(failures in any::<u32>(), left in any::<Option<u64>>(), chance in 0.0..=1.0f64) {
            prop_assert!((45..=LONGEST_PAUSE).contains(&pause(failures, left, chance)));
        }
    }
}
