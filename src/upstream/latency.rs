//! How long a server takes to answer, as a peak-sensitive moving average.
//!
//! Owns the arithmetic. A slower answer counts at once, a faster one gradually, and an estimate that
//! nothing confirms fades, so that a server that was slow once is tried again (the "peak EWMA" of Finagle
//! and linkerd). One atomic word: no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Tick;

/// Microseconds in the upper half, and when they held, in milliseconds modulo 2^32, in the lower.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Takes an answer into account.
    pub(super) fn observe(&self, took: Duration, now: Tick) {
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let now = stamp(now);
        let next = |old| Some(pack(blend(unpack(old), sample, now), now));
        // Only `None` would be an error, and `next` gives none.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Microseconds; `None` before the first answer.
    pub(super) fn estimate(&self, now: Tick) -> Option<f64> {
        let (value, at) = unpack(self.0.load(Ordering::Relaxed));
        let age = stamp(now).wrapping_sub(at);
        // The usual case, without the exponential.
        let kept = if age < FRESH { 1.0 } else { weight(age) };
        (value > 0).then(|| (f64::from(value) * kept).max(1.0))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two u32")]
fn blend((value, at): (u32, u32), sample: u32, now: u32) -> u32 {
    if value == 0 || sample >= value {
        return sample;
    }
    let kept = weight(now.wrapping_sub(at));
    (f64::from(value) * kept + f64::from(sample) * (1.0 - kept)) as u32
}

/// How much of an estimate is left after so many milliseconds.
fn weight(age: u32) -> f64 {
    // A stamp of another thread may be a little ahead.
    let age = if age > u32::MAX / 2 { 0 } else { age };
    (-f64::from(age) / DECAY).exp()
}

#[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is meant: only differences count")]
const fn stamp(now: Tick) -> u32 {
    (now.stored() / 1000) as u32
}

const fn pack(value: u32, at: u32) -> u64 {
    ((value as u64) << 32) | at as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// Milliseconds after which a third of an estimate is left; Finagle's ten seconds.
const DECAY: f64 = 10_000.0;
/// Milliseconds in which an estimate does not fade noticeably.
const FRESH: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn near(latency: &Latency, at: u64, microseconds: f64) -> bool {
        let seen = latency.estimate(Tick::at(at)).unwrap();
        (seen - microseconds).abs() <= microseconds * 0.05 + 1.0
    }

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let latency = Latency::default();
        assert_eq!(latency.estimate(Tick::at(0)), None);
        latency.observe(Duration::from_millis(10), Tick::at(0));
        latency.observe(Duration::from_millis(200), Tick::at(1));
        assert!(near(&latency, 1, 200_000.0));
        latency.observe(Duration::from_millis(10), Tick::at(2));
        assert!(near(&latency, 2, 200_000.0));
        for at in 0..200 {
            latency.observe(Duration::from_millis(10), Tick::at(500 * at));
        }
        assert!(near(&latency, 99_500, 10_000.0));
    }

    #[test]
    fn fades_when_nothing_confirms_it() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(1), Tick::at(0));
        assert!(near(&latency, 10_000, 367_879.0));
        assert!(near(&latency, 1_000_000, 1.0));
    }
}
