//! Time as the choosing of servers knows it.
//!
//! Owns the one place that reads the clock; everything else is told what time it is, so that tests can
//! be in any hurry they like.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Microseconds since this process first asked; never 0, which stands for "never" where it is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

impl Tick {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        Self(micros(start.elapsed()).saturating_add(1))
    }

    /// As it is stored in an atomic.
    pub(super) const fn stored(self) -> u64 {
        self.0
    }

    /// From where it was stored; `None` for never.
    pub(super) const fn from_stored(stored: u64) -> Option<Self> {
        if stored == 0 { None } else { Some(Self(stored)) }
    }

    /// That much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(micros(time)))
    }

    /// The time from `earlier` on; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl Tick {
    /// So many milliseconds after the start of a test.
    pub(super) const fn at(milliseconds: u64) -> Self {
        Self(1 + milliseconds * 1000)
    }
}
