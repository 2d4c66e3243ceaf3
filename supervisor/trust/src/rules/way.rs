//! The rules for the way to a file: every folder that is crossed, every link.
//!
//! Owns who may stand between `/` and a file; opens nothing. Follows path_resolution(7), and
//! inode(7) for the sticky bit.

use std::path::Path;

use super::grants::{Grant, Grantee, WRITE, grants, listed};
use super::{STICKY, refuse, unknown};
use crate::delivery::{Delivery, DeliveryKind, Lacking};
use crate::finding::{Code, Finding, Shown};
use crate::node::{AclSeen, Kind};
use crate::object::Role;
use crate::terms::Judge;
use crate::walk::{Dir, Passed};

/// What is taken in a folder.
#[derive(Debug, Clone, Copy)]
pub(super) enum Child {
    /// An entry of this owner.
    Owned(u32),
    /// Whatever is there when it is listed: nothing yet that a sticky bit could protect.
    Any,
}

impl Judge<'_> {
    /// Judges the way: every folder with the entry taken in it, every link.
    pub(crate) fn passed(
        &self,
        role: Role,
        passed: &[Passed],
        delivery: Option<&Delivery>,
        lacking: &Lacking,
    ) -> Vec<Finding> {
        let delivered_links = delivery.map_or(0, |delivery| delivery.links);
        let mut links = 0;
        passed
            .iter()
            .flat_map(|passed| match passed {
                Passed::Folder { dir, child_uid } => {
                    self.crossed(role, dir, Child::Owned(*child_uid), delivery)
                }
                Passed::Link { path, target } => {
                    links += 1;
                    let refused = links > delivered_links;
                    refused.then(|| link(role, path, target, lacking)).flatten().into_iter().collect()
                }
            })
            .collect()
    }

    pub(super) fn crossed(
        &self,
        role: Role,
        dir: &Dir,
        child: Child,
        delivery: Option<&Delivery>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.may_enter(dir) {
            findings.push(self.closed(dir));
        }
        // What is published needs no protection from readers, and its writers are the operator's choice.
        if role != Role::StaticRoot {
            findings.extend(self.parent_owner(dir));
            findings.extend(self.parent_writers(role, dir, child, delivery));
        }
        findings
    }

    /// By mode and ACL, for when this process may do more than the service user.
    pub(super) fn may_enter(&self, dir: &Dir) -> bool {
        self.is_self || self.identity.uid == 0 || self.identity.may_cross(&dir.facts, dir.acl())
    }

    pub(super) fn parent_owner(&self, dir: &Dir) -> Option<Finding> {
        let facts = &dir.facts;
        if self.is_unmapped(facts) {
            return Some(self.unmapped(&dir.path, facts));
        }
        if self.identity.trusts_owner(facts.uid) {
            return None;
        }
        let give = self.give(&dir.path, facts, &dir.mount);
        let fix = match facts.mount_root {
            true => give,
            false => {
                format!(
                    "keep the file in a folder of root's; or, if this one is there for nothing else: {give}"
                )
            }
        };
        let why = format!("user {} owns a folder on the way and can put another file in place", facts.uid);
        Some(refuse(&dir.path, Code::ParentForeignOwner, facts, why, fix))
    }

    fn parent_writers(
        &self,
        role: Role,
        dir: &Dir,
        child: Child,
        delivery: Option<&Delivery>,
    ) -> Option<Finding> {
        let Dir { facts, mount, .. } = dir;
        // Mode bits bound what an ACL can grant.
        if facts.mode & 0o022 == 0 {
            return None;
        }
        let trusted_child = matches!(child, Child::Owned(uid) if self.identity.trusts_owner(uid));
        // In a sticky folder only an entry's owner, the folder's owner and root can replace it.
        if facts.mode & STICKY != 0 && trusted_child {
            return None;
        }
        // The kubelet leaves 0777 behind, on a mount through which nobody can write here. Somebody may
        // elsewhere: so what is taken must be root's or ours, links included.
        let volume = delivery.filter(|delivery| delivery.is_on(mount));
        let kubelets = volume.is_some_and(|delivery| delivery.kind == DeliveryKind::KubernetesVolume);
        let waived = mount.is_read_only() && (role == Role::Config || kubelets);
        if waived && (trusted_child || matches!(child, Child::Any)) {
            return None;
        }
        let acl = if facts.mode & 0o020 != 0 { dir.acl() } else { &AclSeen::Absent };
        let writers = self.writers(dir, acl);
        let (by_kubelet, others): (Vec<_>, Vec<_>) =
            writers.into_iter().partition(|grant| opened_by_kubelet(*grant, volume));
        match (others.is_empty(), volume) {
            (false, _) => Some(writable_parent(dir, acl, &others)),
            (true, Some(claim)) if !by_kubelet.is_empty() => Some(self.opened_claim(claim, &dir.path, facts)),
            (true, _) => None,
        }
    }

    /// Who beside root and the service user can write to the folder, its owner apart.
    fn writers(&self, dir: &Dir, acl: &AclSeen) -> Vec<Grant> {
        let mut writers = grants(&dir.facts, acl);
        writers.retain(|grant| grant.can(WRITE) && !self.trusts(*grant));
        writers
    }

    /// Whether a grant is to root or to the service user.
    pub(super) fn trusts(&self, grant: Grant) -> bool {
        matches!(grant.who, Grantee::User(id) if self.identity.trusts_owner(id))
    }

    /// Judges a folder of configuration files as what it is to each of them: the last parent.
    pub(crate) fn config_folder(&self, dir: &Dir) -> Vec<Finding> {
        self.crossed(Role::Config, dir, Child::Any, None)
    }
}

fn opened_by_kubelet(grant: Grant, volume: Option<&Delivery>) -> bool {
    let claim = volume.filter(|delivery| delivery.kind == DeliveryKind::FsGroupClaim);
    matches!(grant.who, Grantee::Group(gid) if claim.is_some_and(|claim| claim.opened_to(gid)))
}

fn writable_parent(dir: &Dir, acl: &AclSeen, writers: &[Grant]) -> Finding {
    let Dir { facts, path, .. } = dir;
    let who = listed(writers);
    let why = format!("{who} can write to a folder on the way and put another file in place");
    if let AclSeen::Unknown(reason) = acl {
        let seen = format!("{facts}; its ACL: {reason}");
        return unknown(path, Code::ParentWritable, seen, why, format!("chmod go-w {}", Shown(path)));
    }
    if writers.iter().any(|grant| grant.is_by_acl()) {
        let entries = acl.entries().map(|acl| format!("; ACL {acl}")).unwrap_or_default();
        let fix = format!("setfacl -b {0} && chmod go-w {0}", Shown(path));
        return refuse(path, Code::ParentWritable, format!("{facts}{entries}"), why, fix);
    }
    let fix = match facts.mode & STICKY {
        0 => format!("chmod go-w {}", Shown(path)),
        // Everybody's for a reason, as /tmp is.
        _ => "keep the file in a folder that only root or the service user can write".to_owned(),
    };
    refuse(path, Code::ParentWritable, facts, why, fix)
}

fn link(role: Role, path: &Path, target: &Path, lacking: &Lacking) -> Option<Finding> {
    // Configurations come as links in Kubernetes, and what is crossed is judged all the same.
    if matches!(role, Role::Config | Role::StaticRoot) {
        return None;
    }
    let (lacking, hint) = match lacking {
        Some(lacking) => (
            format!(" ({lacking})"),
            "mount the volume itself, read-only, at the folder of the file (volumeMounts without subPath, \
             readOnly: true); or ",
        ),
        None => (String::new(), ""),
    };
    let seen = format!("{} to {}{lacking}", Kind::Link, Shown(target));
    let why = format!("a {role} is taken from where the configuration says, not from where a link leads");
    // What certbot and its like keep: the next renewal makes another number of it.
    let numbered = target.components().any(|part| part.as_os_str() == "archive");
    let fix = match numbered {
        true => format!(
            "have each renewal copied: certbot --deploy-hook 'install -o 65532 -g 65532 -m 0600 \
             $RENEWED_LINEAGE/privkey.pem KEY; install -m 0644 $RENEWED_LINEAGE/fullchain.pem CERT', then a reload; \
             {} leads to one issue of it",
            Shown(path)
        ),
        false => format!("{hint}name the path it leads to in the configuration"),
    };
    Some(refuse(path, Code::Symlink, seen, why, fix))
}
