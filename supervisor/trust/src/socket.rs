//! A Unix socket that the proxy makes: its folder judged like every place that it writes, its name free or
//! left behind by a process that is gone, and nobody but the owner let in from the first moment.
//!
//! Owns how such a socket comes and goes; says nothing on it. Two processes of the same user may want one
//! name at once, so whoever looks, removes or makes one holds the folder's lock (flock(2)). Follows unix(7).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::finding::Shown;
use crate::identity::Identity;
use crate::inspect::{self, Inspection};
use crate::object::{Object, Role, folder_of};
use crate::overflow;
use crate::secret::Refused;
use crate::terms::{Judge, Terms};

/// A socket of ours that listens; its name goes when this is dropped.
#[derive(Debug)]
pub struct OwnSocket {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
    inode: Inode,
}

/// Why a socket can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The trust rules refuse its folder.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Somebody answers there.
    #[error("{path}: another process listens there: stop it, or give this one another socket", path = Shown(path))]
    InUse { path: PathBuf },
    /// The name is taken by something that is no socket of ours.
    #[error("{path} is there and is no socket of this user: remove it, or choose another path", path = Shown(path))]
    Foreign { path: PathBuf },
    /// The kernel did not keep others out.
    #[error("{path}: the socket was made with mode {mode:04o}, which lets others in: use another file system", path = Shown(path))]
    Exposed { path: PathBuf, mode: u32 },
    /// Another start or stop holds the folder.
    #[error("{path}: its folder stays locked: another process of this user is making or removing a socket there", path = Shown(path))]
    Locked { path: PathBuf },
    /// The system refuses.
    #[error("{path}: {deed}: {errno}", path = Shown(path))]
    Os { path: PathBuf, deed: &'static str, errno: Errno },
}

impl SocketError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn may_heal(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Locked { .. })
    }
}

impl OwnSocket {
    /// Listens at `path`; `name` is who asks for it, as messages call it. What a process that is gone left
    /// there is replaced. The listener does not block.
    ///
    /// # Errors
    /// [`SocketError`], with what stands in the way.
    pub fn listen(name: &str, path: &Path, terms: &Terms) -> Result<(Self, UnixListener), SocketError> {
        let folder = open_folder(name, path, terms)?;
        let name = path.file_name().unwrap_or_default();
        let (listener, inode) = {
            let place = Place { path, name, folder: folder.as_fd() };
            let _lock = place.lock()?;
            place.clear(terms.identity.uid)?;
            place.occupy()?
        };
        let own = Self { folder, name: name.to_owned(), path: path.to_owned(), inode };
        Ok((own, UnixListener::from(listener)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        let place = Place { path: &self.path, name: &self.name, folder: self.folder.as_fd() };
        // Somebody may have put another socket in its place; without the lock, none is removed.
        let Ok(_lock) = place.lock() else { return };
        if let Ok(Some(found)) = place.look()
            && inode(&found) == self.inode
        {
            // What can't be removed is replaced by the next start.
            let _ = place.remove();
        }
    }
}

/// Whose connections to such a socket are this user's own, or root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peers {
    us: u32,
    /// What stands for every user without a number here, and so for nobody.
    nobody: Option<u32>,
}

impl Peers {
    /// For a socket of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let us = Identity::current().uid;
        Self { us, nobody: overflow::stands_for_nobody(us) }
    }

    /// Whether `uid`, as SO_PEERCRED gives it, is one of them.
    #[must_use]
    pub fn admit(self, uid: u32) -> bool {
        (uid == 0 || uid == self.us) && !self.is_nobody(uid)
    }

    /// Whether `uid` stands for every user without a number here, and so for nobody.
    #[must_use]
    pub fn is_nobody(self, uid: u32) -> bool {
        Some(uid) == self.nobody
    }
}

/// Device, number and when it was made: numbers are used again, and changes of mode and owner leave that time.
type Inode = (u64, u64, i64, i64);

fn inode(seen: &FileStat) -> Inode {
    (seen.st_dev, seen.st_ino, seen.st_mtime, seen.st_mtime_nsec)
}

fn open_folder(name: &str, path: &Path, terms: &Terms) -> Result<OwnedFd, SocketError> {
    let object = Object { role: Role::SocketFolder, name: name.to_owned(), path: folder_of(path) };
    let inspection = inspect::inspect(&object, &Judge::new(terms));
    let usable = inspection.may_be_used();
    let Inspection { findings, folder, .. } = inspection;
    let Some(dir) = folder.filter(|_| usable) else {
        return Err(SocketError::Refused(Refused { object, findings }));
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(&dir.fd, ".", flags, Mode::empty()).map_err(|errno| SocketError::Os {
        path: dir.path.clone(),
        deed: "opening the folder",
        errno,
    })
}

/// A name in a judged folder.
struct Place<'a> {
    path: &'a Path,
    name: &'a OsStr,
    folder: BorrowedFd<'a>,
}

impl Place<'_> {
    fn failed(&self, deed: &'static str) -> impl Fn(Errno) -> SocketError {
        move |errno| SocketError::Os { path: self.path.to_owned(), deed, errno }
    }

    /// The folder's lock, on a description of its own: the kernel lets it go with the process.
    fn lock(&self) -> Result<Flock<OwnedFd>, SocketError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut fd =
            openat(self.folder, ".", flags, Mode::empty()).map_err(self.failed("opening the folder"))?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match Flock::lock(fd, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < until => {
                    fd = back;
                    std::thread::sleep(LOCK_STEP);
                }
                Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                    return Err(SocketError::Locked { path: self.path.to_owned() });
                }
                Err((_, errno)) => return Err(self.failed("locking the folder")(errno)),
            }
        }
    }

    fn look(&self) -> Result<Option<FileStat>, SocketError> {
        match fstatat(self.folder, self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(seen) => Ok(Some(seen)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.failed("looking at what is there")(errno)),
        }
    }

    /// Removes a socket of ours that nobody listens on.
    fn clear(&self, us: u32) -> Result<(), SocketError> {
        let Some(seen) = self.look()? else { return Ok(()) };
        let kind = SFlag::from_bits_truncate(seen.st_mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFSOCK || seen.st_uid != us {
            return Err(SocketError::Foreign { path: self.path.to_owned() });
        }
        if self.is_alive()? {
            return Err(SocketError::InUse { path: self.path.to_owned() });
        }
        self.remove().map_err(self.failed("removing a socket that nobody listens on"))
    }

    fn remove(&self) -> Result<(), Errno> {
        unlinkat(self.folder, self.name, UnlinkatFlags::NoRemoveDir)
    }

    /// A listening socket in the name, which is free. Of a failure nothing stays.
    fn occupy(&self) -> Result<(OwnedFd, Inode), SocketError> {
        let made = self.make()?;
        match self.open_up(&made) {
            Ok(inode) => Ok((made, inode)),
            Err(error) => {
                let _ = self.remove();
                Err(error)
            }
        }
    }

    fn open_up(&self, made: &OwnedFd) -> Result<Inode, SocketError> {
        let seen = self.look()?.ok_or(Errno::ENOENT).map_err(self.failed("looking at the new socket"))?;
        let mode = seen.st_mode & 0o7777;
        if mode & 0o177 != 0 {
            return Err(SocketError::Exposed { path: self.path.to_owned(), mode });
        }
        listen(made, Backlog::MAXCONN).map_err(self.failed("listening"))?;
        Ok(inode(&seen))
    }

    fn is_alive(&self) -> Result<bool, SocketError> {
        let probe = new_socket().map_err(self.failed("making a socket"))?;
        let address = UnixAddr::new(self.path).map_err(self.failed("the path"))?;
        match connect(probe.as_raw_fd(), &address) {
            Err(Errno::ECONNREFUSED) => Ok(false),
            // Its backlog is full, so somebody has one.
            Ok(()) | Err(Errno::EAGAIN | Errno::EINPROGRESS) => Ok(true),
            Err(errno) => Err(self.failed("asking who listens there")(errno)),
        }
    }

    /// A bound socket with mode 0600: Linux takes the mode that the descriptor has, less the umask. Until it
    /// listens, nobody can connect.
    fn make(&self) -> Result<OwnedFd, SocketError> {
        let made = new_socket().map_err(self.failed("making a socket"))?;
        // Read back afterwards, so it need not succeed.
        let _ = fchmod(&made, Mode::S_IRUSR | Mode::S_IWUSR);
        let address = UnixAddr::new(self.path).map_err(self.failed("the path"))?;
        bind(made.as_raw_fd(), &address).map_err(self.failed("binding"))?;
        Ok(made)
    }
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// Far more than looking, removing and binding take.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_STEP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
