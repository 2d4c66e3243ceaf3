//! The findings for a way that could not be gone to its end, and for files that can't be opened.
//!
//! Owns their words; opens nothing. Follows path_resolution(7) and open(2).

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::{os_error, refuse, unknown};
use crate::bounded::Late;
use crate::delivery::{Delivery, DeliveryKind};
use crate::finding::{Code, Finding, Shown};
use crate::node::{AclSeen, Facts};
use crate::object::Role;
use crate::terms::Judge;
use crate::walk::{Cause, Dir, Stop};

impl Judge<'_> {
    /// The way could not be gone to its end.
    pub(crate) fn stop(&self, role: Role, stop: &Stop) -> Finding {
        let Stop { path, cause } = stop;
        match cause {
            Cause::Missing => {
                let shown = Shown(path);
                let fix = match role {
                    Role::StateFolder => format!(
                        "mount a volume there, --volume NAME:{shown} (Docker, Podman), create it, or name another path"
                    ),
                    _ => format!("create {shown}, mount it, or name another path"),
                };
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

    /// A folder that the service user may not enter, or this process in its place.
    pub(crate) fn closed(&self, dir: &Dir) -> Finding {
        let (shown, us) = (Shown(&dir.path), self.identity.uid);
        if self.is_unmapped(&dir.facts) {
            return self.unmapped(&dir.path, &dir.facts);
        }
        if !self.is_self && self.identity.may_cross(&dir.facts, dir.acl()) {
            return self.denied(&dir.path, &dir.facts, "enter this folder");
        }
        let why = format!("user {us} may not enter this folder");
        let fix = match dir.facts.uid == us {
            true => format!("chmod u+x {shown}"),
            false => format!("chmod a+x {shown}  # or keep the file in a folder that user {us} can enter"),
        };
        refuse(&dir.path, Code::Unreadable, dir.facts, why, fix)
    }

    /// It is not the service user who may not, but this process, which judges in its place.
    fn denied(&self, path: &Path, facts: &Facts, deed: &str) -> Finding {
        let us = self.identity.uid;
        let (me, owner) = (nix::unistd::geteuid(), self.owner());
        let why = format!("this check runs as user {me}, who may not {deed}, although user {us} may");
        let fix = format!("run the check as user {us} (Docker: --user {owner})");
        refuse(path, Code::Unreadable, facts, why, fix)
    }

    /// A file that could not be opened although the way to it could be gone.
    pub(crate) fn unopened(
        &self,
        path: &Path,
        facts: &Facts,
        acl: &AclSeen,
        delivery: Option<&Delivery>,
        errno: Errno,
    ) -> Finding {
        match errno {
            Errno::EACCES | Errno::EPERM if self.is_unmapped(facts) => self.unmapped(path, facts),
            Errno::EACCES | Errno::EPERM if !self.is_self && self.identity.may_read(facts, acl) => {
                self.denied(path, facts, "read it")
            }
            Errno::EACCES | Errno::EPERM => self.unreadable(path, facts, delivery),
            other => os_error(path, "opening it failed", &other),
        }
    }

    pub(super) fn unreadable(&self, path: &Path, facts: &Facts, delivery: Option<&Delivery>) -> Finding {
        let why = format!("user {} may not read it", self.identity.uid);
        let shown = Shown(path);
        let fix = match delivery.map(|delivery| delivery.kind) {
            Some(DeliveryKind::KubernetesVolume) => self.let_in_by_fs_group(),
            Some(DeliveryKind::RuntimeSecret) => {
                format!("deliver it to the service user: {}", self.secret_options())
            }
            _ if facts.uid == self.identity.uid => format!("chmod u+r {shown}"),
            Some(DeliveryKind::FsGroupClaim) | None => format!("chown {} {shown}", self.owner()),
        };
        refuse(path, Code::Unreadable, facts, why, fix)
    }
}

/// The object did not answer within its time.
pub(crate) fn timed_out(path: &Path, patience: Duration) -> Finding {
    let seen = format!("no answer within {} ms", patience.as_millis());
    let why = "a mount whose server or program does not answer; nothing is known of it".to_owned();
    let fix = "see whether it is served (a dead NFS or FUSE mount holds whoever touches it), or unmount it";
    unknown(path, Code::TimedOut, seen, why, fix.to_owned())
}

/// The configuration could not be read in time.
pub(crate) fn late(path: &Path, late: &Late) -> Finding {
    let why = "nothing is known of it".to_owned();
    let fix =
        "see whether the mount is served (a dead NFS or FUSE mount holds whoever touches it), or unmount it";
    unknown(path, Code::TimedOut, late, why, fix.to_owned())
}

/// The check ended before its turn.
pub(crate) fn not_reached(path: &Path) -> Finding {
    let why = "the check ended before its turn; nothing is known of it".to_owned();
    let fix = "mend what the findings before it say, then check again".to_owned();
    unknown(path, Code::TimedOut, "not looked at", why, fix)
}
