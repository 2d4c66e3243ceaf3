//! The rules for a folder at the end of the way: one that is published, one that is kept.
//!
//! Owns what a state folder and everything below it must look like; lists nothing. Follows inode(7)
//! and acl(5).

use std::path::Path;

use super::file::dormant;
use super::grants::{Grant, Grantee, WRITE, grants, listed};
use super::{refuse, unknown, warn};
use crate::delivery::{Delivery, DeliveryKind};
use crate::finding::{Code, Finding, Shown};
use crate::mount::Mount;
use crate::node::{AclSeen, Facts};
use crate::object::Role;
use crate::terms::Judge;
use crate::walk::Dir;

/// A folder of those that the proxy writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub role: Role,
    pub path: &'a Path,
    pub facts: &'a Facts,
    pub mount: &'a Mount,
    pub acl: &'a AclSeen,
    /// An ACL of the filesystem's own kind, by its attribute.
    pub own_acl: Option<&'static str>,
    /// What is given to everything that will be made in it.
    pub default_acl: &'a AclSeen,
    pub delivery: Option<&'a Delivery>,
}

impl Judge<'_> {
    /// Judges a folder that is published.
    pub(crate) fn static_root(&self, dir: &Dir) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.may_enter(dir) || !dir.lets_in() {
            findings.push(self.closed(dir));
        }
        if dir.facts.mode & 0o002 != 0 && !dir.mount.is_read_only() {
            let fix = format!("chmod o-w {}", Shown(&dir.path));
            let why = "every user of this system can publish files here".to_owned();
            findings.push(warn(&dir.path, Code::WritableByOthers, dir.facts, why, fix));
        }
        findings
    }

    /// Judges a folder that is kept, without what is in it.
    pub(crate) fn state_folder(&self, kept: &Kept<'_>) -> Vec<Finding> {
        let Kept { role, path, facts, mount, delivery, .. } = *kept;
        let mut findings = Vec::new();
        findings.extend(self.kept_owner(kept));
        findings.extend(self.kept_grants(kept));
        findings.extend(dormant(true, path, facts, kept.acl, self));
        findings.extend(self.default_acl(kept));
        findings.extend(self.advisory(role, path, mount, kept.own_acl));
        findings.extend(delivery.and_then(|delivery| self.remark(delivery, path, facts)));
        if mount.is_read_only() {
            let why = "the proxy can't make anything here".to_owned();
            let fix = match role {
                Role::SocketFolder => self.tmpfs(path),
                _ => self.volume(path),
            };
            findings.push(refuse(path, Code::Unwritable, mount, why, fix));
        }
        findings
    }

    fn kept_owner(&self, kept: &Kept<'_>) -> Option<Finding> {
        let Kept { role, path, facts, mount, delivery, .. } = *kept;
        if self.is_unmapped(facts) {
            return Some(self.unmapped(path, facts));
        }
        // The kubelet leaves the root of a claim to root, and lets us in by the group.
        let claim = delivery.is_some_and(|delivery| delivery.kind == DeliveryKind::FsGroupClaim);
        if facts.uid == self.identity.uid || (claim && facts.uid == 0) {
            return None;
        }
        let why = format!("a {role} must belong to the service user, who is {}", self.identity.uid);
        let owner = self.owner();
        let fix = match facts.mount_root && mount.is_memory() {
            // Nobody outside can reach it.
            true => self.tmpfs(path),
            false => on_host(facts, format!("chown {owner} {}", Shown(path))),
        };
        Some(refuse(path, Code::ForeignOwner, facts, why, fix))
    }

    /// A place that outlives the container.
    fn volume(&self, path: &Path) -> String {
        format!(
            "mount it writable: --volume NAME:{} without :ro (Docker, Podman); a claim or a generic ephemeral volume \
             with fsGroup {} (Kubernetes)",
            Shown(path),
            self.identity.gid
        )
    }

    /// A writable place of its own. An emptyDir is open to everybody.
    fn tmpfs(&self, path: &Path) -> String {
        format!(
            "--tmpfs {}:uid={1},gid={2},mode=0700 (Docker, Podman); a generic ephemeral volume with fsGroup {2} (Kubernetes)",
            Shown(path),
            self.identity.uid,
            self.identity.gid
        )
    }

    fn kept_grants(&self, kept: &Kept<'_>) -> Option<Finding> {
        let Kept { path, facts, acl, delivery, .. } = *kept;
        let mut wrong = grants(facts, acl);
        wrong.retain(|grant| !self.trusts(*grant) && !by_fs_group(*grant, delivery, facts));
        let fix = on_host(facts, format!("chmod 0700 {}", Shown(path)));
        if let (AclSeen::Unknown(reason), false) = (acl, wrong.is_empty()) {
            let why = format!("{} may come in: only its owner may", listed(&wrong));
            return Some(unknown(path, Code::AclUnknown, format!("{facts}; an ACL? {reason}"), why, fix));
        }
        let (code, seen) = match acl.entries().filter(|_| wrong.iter().any(|grant| grant.is_by_acl())) {
            Some(acl) => (Code::AclGrants, format!("{facts}; ACL {acl}")),
            None => (Code::ModeTooOpen, facts.to_string()),
        };
        let why = format!("{} can come in: only its owner may", listed(&wrong));
        (!wrong.is_empty()).then(|| refuse(path, code, seen, why, fix))
    }

    /// A default ACL outdoes the umask: new keys would be born with its entries.
    fn default_acl(&self, kept: &Kept<'_>) -> Option<Finding> {
        let Kept { path, facts, default_acl, .. } = *kept;
        let fix = format!("setfacl -k {}", Shown(path));
        match default_acl {
            AclSeen::Absent => None,
            AclSeen::Unknown(reason) => {
                let why = "a default ACL outdoes the umask for every new key".to_owned();
                Some(unknown(path, Code::AclUnknown, format!("a default ACL? {reason}"), why, fix))
            }
            AclSeen::Entries(acl) => {
                let mut wrong = grants(facts, default_acl);
                wrong.retain(|grant| !self.trusts(*grant));
                let why = format!("new files are born with it, whatever the umask: {}", listed(&wrong));
                let refused = || refuse(path, Code::AclDefault, format!("default ACL {acl}"), why, fix);
                (!wrong.is_empty()).then(refused)
            }
        }
    }

    /// Something in a state folder that the proxy never made.
    pub(crate) fn foreign_entry(&self, path: &Path, facts: &Facts) -> Finding {
        let seen = format!("{}, {facts}", facts.kind);
        let why = "the proxy keeps folders and regular files only".to_owned();
        refuse(path, Code::NotAFile, seen, why, format!("rm {}", Shown(path)))
    }
}

/// Where `fix` is to be done: what is mounted into a container can be changed from outside only.
fn on_host(facts: &Facts, fix: String) -> String {
    match facts.mount_root {
        true => format!("{fix}  # on the host: of the folder that --volume (Docker, Podman) mounts there"),
        false => fix,
    }
}

/// What the kubelet grants on a claim: all to the fsGroup, and it leaves the root's other bits as the
/// filesystem was made, usually 0755. That shows names; what is in the files is judged by itself.
fn by_fs_group(grant: Grant, delivery: Option<&Delivery>, facts: &Facts) -> bool {
    let claim = delivery.filter(|delivery| delivery.kind == DeliveryKind::FsGroupClaim);
    claim.is_some_and(|claim| match grant.who {
        Grantee::Group(gid) => claim.opened_to(gid),
        Grantee::Everyone => facts.mount_root && !grant.can(WRITE),
        Grantee::User(_) | Grantee::OtherGroup(_) => false,
    })
}

/// More levels than a state folder has.
pub(crate) fn too_deep(path: &Path, deepest: usize) -> Finding {
    let seen = format!("a folder {deepest} levels down");
    let why = "what lies below was not judged".to_owned();
    unknown(path, Code::TooDeep, seen, why, format!("remove {}: the proxy never made it", Shown(path)))
}

/// More entries than a state folder has.
pub(crate) fn too_many(path: &Path, most: usize) -> Finding {
    let seen = format!("more than {most} files and folders");
    let why = "the others were not judged".to_owned();
    let fix = "give the proxy a folder of its own for its state".to_owned();
    unknown(path, Code::TooMany, seen, why, fix)
}

/// Something is mounted inside.
pub(crate) fn mount_inside(path: &Path, mount: &Mount) -> Finding {
    let why = "a state folder is one filesystem, or what is renamed into place is not there after a crash";
    let fix = format!("umount {}, or mount the state folder as a whole", Shown(path));
    refuse(path, Code::MountInside, mount, why.to_owned(), fix)
}
