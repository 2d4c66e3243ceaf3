//! What is allowed: from facts to findings.
//!
//! Owns the storage policy of `docs/storage.md`, as pure functions of facts; opens nothing. Judges
//! who can read or replace a file. Follows inode(7), acl(5), user_namespaces(7).

mod file;

use std::fmt::Display;
use std::path::Path;

use nix::errno::Errno;

use crate::finding::{Code, Finding, Severity, Shown};
use crate::identity::Identity;
use crate::node::Facts;
use crate::object::Role;
use crate::overflow;
use crate::walk::{Cause, Dir, Passed, Stop};

pub(crate) use file::Backing;

/// The rules, for one service user.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    identity: &'a Identity,
    /// What the kernel shows for owners that this user namespace has no number for.
    /// `None` where every number is somebody: in the initial user namespace.
    overflow_uid: Option<u32>,
    /// Whether this process is that user: then the kernel itself tells what may be crossed.
    is_self: bool,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(identity: &'a Identity) -> Self {
        let is_self = *identity == Identity::current();
        Self { identity, overflow_uid: overflow::stands_for_nobody(), is_self }
    }

    /// Judges the way: every folder with the entry taken in it, every link.
    pub(crate) fn passed(&self, role: Role, passed: &[Passed]) -> Vec<Finding> {
        passed
            .iter()
            .flat_map(|passed| match passed {
                Passed::Folder { dir, child_uid } => self.crossed(role, dir, *child_uid),
                Passed::Link { path, target } => link(role, path, target).into_iter().collect(),
            })
            .collect()
    }

    fn crossed(&self, role: Role, dir: &Dir, child_uid: u32) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.is_self && !self.identity.may_cross(&dir.facts) {
            findings.push(self.closed(dir));
        }
        // What is published needs no protection from readers, and its writers are the operator's choice.
        if role != Role::StaticRoot {
            findings.extend(self.parent_owner(dir));
            findings.extend(self.parent_mode(role, dir, child_uid));
        }
        findings
    }

    fn parent_owner(&self, dir: &Dir) -> Option<Finding> {
        let facts = &dir.facts;
        if self.is_unmapped(facts) {
            return Some(self.unmapped(&dir.path, facts));
        }
        if self.identity.trusts_owner(facts.uid) {
            return None;
        }
        let fix = format!("chown {TRUSTED_OWNER} {}", Shown(&dir.path));
        let why = format!("user {} owns a folder on the way and can put another file in place", facts.uid);
        Some(refuse(&dir.path, Code::ParentForeignOwner, facts, why, fix))
    }

    fn parent_mode(&self, role: Role, dir: &Dir, child_uid: u32) -> Option<Finding> {
        let Dir { facts, path, read_only, .. } = dir;
        if facts.mode & OTHERS_WRITE == 0 {
            return None;
        }
        // In a sticky folder only an entry's owner, the folder's owner and root can replace it.
        if facts.mode & STICKY != 0 && self.identity.trusts_owner(child_uid) {
            return None;
        }
        // A Kubernetes ConfigMap's folder is 0777 and its mount read-only.
        if role == Role::Config && *read_only {
            return None;
        }
        let why = "others can write to a folder on the way and put another file in place".to_owned();
        Some(refuse(path, Code::ParentWritable, facts, why, format!("chmod go-w {}", Shown(path))))
    }

    /// Judges a folder at the end of the way.
    pub(crate) fn folder(&self, role: Role, dir: &Dir) -> Vec<Finding> {
        match role {
            Role::StaticRoot => self.static_root(dir),
            Role::Config | Role::Certificate | Role::PrivateKey => {
                vec![self.wrong_kind(role, &dir.path, &dir.facts)]
            }
        }
    }

    fn static_root(&self, dir: &Dir) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.is_self && !self.identity.may_cross(&dir.facts) {
            findings.push(self.closed(dir));
        }
        if dir.facts.mode & 0o002 != 0 && !dir.read_only {
            let fix = format!("chmod o-w {}", Shown(&dir.path));
            let why = "every user of this system can publish files here".to_owned();
            let finding = refuse(&dir.path, Code::WritableByOthers, dir.facts, why, fix);
            findings.push(Finding { severity: Severity::Warn, ..finding });
        }
        findings
    }

    /// Judges a folder of configuration files as what it is to each of them: the last parent.
    pub(crate) fn config_folder(&self, dir: &Dir) -> Vec<Finding> {
        // No entry yet that the sticky bit could protect: anyone can add one.
        const NOBODY: u32 = u32::MAX;
        self.crossed(Role::Config, dir, NOBODY)
    }

    /// A file of a type that the role has no use for.
    pub(crate) fn wrong_kind(&self, role: Role, path: &Path, facts: &Facts) -> Finding {
        let (code, wanted) = match role {
            Role::StaticRoot => (Code::NotADirectory, "a folder"),
            Role::Config | Role::Certificate | Role::PrivateKey => (Code::NotAFile, "a regular file"),
        };
        let seen = format!("{}, {facts}", facts.kind);
        let fix = format!("put {wanted} at {}, or name another path in the configuration", Shown(path));
        refuse(path, code, seen, format!("a {role} must be {wanted}"), fix)
    }

    /// The way could not be gone to its end.
    pub(crate) fn stop(&self, stop: &Stop) -> Finding {
        let Stop { path, cause } = stop;
        match cause {
            Cause::Missing => {
                let fix = format!("create {}, mount it, or name another path", Shown(path));
                refuse(path, Code::Missing, "not there", "nothing to open".to_owned(), fix)
            }
            Cause::Denied(dir) => self.closed(dir),
            Cause::NotAFolder(facts) => {
                let seen = format!("{}, {facts}", facts.kind);
                let fix = "name a path whose parents are folders".to_owned();
                refuse(path, Code::NotADirectory, seen, "the path goes on below it".to_owned(), fix)
            }
            Cause::LinkLoop => {
                let fix = "name the file itself, without links".to_owned();
                refuse(path, Code::LinkLoop, "a symbolic link", "too many links to follow".to_owned(), fix)
            }
            Cause::Os(errno) => os_error(path, "opening it failed", errno),
        }
    }

    /// A folder that the service user may not enter.
    pub(crate) fn closed(&self, dir: &Dir) -> Finding {
        let why = format!("user {} may not enter this folder", self.identity.uid);
        if self.is_unmapped(&dir.facts) {
            return self.unmapped(&dir.path, &dir.facts);
        }
        let fix = if dir.facts.uid == self.identity.uid {
            format!("chmod u+x {}", Shown(&dir.path))
        } else {
            format!("chmod a+x {0}, or chown {1} {0}", Shown(&dir.path), self.owner())
        };
        refuse(&dir.path, Code::Unreadable, dir.facts, why, fix)
    }

    /// A file that could not be opened although the way to it could be gone.
    pub(crate) fn unopened(&self, path: &Path, facts: &Facts, errno: Errno) -> Finding {
        match errno {
            Errno::EACCES | Errno::EPERM if self.is_unmapped(facts) => self.unmapped(path, facts),
            Errno::EACCES | Errno::EPERM => self.unreadable(path, facts),
            other => os_error(path, "opening it failed", &other),
        }
    }

    fn unreadable(&self, path: &Path, facts: &Facts) -> Finding {
        let fix = match facts.uid == self.identity.uid {
            true => format!("chmod u+r {}", Shown(path)),
            false => format!("chown {} {}", self.owner(), Shown(path)),
        };
        let why = format!("user {} may not read it", self.identity.uid);
        refuse(path, Code::Unreadable, facts, why, fix)
    }

    fn is_unmapped(&self, facts: &Facts) -> bool {
        Some(facts.uid) == self.overflow_uid
    }

    fn unmapped(&self, path: &Path, facts: &Facts) -> Finding {
        let why = format!(
            "owner {} stands for every user that this container's user namespace has no number for (or for nobody)",
            facts.uid
        );
        let fix = format!(
            "on the host, chown it to the user that is {} in the container (Podman: mount with :U, or \
             --userns=keep-id; Kubernetes: a volume that supports idmapped mounts)",
            self.identity.uid
        );
        refuse(path, Code::UnmappedOwner, facts, why, fix)
    }

    /// `uid:gid` of the service user.
    fn owner(&self) -> String {
        format!("{}:{}", self.identity.uid, self.identity.gid)
    }
}

fn link(role: Role, path: &Path, target: &Path) -> Option<Finding> {
    // Configurations come as links in Kubernetes, and what is crossed is judged all the same.
    if matches!(role, Role::Config | Role::StaticRoot) {
        return None;
    }
    let seen = format!("a symbolic link to {}", Shown(target));
    let why = format!("a {role} is taken from where the configuration says, not from where a link leads");
    let fix = "name the path it leads to in the configuration".to_owned();
    Some(refuse(path, Code::Symlink, seen, why, fix))
}

/// A failure that no rule foresees.
pub(crate) fn os_error(path: &Path, deed: &str, error: &dyn Display) -> Finding {
    let fix = "mend the cause that the system names, then try again".to_owned();
    refuse(
        path,
        Code::OsError,
        format!("{deed}: {error}"),
        "what can't be judged is not used".to_owned(),
        fix,
    )
}

/// Keeps the first of equal findings: a folder may be crossed twice.
pub(crate) fn deduplicate(findings: &mut Vec<Finding>) {
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings.drain(..) {
        if !kept.iter().any(|other| other.code == finding.code && other.path == finding.path) {
            kept.push(finding);
        }
    }
    *findings = kept;
}

fn refuse(path: &Path, code: Code, seen: impl Display, why: String, fix: String) -> Finding {
    Finding { path: path.to_owned(), code, severity: Severity::Refuse, seen: seen.to_string(), why, fix }
}

/// Whom to give what the service user need not own.
const TRUSTED_OWNER: &str = "root:root";
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_an_unmapped_owner_from_a_stranger() {
        let fd = std::os::fd::OwnedFd::from(std::os::unix::net::UnixStream::pair().unwrap().0);
        std::os::unix::fs::fchown(&fd, Some(65534), None).expect("changing owners needs root: run with sudo");
        let dir = Dir { facts: Facts::of(&fd).unwrap(), fd, path: "/x".into(), read_only: false };
        let identity = Identity { uid: 65532, gid: 65532, groups: Vec::new() };
        let code = |overflow_uid| {
            Judge { identity: &identity, overflow_uid, is_self: false }.parent_owner(&dir).unwrap().code
        };
        assert_eq!(code(Some(65534)), Code::UnmappedOwner);
        assert_eq!(code(None), Code::ParentForeignOwner);
    }
}
