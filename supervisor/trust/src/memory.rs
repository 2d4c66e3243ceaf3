//! Memory for secrets: pages of their own that no dump shows, no fork inherits and that are wiped
//! before they are given back.
//!
//! Owns the choice of the best kind to be had. A lock that fails is told, never an error, and only
//! these pages are ever locked: no later allocation or thread can fail for it. Follows
//! memfd_secret(2), mlock(2) and madvise(2).

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use zeroize::Zeroize;

use crate::sys::Mapping;

/// How content is kept in memory, the best way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// memfd_secret(2): never swapped, in no dump, out of reach for other processes, those of root
    /// included.
    SecretMemory,
    /// mlock(2): never swapped, in no dump.
    Locked,
    /// In no dump, but it can be swapped; the error is that of mlock(2).
    Unlocked(Errno),
    /// The heap, for what is no secret.
    Heap,
}

impl Keeping {
    /// The one that protects less, as of two copies of a secret.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if self.rank() < other.rank() { other } else { self }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::SecretMemory => 0,
            Self::Locked => 1,
            Self::Unlocked(_) => 2,
            Self::Heap => 3,
        }
    }
}

/// In words, as in "kept in locked memory".
impl fmt::Display for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretMemory => f.write_str("secret memory"),
            Self::Locked => f.write_str("locked memory"),
            Self::Unlocked(errno) => write!(f, "memory that is not locked ({errno})"),
            Self::Heap => f.write_str("ordinary memory"),
        }
    }
}

/// A secret's bytes: a fixed number, in pages of their own, wiped when dropped.
pub struct SecretPages {
    mapping: Mapping,
    /// How many bytes of the mapping are in use.
    len: usize,
    keeping: Keeping,
}

impl SecretPages {
    /// `len` zero bytes in the best kind of memory to be had.
    ///
    /// # Errors
    /// There is no memory at all, or it can't be kept out of dumps and forks. That it can't be locked is no error: see
    /// [`keeping`](Self::keeping).
    pub fn zeroed(len: usize) -> io::Result<Self> {
        match Self::in_secret_memory(len) {
            Some(pages) => Ok(pages),
            None => Self::reachable(len),
        }
    }

    /// In memory that the kernel can reach too, as some filesystems need to read into it.
    pub(crate) fn reachable(len: usize) -> io::Result<Self> {
        let mapping = Mapping::anonymous(at_least_one(len))?;
        let keeping = match mapping.lock() {
            Ok(()) => Keeping::Locked,
            Err(errno) => Keeping::Unlocked(errno),
        };
        Ok(Self { mapping, len, keeping })
    }

    fn in_secret_memory(len: usize) -> Option<Self> {
        if NO_SECRET_MEMORY.load(Ordering::Relaxed) {
            return None;
        }
        match Mapping::secret(at_least_one(len)) {
            Ok(mapping) => Some(Self { mapping, len, keeping: Keeping::SecretMemory }),
            Err(errno) => {
                if matches!(errno, Errno::ENOSYS | Errno::EPERM) {
                    NO_SECRET_MEMORY.store(true, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// What became of the wish for locked memory.
    #[must_use]
    pub const fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Shows only the first `len` bytes from now on; the rest is wiped with them.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for SecretPages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping.bytes()[..self.len]
    }
}

impl DerefMut for SecretPages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.mapping.bytes_mut()[..self.len]
    }
}

/// Only how many, and how they are kept.
impl fmt::Debug for SecretPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretPages({} bytes in {})", self.len, self.keeping)
    }
}

/// The whole mapping, also what `truncate` hid. The pages are unmapped after it, as a field.
impl Drop for SecretPages {
    fn drop(&mut self) {
        self.mapping.bytes_mut().zeroize();
    }
}

/// An empty mapping does not exist.
fn at_least_one(len: usize) -> NonZeroUsize {
    NonZeroUsize::new(len).unwrap_or(NonZeroUsize::MIN)
}

/// The kernel has none, or a seccomp filter denies it: neither changes while we run.
static NO_SECRET_MEMORY: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests;
