//! Tightening the modes of files that the service user owns.
//!
//! Owns what `--repair` changes: mode bits, of the very inode that was judged, and never more than
//! taking rights away. Owners, ACLs and folders on the way stay as they are. Follows fchmod(2).

use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::sys::stat::{Mode, fchmod};

use crate::finding::Code;
use crate::inspect::Inspection;
use crate::node::{Facts, Kind};
use crate::object::{Object, Role};
use crate::terms::Judge;
use crate::tree;

/// A mode that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    pub path: PathBuf,
    /// The twelve bits before.
    pub was: u32,
    /// And now.
    pub now: u32,
}

/// Takes from a judged object what it grants too much; what can't be changed stays as it was found.
pub(crate) fn tighten(object: &Object, judge: &Judge<'_>, inspection: &Inspection) -> Vec<Repaired> {
    // Where somebody else decides what a name leads to, nothing is changed through it.
    if inspection.findings.iter().any(|finding| is_of_the_way(finding.code)) {
        return Vec::new();
    }
    match object.role {
        Role::StateFolder => tree::tighten(judge, object),
        Role::StaticRoot => Vec::new(),
        role => {
            let Some(judged) = &inspection.file else { return Vec::new() };
            let excess = excess(role, &judged.facts);
            change(judge, &judged.file, &judged.facts, excess, judged.path.clone()).into_iter().collect()
        }
    }
}

const fn is_of_the_way(code: Code) -> bool {
    matches!(code, Code::LinkLoop | Code::ParentForeignOwner | Code::ParentWritable | Code::Symlink)
}

/// The bits that such a file must not have.
pub(crate) fn excess(role: Role, facts: &Facts) -> u32 {
    let guarded = role.is_secret() || role == Role::StateFolder;
    facts.mode & if guarded { 0o7077 } else { 0o7022 }
}

/// Changes the mode through a descriptor of the inode, if it is ours and has no other name.
pub(crate) fn change(
    judge: &Judge<'_>,
    fd: impl AsFd,
    facts: &Facts,
    excess: u32,
    path: PathBuf,
) -> Option<Repaired> {
    let single = facts.kind == Kind::Folder || facts.links == 1;
    if excess == 0 || facts.uid != judge.identity.uid || !single {
        return None;
    }
    let now = facts.mode & !excess;
    fchmod(fd, Mode::from_bits_truncate(now)).ok()?;
    Some(Repaired { path, was: facts.mode, now })
}
