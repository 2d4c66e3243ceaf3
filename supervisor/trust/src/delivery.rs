//! How a file came here, told from what can be seen of it: secrets that a runtime delivers.
//!
//! Owns the recognition, with its evidence; the rules for what is recognised are `rules`'s. Nothing
//! is recognised by its name alone. Follows the layout of the kubelet's atomic writer
//! (kubernetes/pkg/volume/util/atomic_writer.go), fsGroup (volume_linux.go) and Docker's secrets.

use std::path::{Component, Path};
use std::rc::Rc;

use crate::finding::Shown;
use crate::identity::Identity;
use crate::mount::Mount;
use crate::node::Facts;
use crate::object::Role;
use crate::walk::{DATA, Dir, Passed};

/// A way in which runtimes put secrets into containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// A Secret, projected or CSI volume of Kubernetes: one link exchanges all files at once.
    KubernetesVolume,
    /// A single file that is mounted read-only from memory: a Docker secret, or a `subPath`.
    RuntimeSecret,
    /// A writable claim that the kubelet opened to an `fsGroup`.
    FsGroupClaim,
}

impl DeliveryKind {
    /// The stable name in JSON reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::KubernetesVolume => "kubernetes-volume",
            Self::RuntimeSecret => "runtime-secret",
            Self::FsGroupClaim => "fs-group-claim",
        }
    }

    /// In words, as text reports have it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::KubernetesVolume => "a Kubernetes volume (Secret, projected or CSI)",
            Self::RuntimeSecret => "a secret that the runtime mounts as a file",
            Self::FsGroupClaim => "a writable claim with an fsGroup",
        }
    }
}

/// What was recognised, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub kind: DeliveryKind,
    pub evidence: Vec<String>,
    mount: Option<u64>,
    /// The group that an fsGroup opened it to.
    gid: Option<u32>,
    /// How many links of the way belong to it.
    pub links: usize,
}

impl Delivery {
    /// Whether `mount` is the delivered one.
    pub(crate) fn is_on(&self, mount: &Mount) -> bool {
        self.mount.is_some() && self.mount == mount.id
    }

    /// The group that an fsGroup opened it to.
    pub(crate) const fn gid(&self) -> Option<u32> {
        self.gid
    }

    /// Whether the kubelet lets members of that group read and write, and only it would.
    pub(crate) fn opened_to(&self, gid: u32) -> bool {
        self.gid == Some(gid)
    }
}

/// Why what looks like a Kubernetes volume isn't taken for one.
pub(crate) type Lacking = Option<String>;

/// Recognises how the file or folder at the end of a way was delivered.
pub(crate) fn recognise(
    role: Role,
    passed: &[Passed],
    end: &Facts,
    end_mount: &Mount,
    identity: &Identity,
) -> (Option<Delivery>, Lacking) {
    match kubernetes_volume(role, passed, identity) {
        (None, None) => {
            let secret = || runtime_secret(passed, end, end_mount, identity);
            let claim = || fs_group_claim(passed.iter().filter_map(folder_of), end_mount, identity);
            (secret().or_else(claim), None)
        }
        recognised => recognised,
    }
}

/// The same for a folder at the end of a way.
pub(crate) fn recognise_folder(
    role: Role,
    passed: &[Passed],
    end: &Rc<Dir>,
    identity: &Identity,
) -> (Option<Delivery>, Lacking) {
    match kubernetes_volume(role, passed, identity) {
        (None, None) => {
            let crossed = passed.iter().filter_map(folder_of).chain([end]);
            (fs_group_claim(crossed, &end.mount, identity), None)
        }
        recognised => recognised,
    }
}

/// Whether the way led through a link by which a whole volume is exchanged.
pub(crate) fn is_through_data(passed: &[Passed]) -> bool {
    passed.iter().filter_map(link).any(|(path, _)| path.ends_with(DATA))
}

/// Whether a link on the way says that it leads through such a link.
pub(crate) fn leads_to_data(passed: &[Passed]) -> bool {
    passed.iter().filter_map(link).any(|(_, target)| target.starts_with(DATA))
}

/// `tls.key -> ..data/tls.key`, `..data -> ..2026_11_25_08_30_00.123456789`, both in the root of a
/// read-only mount.
fn kubernetes_volume(role: Role, passed: &[Passed], identity: &Identity) -> (Option<Delivery>, Lacking) {
    let links: Vec<_> = passed.iter().filter_map(link).collect();
    let [(entry, to_data), (data, to_dated)] = links[..] else { return (None, None) };
    let (Some(root), Some(name)) = (entry.parent(), entry.file_name()) else { return (None, None) };
    let leads_through = to_data == Path::new(DATA).join(name);
    if !leads_through || data != root.join(DATA) || !is_dated(to_dated) {
        return (None, None);
    }
    let folder = |dir: &&Rc<Dir>| dir.path == root;
    let Some(volume) = passed.iter().filter_map(folder_of).find(folder) else { return (None, None) };
    let lacking = if !volume.facts.mount_root {
        "but nothing is mounted right there"
    } else if !volume.mount.is_read_only() {
        "but its mount is not read-only"
    } else if role.is_secret() && !volume.mount.is_memory() {
        // Secrets never touch a disk there; a folder of the host's may be anybody's to write.
        "but it is not in memory (tmpfs)"
    } else if !identity.trusts_owner(volume.facts.uid) {
        "but its folder belongs to somebody else"
    } else {
        let delivery = Delivery {
            kind: DeliveryKind::KubernetesVolume,
            evidence: vec![
                format!(
                    "{} -> {} and {DATA} -> {}, both inside the volume",
                    Shown(Path::new(name)),
                    Shown(to_data),
                    Shown(to_dated)
                ),
                format!("mounted read-only: {}", volume.mount),
                format!("its folder belongs to user {}", volume.facts.uid),
            ],
            mount: volume.mount.id,
            gid: None,
            links: 2,
        };
        return (Some(delivery), None);
    };
    (None, Some(format!("the links are those of a Kubernetes volume, {lacking}")))
}

/// One component, hidden twice: `..2026_11_25_08_30_00.123456789`.
fn is_dated(target: &Path) -> bool {
    let mut components = target.components();
    let first = components.next();
    let (Some(Component::Normal(name)), None) = (first, components.next()) else { return false };
    name.as_encoded_bytes().starts_with(b"..")
}

fn runtime_secret(passed: &[Passed], end: &Facts, mount: &Mount, identity: &Identity) -> Option<Delivery> {
    let without_links = passed.iter().all(|passed| link(passed).is_none());
    let delivered = end.mount_root && mount.is_memory() && mount.is_read_only();
    (without_links && delivered && identity.trusts_owner(end.uid)).then(|| Delivery {
        kind: DeliveryKind::RuntimeSecret,
        evidence: vec![
            format!("the file itself is a mount, read-only and in memory: {mount}"),
            format!("it belongs to user {}", end.uid),
        ],
        mount: mount.id,
        gid: None,
        links: 0,
    })
}

/// The kubelet gives a claim's root to the fsGroup, sets its setgid bit and lets the group write.
fn fs_group_claim<'a>(
    mut crossed: impl Iterator<Item = &'a Rc<Dir>>,
    end: &Mount,
    identity: &Identity,
) -> Option<Delivery> {
    let opened = |dir: &&Rc<Dir>| {
        let Facts { mode, gid, mount_root, .. } = dir.facts;
        let by_group = mode & 0o2070 == 0o2070 && identity.is_in(gid) && gid != 0;
        mount_root && by_group && mode & 0o002 == 0 && dir.mount.id == end.id
    };
    let root = crossed.find(opened)?;
    let Facts { gid, .. } = root.facts;
    Some(Delivery {
        kind: DeliveryKind::FsGroupClaim,
        evidence: vec![
            format!("the root of a mount of its own: {}", root.mount),
            format!("{}, with the setgid bit and a group that this user is in", root.facts),
        ],
        mount: root.mount.id,
        gid: Some(gid),
        links: 0,
    })
}

fn link(passed: &Passed) -> Option<(&Path, &Path)> {
    match passed {
        Passed::Link { path, target } => Some((path, target)),
        Passed::Folder { .. } => None,
    }
}

fn folder_of(passed: &Passed) -> Option<&Rc<Dir>> {
    match passed {
        Passed::Folder { dir, .. } => Some(dir),
        Passed::Link { .. } => None,
    }
}
