//! Folders that were walked to, held open for the next file that lies in them.
//!
//! Owns what makes several files one snapshot: all that are reached over one ground are taken from
//! the very same folders, also where a link was exchanged meanwhile (the `..data` of Kubernetes).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;

use super::{Cause, Dir, End, Passed, Standpoint, Stop, Trail};

/// A view of the file tree in which every folder stays what it was when it was first crossed.
#[derive(Debug)]
pub(crate) struct Ground {
    root: Result<Rc<Dir>, Errno>,
    folders: RefCell<HashMap<PathBuf, Known>>,
    pins: RefCell<HashMap<PathBuf, Known>>,
}

type Known = (Vec<Passed>, Standpoint);

impl Ground {
    pub(crate) fn new() -> Self {
        Self { root: Dir::root(), folders: RefCell::default(), pins: RefCell::default() }
    }

    /// Goes to `path`; a relative one starts at the working directory.
    pub(crate) fn to(&self, path: &Path) -> Trail {
        match absolute(path) {
            Ok(path) => self.to_absolute(&path),
            Err(errno) => nowhere(path, errno),
        }
    }

    fn to_absolute(&self, path: &Path) -> Trail {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return self.go(path);
        };
        let Trail { mut passed, end, standpoint } = self.go(folder);
        if !matches!(end, Ok(End::Folder(_))) {
            let end = match end {
                Ok(End::Entry(entry)) => {
                    Err(Stop { path: entry.path(), cause: Cause::NotAFolder(entry.facts) })
                }
                end => end,
            };
            return Trail { passed, end, standpoint };
        }
        let last = standpoint.to(Path::new(name), self);
        passed.extend(last.passed);
        Trail { passed, ..last }
    }

    /// To a folder, from the nearest one that is known.
    fn go(&self, folder: &Path) -> Trail {
        let root = match &self.root {
            Ok(root) => Rc::clone(root),
            Err(errno) => return nowhere(folder, *errno),
        };
        let known = folder.ancestors().find_map(|ancestor| {
            let known = self.folders.borrow().get(ancestor).cloned()?;
            Some((known, folder.strip_prefix(ancestor).ok()?))
        });
        let ((mut passed, from), rest) = known.unwrap_or_else(|| ((vec![], Standpoint(vec![root])), folder));
        let trail = from.to(rest, self);
        passed.extend(trail.passed);
        if matches!(trail.end, Ok(End::Folder(_))) {
            let known = (passed.clone(), trail.standpoint.clone());
            remember(&self.folders, folder.to_owned(), known);
        }
        Trail { passed, ..trail }
    }

    pub(super) fn pin(&self, parent: &Dir, passed: Vec<Passed>, at: Standpoint) {
        remember(&self.pins, parent.path.clone(), (passed, at));
    }

    pub(super) fn pinned(&self, parent: &Dir) -> Option<Known> {
        self.pins.borrow().get(&parent.path).cloned()
    }
}

fn remember(table: &RefCell<HashMap<PathBuf, Known>>, key: PathBuf, known: Known) {
    let mut table = table.borrow_mut();
    if table.len() >= MOST_KNOWN {
        table.clear();
    }
    table.insert(key, known);
}

fn absolute(path: &Path) -> Result<PathBuf, Errno> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    Ok(std::env::current_dir().map_err(errno)?.join(path))
}

fn nowhere(path: &Path, errno: Errno) -> Trail {
    let end = Err(Stop { path: path.to_owned(), cause: Cause::Os(errno) });
    Trail { passed: Vec::new(), end, standpoint: Standpoint(Vec::new()) }
}

/// Each holds descriptors open, of which a process may have 1024.
const MOST_KNOWN: usize = 64;
