//! A PersistentVolumeClaim as the kubelet mounts it: the root of a filesystem, opened to the pod's fsGroup.
//!
//! Owns what its SetVolumeOwnership does (kubernetes/pkg/volume/volume_linux.go).

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::docker::set_mode;

pub(crate) struct Claim {
    folder: PathBuf,
    /// `fsGroupPolicy: None` of its driver: the kubelet leaves it as it is.
    untouched: AtomicBool,
}

impl Claim {
    /// As a driver hands out a new disk with ext4: root's, with the folder that mkfs leaves in it.
    pub(crate) fn new(folder: &Path) -> Self {
        DirBuilder::new().mode(0o755).create(folder).unwrap();
        DirBuilder::new().mode(0o700).create(folder.join("lost+found")).unwrap();
        Self { folder: folder.to_owned(), untouched: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// From now on its driver is one whose volumes have no fsGroup, such as those of NFS.
    pub(crate) fn has_no_group(&self) {
        self.untouched.store(true, Ordering::Relaxed);
    }

    /// What is done before a pod's containers start.
    pub(crate) fn mount(&self, group: u32, policy: &str) {
        match policy {
            _ if self.untouched.load(Ordering::Relaxed) => {}
            "OnRootMismatch" if self.fits(group) => {}
            "OnRootMismatch" | "Always" => open_to(&self.folder, group),
            other => panic!("fsGroupChangePolicy {other}"),
        }
    }

    /// requiresPermissionChange: whether the root already is as it should be.
    fn fits(&self, group: u32) -> bool {
        let root = fs::metadata(&self.folder).unwrap();
        let wanted = 0o2770;
        root.gid() == group && root.mode() & wanted == wanted
    }
}

/// changeFilePermission, for all that there is.
fn open_to(path: &Path, group: u32) {
    let at = fs::symlink_metadata(path).unwrap();
    lchown(path, None, Some(group)).unwrap();
    if at.is_symlink() {
        return;
    }
    set_mode(path, at.mode() & 0o7777 | if at.is_dir() { 0o2770 } else { 0o660 });
    if at.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            open_to(&entry.unwrap().path(), group);
        }
    }
}
