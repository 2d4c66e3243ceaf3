//! Volumes as the kubelet lays them out: a dated folder, one link to it, and a link per file.
//!
//! Owns the layout of its atomic writer (kubernetes/pkg/volume/util/atomic_writer.go), rotation
//! included. Mounting needs root.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A mount that ends with this value.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    /// `mount WHAT... at`
    pub(crate) fn new(what: &[&str], at: PathBuf) -> Self {
        mount(what, &at);
        Self(at)
    }

    /// Nothing can be written through it from now on.
    pub(crate) fn read_only(&self) {
        mount(&["-o", "remount,bind,ro"], &self.0);
    }

    /// Anything can, again.
    #[allow(dead_code, reason = "not every suite that shares this file needs it")]
    pub(crate) fn writable(&self) {
        mount(&["-o", "remount,bind,rw"], &self.0);
    }
}

fn mount(what: &[&str], at: &Path) {
    let output = Command::new("mount").args(what).arg(at).output();
    let output = output.expect("mount is missing: apt-get install mount");
    assert!(output.status.success(), "mounting needs root: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A volume of secrets in memory, as a container has it, and the kubelet's own way into it.
pub(crate) struct SecretVolume {
    folder: PathBuf,
    /// Read-only, and what the container sees.
    pub(crate) mounted: Mounted,
    _memory: Mounted,
    /// `defaultMode`, as the kubelet leaves it.
    mode: u32,
    /// The group of the files: the fsGroup, or root's.
    gid: u32,
    dates: AtomicUsize,
}

impl SecretVolume {
    /// With these files in it, below `folder`.
    pub(crate) fn new(folder: &Path, mode: u32, gid: u32, files: &[(&str, &[u8])]) -> Self {
        for name in ["kubelet", "volume"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        // As the kubelet leaves it: everybody may write, and nobody can.
        let memory = Mounted::new(&["-t", "tmpfs", "-o", "mode=1777", "tmpfs"], folder.join("kubelet"));
        let from = folder.join("kubelet");
        let mounted = Mounted::new(&["--bind", from.to_str().unwrap()], folder.join("volume"));
        let folder = folder.to_owned();
        let volume = Self { folder, mounted, _memory: memory, mode, gid, dates: AtomicUsize::new(0) };
        if !files.is_empty() {
            volume.fill(files);
        }
        volume.mounted.read_only();
        volume
    }

    /// Where the container has it.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join("volume").join(file)
    }

    /// Where the kubelet writes.
    pub(crate) fn kubelet(&self, file: &str) -> PathBuf {
        self.folder.join("kubelet").join(file)
    }

    /// The first content.
    pub(crate) fn fill(&self, files: &[(&str, &[u8])]) {
        self.rotate(files);
        for (file, _) in files {
            symlink(format!("..data/{file}"), self.kubelet(file)).unwrap();
        }
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
