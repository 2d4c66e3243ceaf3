//! Reaching an object, judging it, and holding it open for whoever may read it.
//!
//! Owns the order: walk, look, open without waiting, judge what was opened. The rules themselves
//! are in `rules`. Nothing but regular files is opened for reading. Follows open(2).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::finding::{Code, Finding, Severity};
use crate::identity::Identity;
use crate::node::{Acl, Facts, Kind, Modes};
use crate::object::{Object, Role};
use crate::report::{ObjectReport, StorageReport};
use crate::rules::{self, Backing, Judge};
use crate::walk::{self, Dir, End, Trail};

/// Judges every object for `identity`; opens them, reads nothing of them.
#[must_use]
pub fn check(objects: &[Object], identity: &Identity) -> StorageReport {
    let judge = Judge::new(identity);
    let objects = objects.iter().map(|object| object_report(object, &judge)).collect();
    StorageReport { identity: identity.clone(), objects }
}

fn object_report(object: &Object, judge: &Judge<'_>) -> ObjectReport {
    let Inspection { findings, facts, .. } = inspect(object, judge);
    ObjectReport { object: object.clone(), seen: facts.map(|facts| facts.to_string()), findings }
}

/// What became of one object.
#[derive(Debug)]
pub(crate) struct Inspection {
    pub findings: Vec<Finding>,
    /// Of the object itself, when it was reached.
    pub facts: Option<Facts>,
    /// The very file that was judged.
    pub file: Option<Judged>,
}

/// A readable file with the facts that were judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub file: File,
    pub facts: Facts,
    pub path: PathBuf,
}

/// Walks to the object and judges it.
pub(crate) fn inspect(object: &Object, judge: &Judge<'_>) -> Inspection {
    inspect_by(object.role, judge, || walk::to(&object.path))
}

/// The same for a way that the caller goes; gone again when the file is replaced meanwhile.
pub(crate) fn inspect_by(role: Role, judge: &Judge<'_>, way: impl Fn() -> Trail) -> Inspection {
    for _ in 1..ATTEMPTS {
        if let Ok(inspection) = attempt(role, judge, way()) {
            return inspection;
        }
    }
    attempt(role, judge, way()).unwrap_or_else(|Moved { mut findings, path }| {
        findings.push(changing(&path));
        rules::deduplicate(&mut findings);
        Inspection { findings, facts: None, file: None }
    })
}

/// The name led to another inode by the time it was opened.
struct Moved {
    findings: Vec<Finding>,
    path: PathBuf,
}

fn attempt(role: Role, judge: &Judge<'_>, trail: Trail) -> Result<Inspection, Moved> {
    let mut findings = judge.passed(role, &trail.passed);
    let mut inspection = match trail.end {
        Err(stop) => {
            findings.push(judge.stop(&stop));
            Inspection { findings, facts: None, file: None }
        }
        Ok(End::Folder(dir)) => {
            findings.extend(judge.folder(role, &dir));
            if role == Role::StaticRoot && !dir.lets_in() {
                findings.push(judge.closed(&dir));
            }
            Inspection { findings, facts: Some(dir.facts), file: None }
        }
        Ok(End::Entry { parent, name, facts }) => entry(role, judge, findings, &parent, &name, facts)?,
    };
    rules::deduplicate(&mut inspection.findings);
    Ok(inspection)
}

fn entry(
    role: Role,
    judge: &Judge<'_>,
    mut findings: Vec<Finding>,
    parent: &Dir,
    name: &OsStr,
    looked: Facts,
) -> Result<Inspection, Moved> {
    let path = parent.path.join(name);
    if looked.kind != Kind::Regular || role == Role::StaticRoot {
        findings.push(judge.wrong_kind(role, &path, &looked));
        return Ok(Inspection { findings, facts: Some(looked), file: None });
    }
    match open(parent, name) {
        Ok((_, facts)) if !facts.same_inode(&looked) || facts.links == 0 => Err(Moved { findings, path }),
        Ok((file, facts)) => {
            let backing = Backing { acl: Acl::of(file.as_fd()), modes: Modes::of(&file) };
            findings.extend(judge.file(role, &path, &facts, Some(backing)));
            Ok(Inspection { findings, facts: Some(facts), file: Some(Judged { file, facts, path }) })
        }
        Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => Err(Moved { findings, path }),
        Err(errno) => {
            findings.extend(judge.file(role, &path, &looked, None));
            findings.push(judge.unopened(&path, &looked, errno));
            Ok(Inspection { findings, facts: Some(looked), file: None })
        }
    }
}

fn open(parent: &Dir, name: &OsStr) -> Result<(File, Facts), Errno> {
    let file = File::from(openat(&parent.fd, name, READ, Mode::empty())?);
    let facts = Facts::of(&file)?;
    Ok((file, facts))
}

/// The finding for a file that does not hold still.
pub(crate) fn changing(path: &Path) -> Finding {
    Finding {
        path: path.to_owned(),
        code: Code::Changing,
        severity: Severity::Refuse,
        seen: "replaced or written while it was read".to_owned(),
        why: "what was judged must be what is used".to_owned(),
        fix: "try again; replace files by renaming a finished one over the old one".to_owned(),
    }
}

/// Neither waits for a FIFO's writer nor takes a terminal, should the name lead to one by now.
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// A rotation replaces a name once; more than this many times in a row is no rotation.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests;
