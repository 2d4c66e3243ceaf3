//! Answers to CAs that the store has: of other replicas, and of those that are no more.
//!
//! Owns which of them are taken over, and which are swept away; makes none.

use super::Engine;
use crate::acme::clock::seconds;
use crate::acme::record::{self, ChallengeRecord};
use crate::acme::store::{Expect, Kind};

impl Engine {
    /// Answers of other replicas that this one was not told of.
    pub(super) async fn follow_challenges(&self) {
        let Ok(keys) = self.store.list(Kind::Challenge).await else { return };
        for key in keys {
            self.attempts.presenter.challenges.follow(&key).await;
        }
    }

    /// Takes away answers that a crash has left.
    pub(super) async fn sweep(&self) {
        let keys = match self.store.list(Kind::Challenge).await {
            Ok(keys) => keys,
            Err(error) => return tracing::debug!(%error, "answers to CAs can't be listed"),
        };
        for key in keys {
            let Ok(Some(entry)) = self.store.get(&key).await else { continue };
            let left = record::read::<ChallengeRecord>(entry.value.as_bytes());
            if left.is_ok_and(|left| left.until > seconds()) {
                continue;
            }
            let gone = self.store.delete(&key, Expect::Version(entry.version), self.lease.as_deref()).await;
            if let Err(error) = gone {
                tracing::debug!(%key, %error, "an answer to a CA could not be removed");
            }
        }
    }
}
