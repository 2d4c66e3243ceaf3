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
    let is_there = |codes: &[Code]| inspection.findings.iter().any(|finding| codes.contains(&finding.code));
    if is_there(&[Code::LinkLoop, Code::ParentForeignOwner, Code::ParentWritable, Code::Symlink]) {
        return Vec::new();
    }
    match object.role {
        // Of root's folders one with files of others is hardly a state folder: a slip of the pen.
        Role::StateFolder if judge.identity.uid == 0 && is_there(&[Code::ForeignOwner]) => Vec::new(),
        Role::StateFolder => tree::tighten(judge, object),
        // Nobody but the operator knows whether others were meant to look in.
        Role::StaticRoot | Role::SocketFolder => Vec::new(),
        role => {
            let Some(judged) = &inspection.file else { return Vec::new() };
            change(judge, role, &judged.file, judged.path.clone()).into_iter().collect()
        }
    }
}

/// Whether a folder is everybody's on purpose, as /tmp is.
pub(crate) const fn is_shared(facts: &Facts) -> bool {
    facts.mode & 0o1000 != 0
}

/// Whether a folder is the root of a claim as the kubelet left it: with its group's rights taken away,
/// the kubelet would open all of the claim anew.
pub(crate) const fn is_kubelets(facts: &Facts) -> bool {
    facts.mount_root && facts.mode & 0o2020 == 0o2020
}

/// Changes the mode through a descriptor of the inode, if it is ours and has no other name.
pub(crate) fn change(judge: &Judge<'_>, role: Role, fd: impl AsFd, path: PathBuf) -> Option<Repaired> {
    // As it is right now: nothing is given back that somebody took meanwhile.
    let facts = Facts::of(&fd).ok()?;
    let guarded = role.is_secret() || role == Role::StateFolder;
    let excess = facts.mode & if guarded { 0o7077 } else { 0o7022 };
    let single = facts.kind == Kind::Folder || facts.links == 1;
    if excess == 0 || facts.uid != judge.identity.uid || !single || judge.is_abandoned() {
        return None;
    }
    let now = facts.mode & !excess;
    fchmod(fd, Mode::from_bits_truncate(now)).ok()?;
    Some(Repaired { path, was: facts.mode, now })
}
