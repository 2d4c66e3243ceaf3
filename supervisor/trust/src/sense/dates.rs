//! When a certificate is valid, and how long still.
//!
//! Owns these findings. They never refuse: one site's certificate must not stop all the others.
//! Follows RFC 5280 section 4.1.2.5.

use std::path::Path;

use super::text::{DAY, span, time};
use super::warn;
use crate::finding::{Code, Finding};

/// `which` certificate of the file it is, as in "the leaf (CN=...)".
pub(super) fn judge(path: &Path, which: &str, (from, until): (i64, i64), now: i64) -> Option<Finding> {
    let left = until.saturating_sub(now);
    if left < 0 {
        let ago = span(left.saturating_neg());
        let seen = format!("{which} EXPIRED {ago} ago, {}", time(until));
        let why = "every client refuses it now";
        return Some(warn(path, Code::Expired, seen, why, "renew it, and reload"));
    }
    if from > now {
        let seen = format!(
            "{which} is not valid for another {}, until {}",
            span(from.saturating_sub(now)),
            time(from)
        );
        let why = "every client refuses it now";
        let fix = "set the clock of this machine if it is wrong; else use the one before until then";
        return Some(warn(path, Code::NotYetValid, seen, why, fix));
    }
    if left > window(until.saturating_sub(from)) {
        return None;
    }
    let seen = format!("{which} expires in {}, {}", span(left), time(until));
    let why = "it should have been renewed by now";
    Some(warn(path, Code::ExpiresSoon, seen, why, "renew it, and see why that did not happen by itself"))
}

/// Two weeks; of certificates that live for days only, the last third, which is when ACME clients
/// renew them.
fn window(lifetime: i64) -> i64 {
    (lifetime / 3).min(14 * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from: i64, until: i64) -> Option<(&'static str, String)> {
        let finding = judge(Path::new("/c"), "the leaf", (from, until), 1_000_000_000)?;
        assert_eq!(finding.severity.id(), "warn");
        Some((finding.code.id(), finding.seen))
    }

    const NOW: i64 = 1_000_000_000;

    #[test]
    fn warns_in_the_last_two_weeks_or_the_last_third() {
        let year = |left: i64| seen(NOW - 365 * DAY, NOW + left);
        assert_eq!(year(14 * DAY + 1), None);
        let (code, text) = year(14 * DAY).unwrap();
        assert_eq!((code, &*text), ("expires-soon", "the leaf expires in 14 days, 2001-09-23 01:46:40 UTC"));
        assert!(year(7200).unwrap().1.contains("expires in 2 hours"));
        // Six days of life, as the shortest-lived public certificates have.
        assert_eq!(seen(NOW - 4 * DAY + 1, NOW + 2 * DAY + 1), None);
        assert_eq!(seen(NOW - 4 * DAY, NOW + 2 * DAY).unwrap().0, "expires-soon");
    }

    #[test]
    fn takes_both_ends_as_valid() {
        assert_eq!(seen(NOW, NOW + 365 * DAY), None);
        assert_eq!(seen(NOW + 1, NOW + 365 * DAY).unwrap().0, "not-yet-valid");
        assert_eq!(seen(0, NOW).unwrap().0, "expires-soon");
        assert_eq!(seen(0, NOW - 1).unwrap().0, "expired");
    }

    #[test]
    fn overflows_nowhere() {
        for (from, until) in
            [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]
        {
            for now in [i64::MIN, 0, i64::MAX] {
                let _ = judge(Path::new("/c"), "it", (from, until), now);
            }
        }
    }
}
