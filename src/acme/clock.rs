//! The time of day, which certificates are good by.
//!
//! Owns the one place where ACME asks for it: it may jump, so nobody computes with it further than a minute.

use std::time::{Duration, SystemTime};

/// Seconds since 1970.
#[must_use]
pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `Thu, 26 Nov 2026 04:00:00 GMT`
#[must_use]
pub(super) fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_DATE)))
}

/// The end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;
