//! What is allowed: from facts to findings.
//!
//! Owns the storage policy of `docs/storage.md`, as pure functions of facts; opens nothing. Judges
//! who can read or replace a file. Follows inode(7), acl(5), user_namespaces(7).

mod delivered;
mod file;
mod folder;
mod grants;
mod stopped;
mod way;

use std::fmt::Display;
use std::path::Path;

use crate::finding::{Code, Finding, Shown, refuse, unknown, warn};
use crate::mount::Mount;
use crate::node::{Facts, Kind};
use crate::object::Role;
use crate::terms::Judge;

pub(crate) use file::Subject;
pub(crate) use folder::{Kept, mount_inside, too_deep, too_many};
pub(crate) use stopped::{late, not_reached, timed_out};

impl Judge<'_> {
    /// A file of a type that the role has no use for.
    pub(crate) fn wrong_kind(&self, role: Role, path: &Path, facts: &Facts) -> Finding {
        let (code, wanted) = match role.is_folder() {
            true => (Code::NotADirectory, "a folder"),
            false => (Code::NotAFile, "a regular file"),
        };
        let seen = format!("{}, {facts}", facts.kind);
        // What Docker makes of a source that is not there.
        let made = match (facts.mount_root, facts.kind) {
            (true, Kind::Folder) if !role.is_folder() => {
                " (Docker makes an empty folder where the source of -v is not there)"
            }
            _ => "",
        };
        let fix = format!("put {wanted} at {}, or name another path in the configuration{made}", Shown(path));
        refuse(path, code, seen, format!("a {role} must be {wanted}"), fix)
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

    /// To give a file or folder to whom it may belong. What is mounted, into a container as a rule, is given to the
    /// service user as a whole, as the documents have it.
    fn give(&self, path: &Path, facts: &Facts, mount: &Mount) -> String {
        let (owner, shown) = (self.owner(), Shown(path));
        match (facts.mount_root, mount.point.as_path()) {
            (true, _) => format!(
                "chown -R {owner} {shown}  # in a container: on the host, of what --volume (Docker, Podman) mounts there"
            ),
            (false, point) if point == Path::new("/") => format!("chown {TRUSTED_OWNER} {shown}"),
            (false, point) => {
                let point = Shown(point);
                format!("chown {owner} {shown}  # in a container: on the host, in what is mounted at {point}")
            }
        }
    }

    /// `uid:gid` of the service user.
    fn owner(&self) -> String {
        format!("{}:{}", self.identity.uid, self.identity.gid)
    }
}

/// A failure that no rule foresees.
pub(crate) fn os_error(path: &Path, deed: &str, error: &dyn Display) -> Finding {
    let fix = "mend the cause that the system names, then try again".to_owned();
    let seen = format!("{deed}: {error}");
    refuse(path, Code::OsError, seen, "what can't be judged is not used".to_owned(), fix)
}

/// The finding for a file that does not hold still.
pub(crate) fn changing(path: &Path) -> Finding {
    let why = "what was judged must be what is used".to_owned();
    let fix = "try again; replace files by renaming a finished one over the old one".to_owned();
    refuse(path, Code::Changing, "replaced or written while it was read", why, fix)
}

/// Where content was asked for, there is no regular file.
pub(crate) fn no_file(path: &Path) -> Finding {
    refuse(path, Code::NotAFile, "a folder", "only files can be read".to_owned(), "name a file".to_owned())
}

/// Keeps one of equal findings, the worst: a folder may be crossed twice.
pub(crate) fn deduplicate(findings: &mut Vec<Finding>) {
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings.drain(..) {
        match kept.iter_mut().find(|other| other.code == finding.code && other.path == finding.path) {
            Some(other) if other.severity < finding.severity => *other = finding,
            Some(_) => {}
            None => kept.push(finding),
        }
    }
    *findings = kept;
}

/// Whom to give what the service user need not own.
const TRUSTED_OWNER: &str = "root:root";
const STICKY: u32 = 0o1000;
