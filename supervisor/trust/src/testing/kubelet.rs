//! Volumes as the kubelet lays them out: a dated folder, one link to it, and a link per file.
//!
//! Owns the layout of its atomic writer, rotation included.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, fchown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Mounted, Scratch};

/// A volume of secrets in memory, as a container has it, and the kubelet's own way into it.
pub(crate) struct SecretVolume<'a> {
    scratch: &'a Scratch,
    /// Read-only, and what the container sees.
    pub mounted: Mounted,
    _memory: Mounted,
    /// `defaultMode`, as the kubelet leaves it.
    mode: u32,
    /// The group of the files: the fsGroup, or root's.
    gid: u32,
    dates: AtomicUsize,
}

impl<'a> SecretVolume<'a> {
    /// With these files in it.
    pub(crate) fn new(scratch: &'a Scratch, mode: u32, gid: u32, files: &[(&str, &[u8])]) -> Self {
        // As the kubelet leaves it: everybody may write, and nobody can.
        let memory = scratch.tmpfs("kubelet", "mode=1777");
        fs::create_dir_all(scratch.path("volume")).unwrap();
        let mounted = scratch.bind("kubelet", "volume");
        let volume = Self { scratch, mounted, _memory: memory, mode, gid, dates: AtomicUsize::new(0) };
        volume.rotate(files);
        for (file, _) in files {
            symlink(format!("..data/{file}"), volume.kubelet(file)).unwrap();
        }
        volume.mounted.read_only();
        volume
    }

    /// Where the container has it.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.scratch.path("volume").join(file)
    }

    /// Where the kubelet writes.
    pub(crate) fn kubelet(&self, file: &str) -> PathBuf {
        self.scratch.path("kubelet").join(file)
    }

    /// Other content for all files at once, and the old ones removed.
    pub(crate) fn rotate(&self, files: &[(&str, &[u8])]) {
        let number = self.dates.fetch_add(1, Ordering::Relaxed);
        let dated = format!("..2026_11_25_08_30_00.{number:09}");
        fs::create_dir(self.kubelet(&dated)).unwrap();
        for (name, content) in files {
            let mut file = File::create(self.kubelet(&dated).join(name)).unwrap();
            file.write_all(content).unwrap();
            fchown(&file, Some(0), Some(self.gid)).unwrap();
            file.set_permissions(fs::Permissions::from_mode(self.mode)).unwrap();
        }
        let old = fs::read_link(self.kubelet("..data")).ok();
        symlink(&dated, self.kubelet("..data_tmp")).unwrap();
        fs::rename(self.kubelet("..data_tmp"), self.kubelet("..data")).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(self.kubelet(old.to_str().unwrap())).unwrap();
        }
    }
}
