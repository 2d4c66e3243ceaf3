//! A lock among replicas, as its holder sees it.

use std::fmt;
use std::sync::Arc;

use fluxheim_trust::StateLock;
use tokio::sync::watch;

use super::Name;
use super::redis::Held;

/// A lock that is held, until it is dropped or lost.
pub struct Lease {
    name: Name,
    held: watch::Receiver<bool>,
    hold: Hold,
}

/// What the lock hangs on.
pub(super) enum Hold {
    /// The kernel frees it with the last of the descriptors. The sender stands for the file: it never tells a loss,
    /// which is seen when something is written under it.
    File {
        lock: Arc<StateLock>,
        _held: watch::Sender<bool>,
    },
    Server(Held),
}

impl Lease {
    pub(super) const fn new(name: Name, held: watch::Receiver<bool>, hold: Hold) -> Self {
        Self { name, held, hold }
    }

    /// Of what.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Whether nobody else can have it, as far as is known here.
    #[must_use]
    pub fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Returns when it is lost: whatever is done under it should end then.
    pub async fn lost(&self) {
        let mut held = self.held.clone();
        // A sender that is gone can tell no more, and holds nothing.
        let _ = held.wait_for(|held| !held).await;
    }

    pub(super) const fn hold(&self) -> &Hold {
        &self.hold
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({}, held: {})", self.name, self.is_held())
    }
}
