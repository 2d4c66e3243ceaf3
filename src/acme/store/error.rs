//! Why something could not be kept or read.

use std::path::PathBuf;

use fluxheim_trust::StateError;
use fluxheim_trust::bounded::Late;

use super::{Key, Name};

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The place is out of order: a disk that is full or read-only, a server that is not there. Says what mends it;
    /// what is in memory goes on being served.
    #[error("{0}")]
    Unavailable(String),
    /// The rules for files forbid to use it: everything that is wrong, with what mends it.
    #[error("{0}")]
    Refused(String),
    /// There is something else than was expected: another replica was quicker.
    #[error("{0}: another value is there by now")]
    Conflict(Key),
    /// The lock under which it was to be written is no longer held.
    #[error("lock {0}: lost to another replica, or to nobody as the place was away for too long")]
    LeaseLost(Name),
    /// What was kept is damaged. It was set aside and is there no more.
    #[error("{key}: damaged: {why}; {}", set_aside(kept.as_ref()))]
    Corrupt {
        key: Key,
        why: String,
        /// Where it is now, if it could be moved.
        kept: Option<PathBuf>,
    },
    /// What was kept is not what this or another replica wrote: it does not open with any of the keys, or it is older
    /// than what was there before. It is not used.
    #[error("{key}: {why}")]
    Forged { key: Key, why: String },
    /// More bytes than a value may have.
    #[error("{key}: {len} bytes, at most {most} are kept", most = super::MOST_BYTES)]
    TooLarge { key: Key, len: usize },
}

fn set_aside(kept: Option<&PathBuf>) -> String {
    match kept {
        Some(path) => format!("it was set aside as {} and is not used", path.display()),
        None => "it is not used, and could not be set aside".to_owned(),
    }
}

impl StoreError {
    /// Whether trying again later may succeed without anybody's doing here.
    #[must_use]
    pub const fn may_heal(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Conflict(_) | Self::LeaseLost(_) | Self::Corrupt { .. } => true,
            Self::Refused(_) | Self::Forged { .. } | Self::TooLarge { .. } => false,
        }
    }
}

impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Refused(refused) => Self::Refused(refused.to_string()),
            StateError::Failed(_) | StateError::Locked { .. } => Self::Unavailable(error.to_string()),
            StateError::TooLarge { .. } | StateError::TooMany { .. } => Self::Refused(error.to_string()),
        }
    }
}

impl From<Late> for StoreError {
    fn from(late: Late) -> Self {
        Self::Unavailable(format!("the folder for state: {late}"))
    }
}
