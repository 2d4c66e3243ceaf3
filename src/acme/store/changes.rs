//! News of what was written.

use tokio::sync::broadcast::{self, error::RecvError};

use super::Key;

/// What may be different by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What is kept under this key, or whether there is anything.
    Key(Key),
    /// Anything: news may have been missed.
    Anything,
}

/// News, from when it was asked for.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    pub(super) const fn new(receiver: broadcast::Receiver<Change>) -> Self {
        Self(receiver)
    }

    /// Waits for the next; for ever when the place is gone.
    pub async fn next(&mut self) -> Change {
        match self.0.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => Change::Anything,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// As many as can wait for a reader that is slow; then it is told that anything may have changed.
pub(super) const MOST_WAITING: usize = 1024;
