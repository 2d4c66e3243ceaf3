//! The time of day, which certificates are good by.
//!
//! Owns the one place where ACME asks for it: it may jump, so nobody computes with it further than a minute.

use std::time::SystemTime;

/// Seconds since 1970.
#[must_use]
pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
