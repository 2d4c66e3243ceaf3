//! Records in DNS that were made, or may have been, until they are known to be gone.
//!
//! Owns that none is forgotten: each is kept before it is made, beside the host's schedule, so that neither an order
//! that has moved on nor the end of the process loses it. Taking one back is tried so many times, then it is left to
//! the operator, by name and value. Which are made is `presenting`'s.

use std::sync::Arc;

use super::clock::{date, seconds};
use super::dns::{Provider, Record};
use super::failure::Failure;
use super::plans;
use super::record::LeftRecord;
use super::store::{Lease, Store};

/// Of whom, and where that is kept.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) host: &'a str,
    pub(super) lease: &'a Lease,
}

impl LeftRecord {
    /// For what `provider` is about to make.
    #[must_use]
    pub(super) fn of(provider: &dyn Provider, record: Record) -> Self {
        let Record { name, value } = record;
        Self { name, value, provider: provider.kind().to_owned(), tries: 0, not_before: 0 }
    }

    fn record(&self) -> Record {
        Record { name: self.name.clone(), value: self.value.clone() }
    }

    fn is(&self, other: &Self) -> bool {
        (&self.name, &self.value, &self.provider) == (&other.name, &other.value, &other.provider)
    }

    /// When it is to be taken back, by a clock that may have been set back since.
    #[must_use]
    pub(super) fn due(&self, now: u64) -> u64 {
        self.not_before.min(now + LONGEST_PAUSE)
    }

    /// After one more try that has failed; `None` after the last.
    fn again(&self, now: u64) -> Option<Self> {
        let tries = self.tries.saturating_add(1);
        let pause =
            FIRST_PAUSE.checked_shl(tries - 1).map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE));
        (tries < MOST_TRIES).then(|| Self { tries, not_before: now + pause, ..self.clone() })
    }
}

impl Place<'_> {
    /// Keeps that `left` is about to be made; whether that is news.
    ///
    /// # Errors
    /// It can't be kept: then it must not be made.
    pub(super) async fn note(self, left: &LeftRecord) -> Result<bool, Failure> {
        let mut is_news = false;
        let kept = plans::change(self.store, self.host, self.lease, |plan| {
            is_news = !plan.left.iter().any(|other| other.is(left));
            plan.left.retain(|other| !other.is(left));
            plan.left.push(left.clone());
        });
        kept.await?;
        Ok(is_news)
    }

    /// It is gone.
    pub(super) async fn forget(self, left: &LeftRecord) {
        let kept = plans::change(self.store, self.host, self.lease, |plan| {
            plan.left.retain(|other| !other.is(left));
        });
        if let Err(error) = kept.await {
            // Then it is taken back once more.
            tracing::debug!(host = self.host, %error, "that a record is gone could not be kept");
        }
    }

    /// Takes it back, now or some other time.
    pub(super) async fn take_back(self, provider: Option<&Arc<dyn Provider>>, left: &LeftRecord) {
        let provider = provider.filter(|provider| provider.kind() == left.provider);
        let gone = match provider {
            Some(provider) => provider.cleanup(left.record()).await.map_err(|error| error.to_string()),
            None => Err(format!("[acme.dns] has provider = {:?} no longer", left.provider)),
        };
        let Err(error) = gone else { return self.forget(left).await };
        let owner = match provider {
            Some(provider) => provider.owner(&left.name).await,
            None => None,
        };
        let owner = owner.unwrap_or_else(|| left.name.clone());
        let (name, value) = (&left.name, &left.value);
        match self.put_off(left).await {
            Ok(None) => {
                tracing::warn!(
                    name,
                    owner,
                    value,
                    error,
                    "the record of an order stays in DNS: remove it by hand"
                );
            }
            Ok(Some(next)) => {
                let again = date(next.not_before);
                tracing::warn!(
                    name,
                    owner,
                    value,
                    error,
                    again,
                    "the record of an order is not taken back yet"
                );
            }
            Err(unkept) => {
                tracing::warn!(name, owner, value, error, %unkept, "the record of an order is not taken back yet");
            }
        }
    }

    /// All that are due.
    pub(super) async fn take_back_due(self, provider: Option<&Arc<dyn Provider>>) {
        let Ok((plan, _)) = plans::read(self.store, self.host).await else { return };
        let now = seconds();
        for left in plan.left.iter().filter(|left| left.due(now) <= now) {
            self.take_back(provider, left).await;
        }
    }

    async fn put_off(self, left: &LeftRecord) -> Result<Option<LeftRecord>, Failure> {
        let now = seconds();
        let mut next = None;
        let kept = plans::change(self.store, self.host, self.lease, |plan| {
            let kept = plan.left.iter().find(|other| other.is(left)).unwrap_or(left);
            next = kept.again(now);
            plan.left.retain(|other| !other.is(left));
            plan.left.extend(next.clone());
        });
        kept.await?;
        Ok(next)
    }
}

/// In seconds; twice as long each time, so that the last try is a good two hours after the first.
const FIRST_PAUSE: u64 = 15;
const LONGEST_PAUSE: u64 = 3600;
const MOST_TRIES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_tried_some_times_with_growing_pauses_and_then_left() {
        let text = r#"{"name":"_acme-challenge.a.test","value":"v","provider":"hook"}"#;
        let mut left: LeftRecord = serde_json::from_str(text).unwrap();
        let (mut now, mut pauses) = (1_800_000_000, Vec::new());
        assert!(left.due(now) <= now, "at once where a process has ended");
        while let Some(next) = left.again(now) {
            pauses.push(next.due(now) - now);
            now = next.due(now);
            left = next;
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 960, 1920, 3600]);
        // The clock was set back since.
        assert_eq!(left.due(0), LONGEST_PAUSE);
    }
}
