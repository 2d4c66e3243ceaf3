//! The way to a file, one component at a time, each judged from the descriptor that is crossed.
//!
//! Owns path resolution: every component is opened with `O_PATH | O_NOFOLLOW` relative to the one
//! before, and links are followed by hand, so nothing is crossed unseen. Judges nothing. Follows
//! path_resolution(7); one name at a time needs no openat2(2), so old seccomp policies do no harm.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use crate::node::{Facts, Kind, on_read_only_mount};

/// A folder held open.
#[derive(Debug)]
pub(crate) struct Dir {
    /// `O_PATH`: good for crossing and for stat, not for reading.
    pub fd: OwnedFd,
    /// Free of links and dots.
    pub path: PathBuf,
    pub facts: Facts,
    /// Asked for only where the mode lets others write.
    pub read_only: bool,
}

/// What was passed on the way.
#[derive(Debug)]
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
    Entry {
        parent: Rc<Dir>,
        name: OsString,
        facts: Facts,
    },
    Folder(Rc<Dir>),
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

/// A walk that can go on from where it stands.
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

/// Goes to `path`; a relative one starts at the working directory.
pub(crate) fn to(path: &Path) -> Trail {
    match absolute(path).and_then(|absolute| Ok((root()?, absolute))) {
        Ok((root, absolute)) => Standpoint(vec![root]).to(&absolute),
        Err(errno) => Trail {
            passed: Vec::new(),
            end: Err(Stop { path: path.to_owned(), cause: Cause::Os(errno) }),
            standpoint: Standpoint(Vec::new()),
        },
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Errno> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    Ok(std::env::current_dir().map_err(errno)?.join(path))
}

fn root() -> Result<Rc<Dir>, Errno> {
    let fd = openat(AT_FDCWD, "/", CROSS | OFlag::O_DIRECTORY, Mode::empty())?;
    let facts = Facts::of(&fd)?;
    Ok(Rc::new(Dir::new(fd, PathBuf::from("/"), facts)))
}

impl Dir {
    fn new(fd: OwnedFd, path: PathBuf, facts: Facts) -> Self {
        let read_only = facts.mode & 0o022 != 0 && on_read_only_mount(&fd);
        Self { fd, path, facts, read_only }
    }

    /// Whether this process may enter it, by trying.
    pub(crate) fn lets_in(&self) -> bool {
        openat(&self.fd, ".", CROSS | OFlag::O_DIRECTORY, Mode::empty()).is_ok()
    }
}

impl Standpoint {
    /// Goes on to `path` from here.
    pub(crate) fn to(self, path: &Path) -> Trail {
        let mut walk = Walk { stack: self.0, passed: Vec::new(), todo: Vec::new(), links: 0 };
        walk.push(path);
        let end = walk.run();
        Trail { passed: walk.passed, end, standpoint: Self(walk.stack) }
    }
}

struct Walk {
    /// The root and every folder below it that leads to where the walk stands.
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

impl Walk {
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
        let path = parent.path.join(&name);
        let (fd, facts) = peek(&parent, &name).map_err(|errno| stop(errno, &parent, &path))?;
        self.passed.push(Passed::Folder { dir: Rc::clone(&parent), child_uid: facts.uid });
        match facts.kind {
            Kind::Folder => self.stack.push(Rc::new(Dir::new(fd, path, facts))),
            Kind::Link => self.follow(&fd, path)?,
            _ if !self.todo.is_empty() => return Err(Stop { path, cause: Cause::NotAFolder(facts) }),
            _ => return Ok(Some(End::Entry { parent, name, facts })),
        }
        Ok(None)
    }

    /// Reads the link from its own descriptor, so the link that was seen is the one that is gone.
    fn follow(&mut self, link: &OwnedFd, path: PathBuf) -> Result<(), Stop> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Stop { path, cause: Cause::LinkLoop });
        }
        match readlinkat(link, "") {
            Ok(target) => {
                let target = PathBuf::from(target);
                self.push(&target);
                self.passed.push(Passed::Link { path, target });
                Ok(())
            }
            Err(errno) => Err(Stop { path, cause: Cause::Os(errno) }),
        }
    }
}

fn peek(parent: &Dir, name: &OsStr) -> Result<(OwnedFd, Facts), Errno> {
    let fd = openat(&parent.fd, name, CROSS, Mode::empty())?;
    let facts = Facts::of(&fd)?;
    Ok((fd, facts))
}

fn stop(errno: Errno, parent: &Rc<Dir>, path: &Path) -> Stop {
    let cause = match errno {
        Errno::ENOENT => Cause::Missing,
        Errno::EACCES => return Stop { path: parent.path.clone(), cause: Cause::Denied(Rc::clone(parent)) },
        other => Cause::Os(other),
    };
    Stop { path: path.to_owned(), cause }
}

const CROSS: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
