//! Replacing, removing and setting aside.
//!
//! Owns the order that makes a change whole: a new file beside the old one, closed to others before its
//! first byte, its content on the disk, then the name, then the folder. A crash leaves the old file or
//! the new one, and at worst a name that begins with `.new-`, which `sweep` takes away.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};

use super::{StateError, StateFolder, one_name};
use crate::node::{Facts, Kind};
use crate::rules;

impl StateFolder {
    /// Makes `name` hold `parts`, one after the other: durably, and at once or not at all.
    ///
    /// # Errors
    /// It could not be done, and `name` holds what it held. After a failed "bringing its folder to the disk" it
    /// holds the new content, of which a crash of the host may leave the old.
    pub fn replace(&self, name: &str, parts: &[&[u8]]) -> Result<(), StateError> {
        let path = self.path.join(name);
        one_name(name, &path)?;
        let (fresh, file) = self.fresh(&path)?;
        let written = self.fill(&file, &path, parts).and_then(|facts| {
            let renamed = renameat(&self.fd, &*fresh, &self.fd, name);
            renamed.map_err(|errno| StateError::failed(&path, "renaming it into place", errno))?;
            Ok(facts)
        });
        match written {
            Ok(facts) => {
                self.settle(&path)?;
                self.is_in_place(name, &path, &facts)
            }
            Err(error) => {
                // Where this fails too, the next start takes it away.
                let _ = unlinkat(&self.fd, &*fresh, UnlinkatFlags::NoRemoveDir);
                Err(error)
            }
        }
    }

    /// Removes `name`, durably; whether there was one.
    ///
    /// # Errors
    /// It could not be done.
    pub fn remove(&self, name: &str) -> Result<bool, StateError> {
        let path = self.path.join(name);
        match unlinkat(&self.fd, one_name(name, &path)?, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => self.settle(&path).map(|()| true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(StateError::failed(&path, "removing it", errno)),
        }
    }

    /// Gives `name` another name, under which nothing looks for it; says which.
    ///
    /// # Errors
    /// It could not be done, and it is where it was.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateError> {
        let path = self.path.join(name);
        one_name(name, &path)?;
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let names = (0..ATTEMPTS).map(|number| match number {
            0 => format!("{SET_ASIDE}{seconds}-{name}"),
            _ => format!("{SET_ASIDE}{seconds}-{number}-{name}"),
        });
        let free = names.into_iter().find(|aside| self.peek(aside) == Err(Errno::ENOENT));
        let deed = "setting it aside";
        let aside = free.ok_or_else(|| StateError::failed(&path, deed, Errno::EEXIST))?;
        renameat(&self.fd, name, &self.fd, &*aside)
            .map_err(|errno| StateError::failed(&path, deed, errno))?;
        self.settle(&path)?;
        Ok(self.path.join(aside))
    }

    /// Removes what writers left that ended in the middle; how many. Only under a lock that keeps writers out.
    ///
    /// # Errors
    /// The folder can't be read, or not be changed.
    pub fn sweep(&self) -> Result<usize, StateError> {
        let leftovers: Vec<_> =
            self.all_names(MOST_SWEPT)?.into_iter().filter(|name| name.starts_with(FRESH)).collect();
        for name in &leftovers {
            self.remove(name)?;
        }
        Ok(leftovers.len())
    }

    /// A new file of nobody else's, which nobody else can open: before its first byte.
    pub(super) fn fresh(&self, path: &Path) -> Result<(String, File), StateError> {
        let failed = |errno| StateError::failed(path, "making a new file beside it", errno);
        for _ in 0..ATTEMPTS {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{FRESH}{}-{number}", std::process::id());
            match self.open_name(&name, CREATE, PRIVATE) {
                Ok(fd) => {
                    let file = File::from(fd);
                    return match self.is_private(&file, path) {
                        Ok(()) => Ok((name, file)),
                        Err(error) => {
                            let _ = unlinkat(&self.fd, &*name, UnlinkatFlags::NoRemoveDir);
                            Err(error)
                        }
                    };
                }
                // Of another process with our number, in another container.
                Err(Errno::EEXIST | Errno::EAGAIN) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(failed(Errno::EEXIST))
    }

    /// Whether the kernel made what was asked for: an umask, a default ACL or a server may interfere.
    pub(super) fn is_private(&self, file: &File, path: &Path) -> Result<(), StateError> {
        let facts =
            Facts::of(file).map_err(|errno| StateError::failed(path, "looking at the new file", errno))?;
        self.judge_file(file.as_fd(), &facts, path)?;
        let whole = facts.kind == Kind::Regular && facts.mode & 0o700 == PRIVATE.bits();
        match whole {
            true => Ok(()),
            // An umask that takes the owner's own rights.
            false => Err(StateError::failed(
                path,
                "making a file that its owner can read and write",
                Errno::EACCES,
            )),
        }
    }

    fn fill(&self, mut file: &File, path: &Path, parts: &[&[u8]]) -> Result<Facts, StateError> {
        for part in parts {
            file.write_all(part).map_err(|error| StateError::from_io(path, "writing it", &error))?;
        }
        let failed = |errno| StateError::failed(path, "bringing it to the disk", errno);
        fsync(file).map_err(failed)?;
        let facts = Facts::of(file).map_err(failed)?;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        match u64::try_from(len) == Ok(facts.size) {
            true => Ok(facts),
            false => Err(failed(Errno::EIO)),
        }
    }

    fn is_in_place(&self, name: &str, path: &Path, written: &Facts) -> Result<(), StateError> {
        match self.peek(name) {
            Ok(facts) if facts.same_inode(written) => Ok(()),
            Ok(_) | Err(Errno::ENOENT) => Err(self.refused(vec![rules::changing(path)])),
            Err(errno) => Err(StateError::failed(path, "looking whether it is in place", errno)),
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);
/// No name of what is kept begins with a dot.
const FRESH: &str = ".new-";
const SET_ASIDE: &str = ".set-aside-";
const CREATE: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// Names that other containers may have taken, with the same process number.
const ATTEMPTS: usize = 64;
/// As many as the check judges.
const MOST_SWEPT: usize = 20_000;
