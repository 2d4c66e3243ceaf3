//! The way to a file, one component at a time, each judged from the descriptor that is crossed.
//!
//! Owns path resolution: every component is opened with `O_PATH | O_NOFOLLOW` relative to the one
//! before, and links are followed by hand, so nothing is crossed unseen. Judges nothing. Follows
//! path_resolution(7); one name at a time needs no openat2(2), so old seccomp policies do no harm.

mod ground;

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use crate::mount::Mount;
use crate::node::{AclSeen, Facts, Kind};

pub(crate) use ground::Ground;

/// A folder held open.
#[derive(Debug)]
pub(crate) struct Dir {
    /// `O_PATH`: good for crossing and for stat, not for reading.
    pub fd: OwnedFd,
    /// Free of links and dots.
    pub path: PathBuf,
    pub facts: Facts,
    pub mount: Rc<Mount>,
    acl: OnceCell<AclSeen>,
}

/// What was passed on the way.
#[derive(Debug, Clone)]
pub(crate) enum Passed {
    /// A folder, and who owns the entry that was taken in it.
    Folder {
        dir: Rc<Dir>,
        child_uid: u32,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
}

/// Where the way ended.
#[derive(Debug)]
pub(crate) enum End {
    /// No folder and no link; opened for nothing but stat.
    Entry(Entry),
    Folder(Rc<Dir>),
}

/// A name in a folder, and what it led to when it was looked at.
#[derive(Debug)]
pub(crate) struct Entry {
    pub parent: Rc<Dir>,
    pub name: OsString,
    /// `O_PATH`.
    pub fd: OwnedFd,
    pub facts: Facts,
    pub mount: Rc<Mount>,
}

/// Where and why the way could not be gone to its end.
#[derive(Debug)]
pub(crate) struct Stop {
    pub path: PathBuf,
    pub cause: Cause,
}

#[derive(Debug)]
pub(crate) enum Cause {
    Missing,
    /// Search permission is missing in the folder that `Stop::path` names.
    Denied(Rc<Dir>),
    NotAFolder(Facts),
    LinkLoop,
    Os(Errno),
}

/// A walk that can go on from where it stands: the root and every folder below it that leads there.
#[derive(Debug, Clone)]
pub(crate) struct Standpoint(Vec<Rc<Dir>>);

/// A walk that has ended.
#[derive(Debug)]
pub(crate) struct Trail {
    pub passed: Vec<Passed>,
    pub end: Result<End, Stop>,
    /// Where it ended, to go on from there.
    pub standpoint: Standpoint,
}

impl Dir {
    fn new(fd: OwnedFd, path: PathBuf, facts: Facts, mount: Rc<Mount>) -> Self {
        Self { fd, path, facts, mount, acl: OnceCell::new() }
    }

    fn root() -> Result<Rc<Self>, Errno> {
        let fd = openat(AT_FDCWD, "/", CROSS | OFlag::O_DIRECTORY, Mode::empty())?;
        let facts = Facts::of(&fd)?;
        let path = PathBuf::from("/");
        let mount = Rc::new(Mount::of(&fd, facts.mount, &path));
        Ok(Rc::new(Self::new(fd, path, facts, mount)))
    }

    /// Looks at one name in it: a descriptor for nothing but stat.
    pub(crate) fn peek(&self, name: &OsStr) -> Result<(OwnedFd, Facts), Errno> {
        let fd = openat(&self.fd, name, CROSS, Mode::empty())?;
        let facts = Facts::of(&fd)?;
        Ok((fd, facts))
    }

    /// On what the entry `name` lies: asked anew only where another mount begins.
    pub(crate) fn mount_of(&self, name: &OsStr, fd: &OwnedFd, facts: &Facts) -> Rc<Mount> {
        if facts.mount.is_some() && facts.mount == self.mount.id {
            return Rc::clone(&self.mount);
        }
        Rc::new(Mount::of(fd, facts.mount, &self.path.join(name)))
    }

    /// The folder of that name in it.
    pub(crate) fn enter(&self, name: &OsStr, fd: OwnedFd, facts: Facts) -> Rc<Self> {
        let mount = self.mount_of(name, &fd, &facts);
        Rc::new(Self::new(fd, self.path.join(name), facts, mount))
    }

    /// Asked for once, and only where it can make a difference.
    pub(crate) fn acl(&self) -> &AclSeen {
        self.acl.get_or_init(|| AclSeen::of_path(self.fd.as_fd()))
    }

    /// At most `most` names in it, sorted, and whether those are all.
    pub(crate) fn names(&self, most: usize) -> Result<(Vec<OsString>, bool), Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = dir::Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let (mut names, mut complete) = (Vec::new(), true);
        for entry in listing.iter() {
            let entry = entry?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                _ if names.len() == most => {
                    complete = false;
                    break;
                }
                name => names.push(OsStr::from_bytes(name).to_owned()),
            }
        }
        // The order of a listing is that of the disk; a report shall not depend on it.
        names.sort();
        Ok((names, complete))
    }

    /// Whether this process may enter it, by trying.
    pub(crate) fn lets_in(&self) -> bool {
        openat(&self.fd, ".", CROSS | OFlag::O_DIRECTORY, Mode::empty()).is_ok()
    }
}

impl Entry {
    /// Free of links and dots.
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path.join(&self.name)
    }
}

impl Standpoint {
    /// Goes on to `path` from here; volumes that change by a link are seen as `ground` saw them.
    pub(crate) fn to(self, path: &Path, ground: &Ground) -> Trail {
        let mut walk = Walk { ground, stack: self.0, passed: Vec::new(), todo: Vec::new(), links: 0 };
        walk.push(path);
        let end = walk.run();
        Trail { passed: walk.passed, end, standpoint: Self(walk.stack) }
    }
}

struct Walk<'a> {
    ground: &'a Ground,
    stack: Vec<Rc<Dir>>,
    passed: Vec<Passed>,
    /// Last one first.
    todo: Vec<Todo>,
    links: usize,
}

enum Todo {
    Root,
    Up,
    Name(OsString),
}

impl Walk<'_> {
    fn push(&mut self, path: &Path) {
        let steps = path.components().rev().filter_map(|component| match component {
            Component::RootDir => Some(Todo::Root),
            Component::ParentDir => Some(Todo::Up),
            Component::Normal(name) => Some(Todo::Name(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        });
        self.todo.extend(steps);
    }

    fn run(&mut self) -> Result<End, Stop> {
        while let Some(step) = self.todo.pop() {
            match step {
                Todo::Root => self.stack.truncate(1),
                // Above the root is the root.
                Todo::Up => self.stack.truncate(self.stack.len().saturating_sub(1).max(1)),
                Todo::Name(name) => {
                    if let Some(end) = self.take(name)? {
                        return Ok(end);
                    }
                }
            }
        }
        Ok(End::Folder(self.here()?))
    }

    fn here(&self) -> Result<Rc<Dir>, Stop> {
        let nowhere = || Stop { path: PathBuf::from("/"), cause: Cause::Os(Errno::EBADF) };
        self.stack.last().cloned().ok_or_else(nowhere)
    }

    /// One name in the folder where the walk stands.
    fn take(&mut self, name: OsString) -> Result<Option<End>, Stop> {
        let parent = self.here()?;
        if name == DATA && self.take_pinned(&parent) {
            return Ok(None);
        }
        let path = parent.path.join(&name);
        let (fd, facts) = parent.peek(&name).map_err(|errno| stop(errno, &parent, &path))?;
        self.passed.push(Passed::Folder { dir: Rc::clone(&parent), child_uid: facts.uid });
        match facts.kind {
            Kind::Folder => self.stack.push(parent.enter(&name, fd, facts)),
            Kind::Link if name == DATA => return self.pin(&parent, &fd, path),
            Kind::Link => self.follow(&fd, path)?,
            _ if !self.todo.is_empty() => return Err(Stop { path, cause: Cause::NotAFolder(facts) }),
            _ => {
                let mount = parent.mount_of(&name, &fd, &facts);
                return Ok(Some(End::Entry(Entry { parent, name, fd, facts, mount })));
            }
        }
        Ok(None)
    }

    /// Reads the link from its own descriptor, so the link that was seen is the one that is gone.
    fn follow(&mut self, link: &OwnedFd, path: PathBuf) -> Result<(), Stop> {
        let target = self.read_link(link, path)?;
        self.push(&target);
        Ok(())
    }

    fn read_link(&mut self, link: &OwnedFd, path: PathBuf) -> Result<PathBuf, Stop> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Stop { path, cause: Cause::LinkLoop });
        }
        match readlinkat(link, "") {
            Ok(target) => {
                let target = PathBuf::from(target);
                self.passed.push(Passed::Link { path, target: target.clone() });
                Ok(target)
            }
            Err(errno) => Err(Stop { path, cause: Cause::Os(errno) }),
        }
    }

    /// Goes through a link that whole volumes are exchanged by, and holds on to where it led: the
    /// next file is taken from there too, whatever the link says by then.
    fn pin(&mut self, parent: &Rc<Dir>, link: &OwnedFd, path: PathBuf) -> Result<Option<End>, Stop> {
        let passed = self.passed.len().saturating_sub(1);
        let rest = std::mem::take(&mut self.todo);
        let end = self.follow(link, path).and_then(|()| self.run());
        self.todo = rest;
        match end? {
            End::Folder(_) => {
                let beyond = self.passed.get(passed..).unwrap_or_default().to_vec();
                self.ground.pin(parent, beyond, Standpoint(self.stack.clone()));
                Ok(None)
            }
            End::Entry(entry) if self.todo.is_empty() => Ok(Some(End::Entry(entry))),
            End::Entry(entry) => Err(Stop { path: entry.path(), cause: Cause::NotAFolder(entry.facts) }),
        }
    }

    fn take_pinned(&mut self, parent: &Dir) -> bool {
        let Some((passed, Standpoint(stack))) = self.ground.pinned(parent) else { return false };
        self.passed.extend(passed);
        self.stack = stack;
        true
    }
}

fn stop(errno: Errno, parent: &Rc<Dir>, path: &Path) -> Stop {
    let cause = match errno {
        Errno::ENOENT => Cause::Missing,
        Errno::EACCES => return Stop { path: parent.path.clone(), cause: Cause::Denied(Rc::clone(parent)) },
        other => Cause::Os(other),
    };
    Stop { path: path.to_owned(), cause }
}

/// The link by which Kubernetes exchanges all files of a volume at once.
pub(crate) const DATA: &str = "..data";

const CROSS: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
