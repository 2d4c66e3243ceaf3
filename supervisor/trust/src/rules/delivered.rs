//! The rules for secrets that a runtime delivers, and the lines that mend them there.
//!
//! Owns what is forgiven to a delivered file, and the YAML and options to say; opens nothing.
//! Follows the kubelet's defaultMode and fsGroup, and Docker's and Podman's `--secret`.

use std::path::Path;

use super::grants::{Grant, Grantee, READ, WRITE};
use super::warn;
use crate::delivery::{Delivery, DeliveryKind};
use crate::finding::{Code, Finding};
use crate::node::Facts;
use crate::terms::Judge;

impl Judge<'_> {
    /// Whether a secret that was delivered may belong to `uid`.
    pub(super) fn may_deliver(&self, delivery: Option<&Delivery>, uid: u32) -> bool {
        delivery.is_some() && self.identity.trusts_owner(uid)
    }

    /// Whether the way of delivery is the reason for the grant, and nobody gains by it whom the
    /// operator did not choose.
    pub(super) fn forgives(&self, delivery: &Delivery, path: &Path, facts: &Facts, grant: Grant) -> bool {
        match (delivery.kind, grant.who) {
            // defaultMode 0400 becomes 0440 for the fsGroup, through which alone we can read it.
            (DeliveryKind::KubernetesVolume | DeliveryKind::RuntimeSecret, Grantee::Group(gid))
                if grant.bits == READ && self.identity.is_in(gid) =>
            {
                true
            }
            (DeliveryKind::RuntimeSecret, Grantee::Group(_) | Grantee::Everyone) => {
                grant.bits == READ && is_runtimes_own(path)
            }
            (DeliveryKind::FsGroupClaim, Grantee::Group(gid)) => {
                let ours = facts.uid == self.identity.uid;
                ours && grant.bits & !(READ | WRITE) == 0 && delivery.opened_to(gid)
            }
            _ => false,
        }
    }

    /// What is said of what was forgiven.
    pub(super) fn remark(&self, delivery: &Delivery, path: &Path, facts: &Facts) -> Option<Finding> {
        match delivery.kind {
            DeliveryKind::FsGroupClaim if facts.mode & 0o060 != 0 && delivery.opened_to(facts.gid) => {
                Some(self.opened_claim(delivery, path, facts))
            }
            DeliveryKind::RuntimeSecret if facts.mode & 0o004 != 0 && is_runtimes_own(path) => {
                let why = "every user of this container can read it (the runtime's default)".to_owned();
                Some(warn(path, Code::RuntimeSecretOpen, facts, why, self.secret_options()))
            }
            _ => None,
        }
    }

    /// What the kubelet's fsGroup comes to.
    pub(super) fn opened_claim(&self, claim: &Delivery, path: &Path, facts: &Facts) -> Finding {
        let gid = claim.gid().map_or_else(String::new, |gid| format!(" {gid}"));
        let why = format!("whoever is in group{gid} can read and replace what is in this claim");
        let fix =
            "an fsGroup that no other pod on this claim has, with securityContext: { fsGroupChangePolicy: \
                   OnRootMismatch }; then --repair once takes the group's rights from our files"
                .to_owned();
        warn(path, Code::FsGroup, facts, why, fix)
    }

    /// How to make a delivered secret no more than readable for us.
    pub(super) fn tighten(&self, delivery: Option<&Delivery>, path: &Path, plain: String) -> String {
        match delivery.map(|delivery| delivery.kind) {
            Some(DeliveryKind::KubernetesVolume) => self.default_mode(),
            Some(DeliveryKind::RuntimeSecret) if is_runtimes_own(path) => self.secret_options(),
            Some(DeliveryKind::RuntimeSecret) => {
                format!("{} (Kubernetes), or {} (Docker, Podman)", self.default_mode(), self.secret_options())
            }
            Some(DeliveryKind::FsGroupClaim) | None => plain,
        }
    }

    fn default_mode(&self) -> String {
        format!(
            "in the pod's volume: secret: {{ defaultMode: 0400 }} (projected volumes likewise; CSI: mode or \
             filePermission \"0440\" in its own class), with securityContext: {{ fsGroup: {} }}, to which the \
             kubelet adds the group's right to read",
            self.identity.gid
        )
    }

    pub(super) fn let_in_by_fs_group(&self) -> String {
        format!(
            "in the pod: securityContext: {{ fsGroup: {} }}, so that the kubelet lets the service user's group \
             read it",
            self.identity.gid
        )
    }

    pub(super) fn secret_options(&self) -> String {
        let (uid, gid) = (self.identity.uid, self.identity.gid);
        format!(
            "Docker: --secret source=NAME,target=NAME,uid={uid},gid={gid},mode=0400; Podman: --secret \
             NAME,uid={uid},gid={gid},mode=0400; Compose: uid: \"{uid}\", gid: \"{gid}\", mode: 0400"
        )
    }
}

/// Where runtimes put secrets by default, and nobody else puts anything.
fn is_runtimes_own(path: &Path) -> bool {
    RUNTIME_FOLDERS.iter().any(|folder| path.parent() == Some(Path::new(folder)))
}

/// /var/run is a link to /run wherever it is not the very folder.
const RUNTIME_FOLDERS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];
