//! Issuers that are not asked for now: those that asked to wait, and those that are out of order.
//!
//! Owns how long one that is out of order is left alone; what a CA asked for is kept with its host.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::clock::date;
use super::schedule;

/// An issuer that is not to be asked before a time.
pub(super) struct Wait<'a> {
    pub(super) issuer: &'a str,
    /// By the CA itself; else it was out of order.
    pub(super) asked: bool,
    pub(super) until: u64,
}

impl fmt::Display for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, asked, until } = self;
        let what = if *asked { "asked to wait" } else { "was out of order and is left alone" };
        write!(f, "issuer {issuer} {what} until {}", date(*until))
    }
}

/// Issuers that are out of order, by name.
#[derive(Debug, Default)]
pub(super) struct OutOfOrder(Mutex<HashMap<String, Down>>);

#[derive(Debug, Clone, Copy)]
struct Down {
    failures: u32,
    since: u64,
    until: u64,
}

impl OutOfOrder {
    /// Leaves it alone for a while, unless that was decided a moment ago.
    pub(super) fn fell(&self, issuer: &str, now: u64) {
        let mut down = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = down.get(issuer).filter(|down| down.since <= now);
        if last.is_some_and(|last| last.until > now) {
            return;
        }
        let failures = last.map_or(0, |last| last.failures).saturating_add(1);
        let pause = schedule::pause(failures, None, 0.0).min(LONGEST);
        down.insert(issuer.to_owned(), Down { failures, since: now, until: now + pause });
    }

    /// Until when; zero where it is in order.
    pub(super) fn until(&self, issuer: &str, now: u64) -> u64 {
        let down = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One of the future is from before the clock was set back.
        down.get(issuer).filter(|down| down.since <= now).map_or(0, |down| down.until)
    }

    /// It does what it is asked.
    pub(super) fn rose(&self, issuer: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(issuer);
    }
}

/// Seconds.
const LONGEST: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_left_alone_ever_longer_until_it_does_what_it_is_asked() {
        let down = OutOfOrder::default();
        assert_eq!(down.until("ca", 1000), 0);
        down.fell("ca", 1000);
        assert_eq!(down.until("ca", 1000), 1060);
        // Others that had begun before find out too: that is one failure.
        down.fell("ca", 1010);
        assert_eq!(down.until("ca", 1010), 1060);
        down.fell("ca", 1060);
        assert_eq!(down.until("ca", 1060), 1180);
        // The clock was set back: nobody waits for it to catch up.
        assert_eq!(down.until("ca", 500), 0);
        down.fell("ca", 500);
        assert_eq!(down.until("ca", 500), 560);
        down.rose("ca");
        assert_eq!(down.until("ca", 500), 0);
    }

    #[test]
    fn says_who_and_until_when() {
        let wait = |asked| Wait { issuer: "one", asked, until: 1_795_665_600 }.to_string();
        assert_eq!(wait(true), "issuer one asked to wait until Thu, 26 Nov 2026 04:00:00 GMT");
        assert!(wait(false).starts_with("issuer one was out of order and is left alone until Thu, 26"));
    }
}
