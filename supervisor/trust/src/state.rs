//! A folder that the proxy keeps its state in, private keys among it: reading, replacing, locking.
//!
//! Owns durability and confinement: one name below a judged folder, no link, no other mount, nothing
//! that others can read, and a replaced file is the old one or the new one at any instant. Knows
//! nothing of what files mean. Follows openat2(2), fsync(2), rename(2) and flock(2).

mod error;
mod lock;
mod names;
mod write;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::fsync;

use crate::delivery::{self, Delivery};
use crate::finding::Finding;
use crate::inspect::{self, READ};
use crate::mount::Mount;
use crate::node::{self, AclSeen, Facts, Kind};
use crate::object::{Object, Role};
use crate::rules::{self, Kept, Subject};
use crate::secret::{self, Kept as InMemory, Refused, Secret};
use crate::terms::{Judge, Terms};
use crate::walk::{End, Ground, Trail};

pub use error::{Failure, StateError};
pub use lock::StateLock;
pub use names::Stamp;

/// A judged folder, held open: what is kept stays in it, whatever its path leads to later.
#[derive(Debug)]
pub struct StateFolder {
    /// Readable, as fsync(2) wants it.
    fd: OwnedFd,
    path: PathBuf,
    /// Who names it.
    name: String,
    mount: Mount,
    delivery: Option<Delivery>,
    terms: Terms,
}

impl StateFolder {
    /// Opens the folder at `path`, which `name` asks for, after it was judged with everything below it.
    ///
    /// # Errors
    /// Everything that is wrong with it, what is in it and the way to it.
    pub fn open(name: &str, path: &Path, terms: &Terms) -> Result<Self, StateError> {
        let object = Object { role: Role::StateFolder, name: name.to_owned(), path: path.to_owned() };
        let judge = Judge::new(terms);
        let trail = Ground::new().to(path);
        let Trail { passed, end, .. } = &trail;
        let reached = match end {
            Ok(End::Folder(dir)) => {
                let (delivery, _) = delivery::recognise_folder(object.role, passed, dir, judge.identity);
                Some((Rc::clone(dir), delivery))
            }
            Ok(End::Entry(_)) | Err(_) => None,
        };
        let inspection =
            inspect::inspect_trail(object.role, &judge, trail).unwrap_or_else(inspect::Moved::given_up);
        let usable = inspection.may_be_used();
        let Some((dir, delivery)) = reached.filter(|_| usable) else {
            return Err(Refused { object, findings: inspection.findings }.into());
        };
        let fd = openat(&dir.fd, ".", FOLDER, Mode::empty())
            .map_err(|errno| StateError::failed(&dir.path, "opening it", errno))?;
        let (path, mount) = (dir.path.clone(), Mount::clone(&dir.mount));
        Ok(Self { fd, path, name: object.name, mount, delivery, terms: terms.clone() })
    }

    /// Where it is, free of links and dots.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder `name` in it, made (0700) where there is none.
    ///
    /// # Errors
    /// It can't be made, or the rules forbid to use it.
    pub fn below(&self, name: &str) -> Result<Self, StateError> {
        let path = self.path.join(name);
        match mkdirat(&self.fd, one_name(name, &path)?, PRIVATE_FOLDER) {
            Ok(()) => self.settle(&path)?,
            Err(Errno::EEXIST) => {}
            // A disk that can only be read may still have it.
            Err(Errno::EROFS) if self.peek(name).is_ok() => {}
            Err(errno) => return Err(StateError::failed(&path, "making the folder", errno)),
        }
        let failed = |errno| StateError::failed(&path, "opening the folder", errno);
        let fd = self.open_name(name, FOLDER, Mode::empty()).map_err(failed)?;
        let facts = Facts::of(&fd).map_err(failed)?;
        self.judge_folder(&fd, &facts, &path)?;
        let (name, mount, delivery) = (self.name.clone(), self.mount.clone(), self.delivery.clone());
        Ok(Self { fd, path, name, mount, delivery, terms: self.terms.clone() })
    }

    /// What is kept as `name`, at most `most` bytes of it; in pages for secrets if `secret`.
    ///
    /// # Errors
    /// The rules forbid to use it, it is too large, or it can't be read. That there is none is no error.
    pub fn read(&self, name: &str, most: u64, secret: bool) -> Result<Option<Secret>, StateError> {
        let path = self.path.join(name);
        one_name(name, &path)?;
        let failed = |errno| StateError::failed(&path, "opening it", errno);
        let file = match self.open_name(name, READ, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let facts = Facts::of(&file).map_err(failed)?;
        self.judge_file(&file, &facts, &path)?;
        if facts.size > most {
            return Err(StateError::TooLarge { path, len: facts.size, most });
        }
        let keep = if secret { InMemory::Pages } else { InMemory::Heap };
        match secret::slurp(keep, &file, &facts) {
            Ok(Some(content)) => Ok(Some(content)),
            Ok(None) => Err(self.refused(vec![rules::changing(&path)])),
            Err(error) => Err(StateError::from_io(&path, "reading it", &error)),
        }
    }

    fn judge_folder(&self, fd: &OwnedFd, facts: &Facts, path: &Path) -> Result<(), StateError> {
        let own_acl = self.mount.may_have_own_acls().then(|| node::own_acl(fd.as_fd())).flatten();
        let (acl, default_acl) = (AclSeen::of(fd.as_fd()), AclSeen::default_of_path(fd.as_fd()));
        let (mount, delivery) = (&self.mount, self.delivery.as_ref());
        let (acl, default_acl) = (&acl, &default_acl);
        let role = Role::StateFolder;
        let kept = Kept { role, path, facts, mount, acl, own_acl, default_acl, delivery };
        self.pass(Judge::new(&self.terms).state_folder(&kept))
    }

    fn judge_file(&self, fd: impl AsFd, facts: &Facts, path: &Path) -> Result<(), StateError> {
        let (role, judge) = (Role::StateFolder, Judge::new(&self.terms));
        if facts.kind != Kind::Regular {
            return Err(self.refused(vec![judge.foreign_entry(path, facts)]));
        }
        let acl = AclSeen::of(fd.as_fd());
        let own_acl = self.mount.may_have_own_acls().then(|| node::own_acl(fd.as_fd())).flatten();
        let (mount, delivery, acl) = (&self.mount, self.delivery.as_ref(), &acl);
        self.pass(judge.file(&Subject { role, path, facts, mount, acl, own_acl, delivery, opened: true }))
    }

    /// Warnings were told when the folder was opened, and are by the check.
    fn pass(&self, findings: Vec<Finding>) -> Result<(), StateError> {
        match findings.iter().all(|finding| finding.severity.allows_use()) {
            true => Ok(()),
            false => Err(self.refused(findings)),
        }
    }

    fn refused(&self, findings: Vec<Finding>) -> StateError {
        let object = Object { role: Role::StateFolder, name: self.name.clone(), path: self.path.clone() };
        Refused { object, findings }.into()
    }

    /// Brings the folder itself to the disk: which names it has, and what they lead to.
    fn settle(&self, path: &Path) -> Result<(), StateError> {
        match fsync(&self.fd) {
            // Filesystems that have no such thing for folders (some network ones) say so.
            Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(StateError::failed(path, "bringing its folder to the disk", errno)),
        }
    }

    /// A descriptor for nothing but stat.
    fn peek(&self, name: &str) -> Result<Facts, Errno> {
        Facts::of(self.open_name(
            name,
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// Opens one name of the folder: never through a link, never on another mount.
    fn open_name(&self, name: &str, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
        let how = OpenHow::new().flags(flags).mode(mode).resolve(CONFINED);
        match openat2(&self.fd, name, how) {
            // What seccomp policies older than the call answer; one name that is no link leads nowhere else.
            Err(Errno::ENOSYS | Errno::EPERM) => openat(&self.fd, name, flags | OFlag::O_NOFOLLOW, mode),
            result => result,
        }
    }
}

/// A name that can only be an entry of the folder itself.
fn one_name<'a>(name: &'a str, path: &Path) -> Result<&'a str, StateError> {
    match name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        true => Err(StateError::failed(path, "looking for it", Errno::EINVAL)),
        false => Ok(name),
    }
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const CONFINED: ResolveFlag = ResolveFlag::RESOLVE_BENEATH
    .union(ResolveFlag::RESOLVE_NO_SYMLINKS)
    .union(ResolveFlag::RESOLVE_NO_MAGICLINKS)
    .union(ResolveFlag::RESOLVE_NO_XDEV);
const PRIVATE_FOLDER: Mode = Mode::S_IRWXU;

#[cfg(test)]
mod tests;
