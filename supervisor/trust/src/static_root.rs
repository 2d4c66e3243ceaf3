//! A folder whose content is published, and opening what is below it.
//!
//! Owns confinement: no name and no link leads out of the folder, nothing but regular files and
//! folders is given out. Follows openat2(2) and, for reading without waiting, preadv2(2).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

/// A folder held open: what is served stays below it, whatever its name leads to later.
#[derive(Debug)]
pub struct StaticRoot {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a name below the root leads to.
#[derive(Debug)]
pub enum StaticEntry {
    /// A regular file, open for reading.
    File {
        file: File,
        /// Bytes.
        len: u64,
        modified: SystemTime,
    },
    /// A folder; not opened for listing.
    Directory,
}

/// What a folder holds, as far as it may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In the order in which the filesystem gives them.
    pub entries: Vec<Listed>,
    /// Whether there was more than asked for.
    pub cut: bool,
}

/// One name of a folder, and what [`StaticRoot::open`] would find under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub folder: bool,
    /// Bytes; of folders the filesystem's own number.
    pub len: u64,
    pub modified: SystemTime,
}

/// Why a name below the root can't be served.
#[derive(Debug, thiserror::Error)]
pub enum StaticError {
    /// Nothing there that may be served: no such name, a link that leads out, a FIFO, a device.
    #[error("not found")]
    NotFound,
    /// There, but this process may not read it.
    #[error("permission denied")]
    Forbidden,
    /// The system failed (too many open files, a broken disk).
    #[error("opening failed: {0}")]
    System(#[source] std::io::Error),
}

/// Why a static root can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("static root {}: {source}: it must be a folder that this process may enter", path.display())]
pub struct StaticRootUnusable {
    path: PathBuf,
    source: std::io::Error,
}

impl StaticRoot {
    /// Opens the folder; links on the way to it are followed once, now.
    ///
    /// # Errors
    /// When it is missing, no folder, or closed to this process.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, StaticRootUnusable> {
        let path = path.as_ref();
        let unusable = |errno: Errno| StaticRootUnusable { path: path.to_owned(), source: errno.into() };
        let fd = open(path, FOLDER, Mode::empty()).map_err(unusable)?;
        // O_PATH opens folders that can't be entered; entering one shows it here and not per request.
        openat(&fd, ".", FOLDER, Mode::empty()).map_err(unusable)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens `relative` below the root. Links are followed while they stay below it.
    ///
    /// # Errors
    /// [`StaticError`]; a way out is [`StaticError::NotFound`].
    pub fn open(&self, relative: &str) -> Result<StaticEntry, StaticError> {
        let relative = if relative.is_empty() { "." } else { relative };
        let file = File::from(open_beneath(self.fd.as_fd(), relative, ENTRY).map_err(refusal)?);
        let metadata = file.metadata().map_err(StaticError::System)?;
        if metadata.is_dir() {
            return Ok(StaticEntry::Directory);
        }
        if !metadata.is_file() {
            return Err(StaticError::NotFound);
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(StaticEntry::File { file, len: metadata.len(), modified })
    }

    /// What is in the folder `relative`: at most `most` files and folders that can be served.
    ///
    /// Left out are names that are no UTF-8, links that lead out or nowhere, sockets, devices and the
    /// like. Looks at each entry, so it may take its time.
    ///
    /// # Errors
    /// As of [`StaticRoot::open`]; [`StaticError::NotFound`] also for what is no folder.
    pub fn list(&self, relative: &str, most: usize) -> Result<Listing, StaticError> {
        let relative = if relative.is_empty() { "." } else { relative };
        let fd = open_beneath(self.fd.as_fd(), relative, ENTRY | OFlag::O_DIRECTORY).map_err(refusal)?;
        let mut names = Dir::from_fd(fd).map_err(refusal)?;
        let mut listing = Listing { entries: Vec::new(), cut: false };
        for entry in names.iter() {
            let entry = entry.map_err(refusal)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if listing.entries.len() == most {
                listing.cut = true;
                break;
            }
            listing.entries.extend(self.listed(relative, name));
        }
        Ok(listing)
    }

    fn listed(&self, folder: &str, name: &str) -> Option<Listed> {
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        let found = File::from(open_beneath(self.fd.as_fd(), &path, LOOK).ok()?);
        let metadata = found.metadata().ok()?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let folder = metadata.is_dir();
        let listed = Listed { name: name.to_owned(), folder, len: metadata.len(), modified };
        (folder || metadata.is_file()).then_some(listed)
    }
}

/// Reads what of `file` at `offset` is in memory, without waiting for a disk; 0 is its end.
///
/// # Errors
/// `WouldBlock` where a disk would have to be waited for; `Unsupported` where this can't be told (some
/// filesystems, kernels before 4.14, seccomp policies without preadv2); else the disk's own.
pub fn read_cached(file: &File, room: &mut [u8], offset: u64) -> std::io::Result<usize> {
    crate::sys::read_nowait(file.as_fd(), room, offset).map_err(|errno| match errno {
        Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM | Errno::EINVAL => {
            std::io::ErrorKind::Unsupported.into()
        }
        other => other.into(),
    })
}

fn open_beneath(root: BorrowedFd<'_>, relative: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    for _ in 0..ATTEMPTS {
        match openat2(root, relative, how) {
            // Something on the way was renamed just then (openat2(2)).
            Err(Errno::EAGAIN) => {}
            // What seccomp policies older than the call answer.
            Err(Errno::ENOSYS | Errno::EPERM) => return open_step_by_step(root, relative, flags),
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// Without openat2(2): one name at a time and no links at all, which is stricter, never laxer.
fn open_step_by_step(root: BorrowedFd<'_>, relative: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let mut folder = openat(root, ".", FOLDER, Mode::empty())?;
    let mut components = Path::new(relative).components().peekable();
    while let Some(component) = components.next() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) if components.peek().is_none() && !relative.ends_with('/') => {
                return openat(&folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty());
            }
            Component::Normal(name) => {
                folder = openat(&folder, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty())?;
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::EXDEV),
        }
    }
    openat(&folder, ".", flags, Mode::empty())
}

fn refusal(errno: Errno) -> StaticError {
    match errno {
        Errno::EACCES | Errno::EPERM => StaticError::Forbidden,
        // No such name, a name that can't be, a way out, a loop, a socket or a driverless device.
        Errno::ENOENT
        | Errno::ENOTDIR
        | Errno::ENAMETOOLONG
        | Errno::EINVAL
        | Errno::EXDEV
        | Errno::ELOOP
        | Errno::ENXIO
        | Errno::ENODEV => StaticError::NotFound,
        other => StaticError::System(other.into()),
    }
}

const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Waits for no FIFO's writer and takes no terminal.
const ENTRY: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// For looking at what a name leads to.
const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// Renames that hit one lookup in a row before the client is told to try later.
const ATTEMPTS: usize = 16;

#[cfg(test)]
mod tests;
