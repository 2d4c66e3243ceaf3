//! A lock among processes, in other containers too, that ends with its holder.
//!
//! Owns one flock(2) a lock: the kernel frees it when the process ends, however it ends. On NFS it is
//! the server that keeps it (Linux 2.6.12 and later), and frees it when the client's lease runs out.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{StateError, StateFolder, one_name};
use crate::node::Facts;

/// A lock that is held, until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateLock {
    file: File,
    name: String,
}

impl StateFolder {
    /// Takes the lock `name`, if nobody has it.
    ///
    /// # Errors
    /// Its file can't be made, or the rules forbid to use it.
    pub fn try_lock(&self, name: &str) -> Result<Option<StateLock>, StateError> {
        let path = self.path.join(name);
        one_name(name, &path)?;
        let failed = |errno| StateError::failed(&path, "locking it", errno);
        for _ in 0..ATTEMPTS {
            let file = File::from(self.open_name(name, LOCK, PRIVATE).map_err(failed)?);
            self.is_private(&file, &path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(StateError::from_io(&path, "locking it", &error));
                }
            }
            let lock = StateLock { file, name: name.to_owned() };
            // Somebody may have removed the file between opening and locking: then others lock another.
            if self.is_held(&lock)? {
                return Ok(Some(lock));
            }
        }
        Err(failed(Errno::EAGAIN))
    }

    /// The same, waiting for whoever has it.
    ///
    /// # Errors
    /// As of [`try_lock`](Self::try_lock), and [`StateError::Locked`] when it took longer than `patience`.
    pub fn lock(&self, name: &str, patience: Duration) -> Result<StateLock, StateError> {
        let end = Instant::now() + patience;
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            if Instant::now() >= end {
                let path: PathBuf = self.path.join(name);
                return Err(StateError::Locked { path, seconds: patience.as_secs() });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether `lock` still is the one that others would find.
    ///
    /// # Errors
    /// The kernel won't say.
    pub fn is_held(&self, lock: &StateLock) -> Result<bool, StateError> {
        let failed =
            |errno| StateError::failed(&self.path.join(&lock.name), "looking whether it is locked", errno);
        let ours = Facts::of(&lock.file).map_err(failed)?;
        match self.peek(&lock.name) {
            Ok(named) => Ok(named.same_inode(&ours)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// For writing: on NFS a lock that excludes asks for it.
const LOCK: OFlag = OFlag::O_WRONLY.union(OFlag::O_CREAT).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// Somebody who removes the file so often is no accident.
const ATTEMPTS: usize = 16;
/// A change takes a disk some milliseconds.
const PAUSE: Duration = Duration::from_millis(5);
