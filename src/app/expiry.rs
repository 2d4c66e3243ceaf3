//! Certificates that come to their end without being renewed.
//!
//! Owns when that is said: twice before the end, and once at it, for each certificate. What serves an
//! expired certificate goes on serving it: some clients look away, and nobody gains by a closed port.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;

use crate::telemetry::certificates::CertificateSample;
use crate::tls::{self, About, Entry, Source};

/// How near a certificate is to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Fine,
    /// Renewal is late: it is due at a third of the life before the end.
    Soon,
    /// There is little time left for people.
    VerySoon,
    Expired,
}

impl Stage {
    fn of(not_before: i64, not_after: i64, now: i64) -> Self {
        let (life, left) = (not_after.saturating_sub(not_before), not_after.saturating_sub(now));
        if left < 0 {
            Self::Expired
        } else if left < (life / 10).min(3 * DAY) {
            Self::VerySoon
        } else if left < (life / 3).min(14 * DAY) {
            Self::Soon
        } else {
            Self::Fine
        }
    }
}

/// What was said of which certificate.
#[derive(Debug, Default)]
struct Said(HashMap<(&'static str, String), (i64, Stage)>);

impl Said {
    /// The certificates that have something new to be said of.
    fn news<'a>(&mut self, all: &'a [CertificateSample], now: i64) -> Vec<(&'a CertificateSample, Stage)> {
        let mut news = Vec::new();
        let mut next = HashMap::new();
        for one in all {
            let stage = Stage::of(one.not_before, one.not_after, now);
            let key = (one.source, one.name.clone());
            let before = self.0.get(&key).filter(|(not_after, _)| *not_after == one.not_after);
            // A clock that is set back takes nothing back.
            let before = before.map_or(Stage::Fine, |(_, stage)| *stage);
            if stage > before {
                news.push((one, stage));
            }
            next.insert(key, (one.not_after, stage.max(before)));
        }
        self.0 = next;
        news
    }
}

/// Says it, for as long as the runtime lives.
pub(super) async fn watch(certificates: Arc<tls::Resolver>) {
    let mut said = Said::default();
    loop {
        for (one, stage) in said.news(&samples(&certificates), now()) {
            say(one, stage);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

fn say(one: &CertificateSample, stage: Stage) {
    let (certificate, source, not_after) = (&one.name, one.source, date(one.not_after));
    let is_late = "renewal is late: see why it was not replaced";
    match stage {
        Stage::Fine => {}
        Stage::Soon => tracing::warn!(certificate, source, not_after, "certificate expires soon: {is_late}"),
        Stage::VerySoon => {
            tracing::error!(certificate, source, not_after, "certificate expires very soon: {is_late}");
        }
        Stage::Expired => tracing::error!(
            certificate,
            source,
            not_after,
            "certificate has expired: it is still served, and clients refuse it; replace it"
        ),
    }
}

/// Every certificate in use; of several under one name the one that ends first.
pub(super) fn samples(certificates: &tls::Resolver) -> Vec<CertificateSample> {
    let mut first: BTreeMap<(&'static str, String), About> = BTreeMap::new();
    for Entry { name, source, about } in certificates.inventory() {
        let source = match source {
            Source::File => "file",
            Source::Issued => "acme",
        };
        match first.entry((source, name)) {
            btree_map::Entry::Vacant(place) => drop(place.insert(about)),
            btree_map::Entry::Occupied(mut place) if about.not_after < place.get().not_after => {
                place.insert(about);
            }
            btree_map::Entry::Occupied(_) => {}
        }
    }
    let sample = |((source, name), about): ((&'static str, String), About)| CertificateSample {
        name,
        source,
        not_before: about.not_before,
        not_after: about.not_after,
    };
    first.into_iter().map(sample).collect()
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// `Thu, 26 Nov 2026 04:00:00 GMT`
pub(super) fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or_default().min(LAST_DATE);
    HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

const DAY: i64 = 86_400;
/// Short-lived certificates live for days: a few seconds don't matter.
const BETWEEN: Duration = Duration::from_secs(10);
/// The end of the year 9999, which is also the last that a certificate can name.
const LAST_DATE: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(life: i64) -> Vec<(i64, Stage)> {
        let mut found = vec![(0, Stage::of(0, life, 0))];
        for now in (0..=life + 60).step_by(60) {
            let stage = Stage::of(0, life, now);
            if found.last().is_some_and(|(_, last)| *last != stage) {
                found.push((now, stage));
            }
        }
        found
    }

    fn sample(not_after: i64) -> CertificateSample {
        CertificateSample { name: "a".into(), source: "file", not_before: 0, not_after }
    }

    #[test]
    fn warns_in_days_for_long_lives_and_in_parts_of_short_ones() {
        assert_eq!(
            stages(90 * DAY),
            [
                (0, Stage::Fine),
                (76 * DAY + 60, Stage::Soon),
                (87 * DAY + 60, Stage::VerySoon),
                (90 * DAY + 60, Stage::Expired)
            ]
        );
        assert_eq!(
            stages(6 * DAY),
            [
                (0, Stage::Fine),
                (4 * DAY + 60, Stage::Soon),
                (6 * DAY * 9 / 10 + 60, Stage::VerySoon),
                (6 * DAY + 60, Stage::Expired)
            ]
        );
    }

    #[test]
    fn says_each_thing_once_for_each_certificate() {
        let (mut said, all) = (Said::default(), [sample(90 * DAY)]);
        let mut news = |all: &[CertificateSample], day| {
            said.news(all, day * DAY).iter().map(|(_, stage)| *stage).collect::<Vec<_>>()
        };
        assert!(news(&all, 10).is_empty());
        assert_eq!((news(&all, 77), news(&all, 78)), (vec![Stage::Soon], vec![]));
        assert_eq!((news(&all, 88), news(&all, 88)), (vec![Stage::VerySoon], vec![]));
        assert!(news(&all, 1).is_empty(), "a clock that is set back");
        assert_eq!((news(&all, 91), news(&all, 99)), (vec![Stage::Expired], vec![]));
        let renewed = [sample(180 * DAY)];
        assert_eq!((news(&renewed, 99), news(&renewed, 170)), (vec![], vec![Stage::Soon]));
    }

    #[test]
    fn writes_dates_for_people() {
        assert_eq!(date(1_795_665_600), "Thu, 26 Nov 2026 04:00:00 GMT");
        assert_eq!((date(-5), date(i64::MAX)), (date(0), date(253_402_300_799)));
    }
}
