//! The folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fluxheim::acme::store::{Expect, Folder, Key, Kind, Store, StoreError};
use fluxheim_trust::{Identity, Terms};
use tempfile::TempDir;

use crate::suite::{self, Place, run};

/// A folder below /tmp, which only root can write.
pub(crate) struct Shared(TempDir);

impl Shared {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) fn open(path: &Path) -> Result<Folder, StoreError> {
    Folder::open(path, &Terms::strict(Identity::current()))
}

impl Place for Shared {
    fn replica(&self) -> Arc<dyn Store> {
        Arc::new(open(self.path()).unwrap())
    }
}

#[test]
fn a_folder_does_what_a_place_must() {
    suite::all(&Shared::new());
}

#[test]
fn a_folder_behaves_as_the_model() {
    suite::behaves_as_the_model(&Shared::new(), 40);
}

#[test]
fn files_and_folders_are_closed_to_others() {
    let shared = Shared::new();
    run(async {
        let store = shared.replica();
        store.put(&Key::account("ca"), b"KEY", Expect::Absent, None).await.unwrap();
        let mut seen: Vec<_> = below(shared.path());
        seen.sort();
        assert_eq!(
            seen,
            [
                ".lock 600",
                "accounts 700",
                "accounts/ca 600",
                "certificates 700",
                "challenges 700",
                "locks 700",
                "orders 700",
                "schedules 700",
            ]
        );
    });
}

fn below(root: &Path) -> Vec<String> {
    let (mut seen, mut todo) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
            seen.push(format!("{} {mode:o}", path.strip_prefix(root).unwrap().display()));
            if path.is_dir() {
                todo.push(path);
            }
        }
    }
    seen
}

#[test]
fn what_is_damaged_is_set_aside_and_told_once() {
    for damage in [cut, flip, empty, swap] {
        let shared = Shared::new();
        run(async {
            let (store, key) = (shared.replica(), Key::certificate("a.example"));
            store.put(&Key::certificate("b.example"), b"other", Expect::Absent, None).await.unwrap();
            store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
            let file = shared.path().join("certificates/a.example");
            damage(&file);
            let damaged = fs::read(&file).unwrap();
            let error = store.get(&key).await.unwrap_err();
            let StoreError::Corrupt { kept: Some(kept), .. } = &error else { panic!("{error}") };
            assert_eq!(fs::read(kept).unwrap(), damaged, "nothing of it is lost");
            assert!(store.get(&key).await.unwrap().is_none());
            assert_eq!(store.list(Kind::Certificate).await.unwrap(), [Key::certificate("b.example")]);
            store.put(&key, b"NEW", Expect::Absent, None).await.unwrap();
            // What was set aside is no reason to refuse the folder.
            assert_eq!(shared.replica().get(&key).await.unwrap().unwrap().value.as_bytes(), b"NEW");
        });
    }
}

fn cut(file: &Path) {
    let content = fs::read(file).unwrap();
    fs::write(file, &content[..content.len() - 1]).unwrap();
}

fn flip(file: &Path) {
    let mut content = fs::read(file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(file, content).unwrap();
}

fn empty(file: &Path) {
    fs::write(file, "").unwrap();
}

/// A whole record, of another name.
fn swap(file: &Path) {
    fs::copy(file.with_file_name("b.example"), file).unwrap();
}

#[test]
fn what_a_later_version_wrote_is_left_where_it_is() {
    let shared = Shared::new();
    run(async {
        let (store, key) = (shared.replica(), Key::account("ca"));
        store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        let file = shared.path().join("accounts/ca");
        let later = fs::read_to_string(&file).unwrap().replacen("state 1 ", "state 2 ", 1);
        fs::write(&file, &later).unwrap();
        for _ in 0..2 {
            let error = store.get(&key).await.unwrap_err();
            assert!(matches!(&error, StoreError::Refused(why) if why.contains("later version")), "{error}");
        }
        let refused = store.put(&key, b"NEW", Expect::Anything, None).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), later);
    });
}

#[test]
fn a_file_that_others_can_read_is_refused_and_stays() {
    let shared = Shared::new();
    run(async {
        let (store, key) = (shared.replica(), Key::account("ca"));
        store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        let file = shared.path().join("accounts/ca");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = store.get(&key).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.contains("fix: chmod 0600")), "{error}");
        let refused = open(shared.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap().value.as_bytes(), b"KEY");
    });
}

#[test]
fn a_full_disk_loses_nothing() {
    let shared = Shared::new();
    let disk = Disk::at(shared.path().join("disk"), "size=128k,mode=0700");
    run(async {
        let (store, key) = (open(&disk.0).unwrap(), Key::account("ca"));
        store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        let full = store.put(&key, &vec![0; 250 << 10], Expect::Anything, None).await.unwrap_err();
        assert!(matches!(&full, StoreError::Unavailable(why) if why.contains("make room")), "{full}");
        assert!(full.may_heal());
        assert_eq!(store.get(&key).await.unwrap().unwrap().value.as_bytes(), b"KEY");
        store.put(&key, b"NEW", Expect::Anything, None).await.unwrap();
    });
}

#[test]
fn a_disk_that_becomes_read_only_is_read_on() {
    let shared = Shared::new();
    let disk = Disk::at(shared.path().join("disk"), "size=256k,mode=0700");
    run(async {
        let (store, key) = (open(&disk.0).unwrap(), Key::account("ca"));
        store.put(&key, b"KEY", Expect::Absent, None).await.unwrap();
        disk.remount("ro");
        let refused = store.put(&key, b"NEW", Expect::Anything, None).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Unavailable(why) if why.contains("mount it writable")),
            "{refused}"
        );
        assert_eq!(store.get(&key).await.unwrap().unwrap().value.as_bytes(), b"KEY");
        disk.remount("rw");
        store.put(&key, b"NEW", Expect::Anything, None).await.unwrap();
    });
}

#[test]
fn a_lock_whose_file_was_removed_is_lost() {
    let shared = Shared::new();
    run(async {
        let (store, name) = (shared.replica(), fluxheim::acme::store::Name::of("orders"));
        let lease = store.try_lock(&name, suite::TTL).await.unwrap().unwrap();
        fs::remove_file(shared.path().join("locks/orders")).unwrap();
        let lost = store.put(&Key::order("a"), b"x", Expect::Anything, Some(&lease)).await;
        assert!(matches!(lost, Err(StoreError::LeaseLost(_))), "{lost:?}");
    });
}

/// A small filesystem of its own.
struct Disk(PathBuf);

impl Disk {
    fn at(path: PathBuf, options: &str) -> Self {
        fs::create_dir(&path).unwrap();
        mount(&["-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()]);
        Self(path)
    }

    /// What is mounted, and not only this way to it: descriptors that are open feel it too.
    fn remount(&self, how: &str) {
        mount(&["-o", &format!("remount,{how}"), self.0.to_str().unwrap()]);
    }
}

fn mount(arguments: &[&str]) {
    let output =
        Command::new("mount").args(arguments).output().expect("mount is missing: apt-get install mount");
    assert!(output.status.success(), "mounting needs root: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
