//! What can go wrong with kept files, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::finding::Shown;
use crate::secret::Refused;

/// Why something can't be kept or read. What was kept before is still there.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The rules forbid to use it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The system failed.
    #[error(transparent)]
    Failed(Failure),
    /// More than any such file has.
    #[error(
        "{}: {len} bytes, at most {most} are kept: it is no file of Fluxheim's, or it is damaged",
        Shown(path)
    )]
    TooLarge { path: PathBuf, len: u64, most: u64 },
    /// More files than such a folder has.
    #[error("{}: more than {most} files: it is no folder of Fluxheim's alone", Shown(path))]
    TooMany { path: PathBuf, most: usize },
    /// Another process has held the lock for too long.
    #[error("{}: locked by another process for {} s: a replica that hangs, or a server of files that does; stop it, \
             and the kernel frees the lock", Shown(path), .seconds)]
    Locked { path: PathBuf, seconds: u64 },
}

/// A call that failed: where, at what, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub path: PathBuf,
    /// `writing it`
    pub deed: &'static str,
    pub errno: Errno,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, deed, errno } = self;
        write!(f, "{}: {deed} failed: {}: {}", Shown(path), errno.desc(), self.mend())
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn mend(&self) -> &'static str {
        match self.errno {
            Errno::ENOSPC => {
                "make room on that disk, or give it a larger one; what was kept before is still there"
            }
            Errno::EDQUOT => "raise the quota of the service user; what was kept before is still there",
            Errno::EROFS => "mount it writable; what was kept before is still there",
            Errno::EACCES | Errno::EPERM => {
                "the folder must belong to the service user, mode 0700, and be the one that the configuration names \
                 (Landlock lets the proxy write nowhere else)"
            }
            Errno::EIO => "the disk or its server is at fault: look at the kernel's log of the host",
            Errno::ESTALE | Errno::ETIMEDOUT => {
                "the server of that network filesystem has lost it: mount it anew"
            }
            Errno::EMFILE | Errno::ENFILE => "raise the limit of open files",
            Errno::ELOOP | Errno::EXDEV => "there is a link or a mount in its place: take it away",
            Errno::EISDIR | Errno::ENOTDIR => "there is something else in its place: take it away",
            _ => "mend the cause that the system names",
        }
    }
}

impl StateError {
    pub(crate) fn failed(path: &Path, deed: &'static str, errno: Errno) -> Self {
        Self::Failed(Failure { path: path.to_owned(), deed, errno })
    }

    pub(crate) fn from_io(path: &Path, deed: &'static str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Self::failed(path, deed, errno)
    }

    /// What the kernel said, if it was the kernel.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Failed(failure) => Some(failure.errno),
            Self::Refused(_) | Self::TooLarge { .. } | Self::TooMany { .. } | Self::Locked { .. } => None,
        }
    }
}
