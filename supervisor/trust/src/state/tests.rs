//! Kept files: what a change leaves behind, what is refused, who holds a lock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};

use super::{StateError, StateFolder};
use crate::Terms;
use crate::testing::{STRANGER, Scratch, root, task};

fn terms() -> Terms {
    Terms::strict(root())
}

fn state() -> (Scratch, StateFolder) {
    let scratch = Scratch::new();
    scratch.folder("state", 0, 0o700);
    let folder = StateFolder::open("acme.storage", &scratch.path("state"), &terms()).unwrap();
    (scratch, folder)
}

fn text(folder: &StateFolder, name: &str) -> Option<String> {
    let secret = folder.read(name, 1 << 20, true).unwrap()?;
    Some(String::from_utf8(secret.as_bytes().to_vec()).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn keeps_replaces_lists_and_removes() {
    let (scratch, folder) = state();
    let below = folder.below("certificates").unwrap();
    assert_eq!(mode(&scratch.path("state/certificates")), 0o700);
    assert_eq!(text(&below, "a"), None);
    below.replace("a", &[b"KEY", b" and chain"]).unwrap();
    below.replace("b", &[b"other"]).unwrap();
    assert_eq!(text(&below, "a").as_deref(), Some("KEY and chain"));
    assert_eq!(mode(&scratch.path("state/certificates/a")), 0o600);
    below.replace("a", &[b"new"]).unwrap();
    assert_eq!(text(&below, "a").as_deref(), Some("new"));
    assert_eq!(below.names(10).unwrap(), ["a", "b"]);
    assert!(matches!(below.names(1), Err(StateError::TooMany { most: 1, .. })));
    assert!(below.remove("a").unwrap());
    assert!(!below.remove("a").unwrap());
    assert_eq!(folder.below("certificates").unwrap().names(10).unwrap(), ["b"]);
    let aside = below.set_aside("b").unwrap();
    assert_eq!(fs::read(&aside).unwrap(), b"other");
    assert!(below.names(10).unwrap().is_empty());
}

#[test]
fn a_file_is_closed_to_others_before_its_first_byte_under_any_umask() {
    let (scratch, folder) = state();
    for mask in [0, 0o022, 0o077, 0o777] {
        // Of this thread's process; the tests of this crate run one to a process.
        let before = umask(Mode::from_bits_truncate(mask));
        let fresh = folder.fresh(&scratch.path("state/a"));
        umask(before);
        match (mask, fresh) {
            (0o777, Err(error)) => assert_eq!(error.errno(), Some(Errno::EACCES), "{error}"),
            (_, Ok((name, file))) => {
                assert_eq!(mode(&scratch.path("state").join(&name)), 0o600, "{mask:o}");
                assert_eq!(file.metadata().unwrap().len(), 0);
            }
            (mask, fresh) => panic!("{mask:o}: {fresh:?}"),
        }
    }
    assert_eq!(folder.sweep().unwrap(), 3, "what was refused is gone at once");
    assert_eq!(folder.sweep().unwrap(), 0);
}

#[test]
fn leads_nowhere_outside_and_reads_nothing_that_others_could_have_put_there() {
    let (scratch, folder) = state();
    scratch.file("outside", b"OUTSIDE", 0, 0o600);
    for name in ["../outside", "", ".", "..", "a/b", "a\0b", "/etc/passwd"] {
        let results = [
            folder.read(name, 10, false).map(drop),
            folder.replace(name, &[b"x"]),
            folder.remove(name).map(drop),
            folder.set_aside(name).map(drop),
            folder.below(name).map(drop),
            folder.try_lock(name).map(drop),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().errno(), Some(Errno::EINVAL), "{name}");
        }
    }
    scratch.link("state/link", "../outside");
    assert_eq!(folder.read("link", 10, false).unwrap_err().errno(), Some(Errno::ELOOP));
    assert_eq!(folder.try_lock("link").unwrap_err().errno(), Some(Errno::ELOOP));
    assert_eq!(folder.below("link").unwrap_err().errno(), Some(Errno::ENOTDIR));
    folder.replace("link", &[b"x"]).unwrap();
    assert_eq!(fs::read(scratch.path("outside")).unwrap(), b"OUTSIDE");
    for (name, owner, mode) in [("open", 0, 0o640), ("theirs", STRANGER, 0o600)] {
        scratch.file(&format!("state/{name}"), b"x", owner, mode);
        let refused = folder.read(name, 10, false).unwrap_err();
        assert!(matches!(&refused, StateError::Refused(_)), "{refused}");
        assert!(refused.to_string().contains("fix: ch"), "{refused}");
    }
    fs::hard_link(scratch.path("outside"), scratch.path("state/second")).unwrap();
    assert!(folder.read("second", 10, false).unwrap_err().to_string().contains("hard-linked"));
    fs::create_dir(scratch.path("state/inner")).unwrap();
    scratch.mode("state/inner", 0o755);
    assert!(matches!(folder.below("inner"), Err(StateError::Refused(_))));
    let large = folder.read("link", 0, false).unwrap_err();
    assert!(matches!(large, StateError::TooLarge { len: 1, most: 0, .. }), "{large}");
}

#[test]
fn a_mount_in_the_way_is_not_entered() {
    let (scratch, folder) = state();
    fs::create_dir(scratch.path("state/sub")).unwrap();
    scratch.mode("state/sub", 0o700);
    let _mounted = scratch.tmpfs("state/sub", "size=64k,mode=0700");
    assert_eq!(folder.below("sub").unwrap_err().errno(), Some(Errno::EXDEV));
}

#[test]
fn a_folder_that_others_can_enter_is_not_opened() {
    let scratch = Scratch::new();
    scratch.folder("state", 0, 0o750);
    let refused = StateFolder::open("acme.storage", &scratch.path("state"), &terms()).unwrap_err();
    assert!(refused.to_string().contains("mode-too-open"), "{refused}");
    let missing = StateFolder::open("acme.storage", &scratch.path("none"), &terms()).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
    scratch.file("file", b"x", 0, 0o600);
    let file = StateFolder::open("acme.storage", &scratch.path("file"), &terms()).unwrap_err();
    assert!(file.to_string().contains("not-a-directory"), "{file}");
}

#[test]
fn a_full_disk_loses_nothing_and_says_what_to_do() {
    let scratch = Scratch::new();
    let _mounted = scratch.tmpfs("state", "size=64k,mode=0700");
    let folder = StateFolder::open("acme.storage", &scratch.path("state"), &terms()).unwrap();
    folder.replace("a", &[b"old"]).unwrap();
    let full = folder.replace("a", &[&vec![b'x'; 1 << 20]]).unwrap_err();
    assert_eq!(full.errno(), Some(Errno::ENOSPC), "{full}");
    assert!(full.to_string().contains("make room"), "{full}");
    assert_eq!(text(&folder, "a").as_deref(), Some("old"));
    assert_eq!(folder.sweep().unwrap(), 0, "nothing half written is left to fill the disk");
    folder.replace("a", &[b"new"]).unwrap();
}

#[test]
fn a_disk_that_became_read_only_can_still_be_read() {
    let scratch = Scratch::new();
    let mounted = scratch.tmpfs("state", "size=64k,mode=0700");
    let folder = StateFolder::open("acme.storage", &scratch.path("state"), &terms()).unwrap();
    folder.below("sub").unwrap().replace("a", &[b"old"]).unwrap();
    mounted.read_only();
    let below = folder.below("sub").unwrap();
    let refused = below.replace("a", &[b"new"]).unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::EROFS), "{refused}");
    assert!(refused.to_string().contains("mount it writable"), "{refused}");
    assert_eq!(text(&below, "a").as_deref(), Some("old"));
    assert_eq!(folder.below("other").unwrap_err().errno(), Some(Errno::EROFS));
}

#[test]
fn a_lock_excludes_others_and_ends_with_its_holder() {
    let (scratch, folder) = state();
    let lock = folder.try_lock("lock").unwrap().unwrap();
    assert!(folder.is_held(&lock).unwrap());
    let second = StateFolder::open("acme.storage", &scratch.path("state"), &terms()).unwrap();
    assert!(second.try_lock("lock").unwrap().is_none());
    let late = second.lock("lock", Duration::from_millis(30)).unwrap_err();
    assert!(matches!(late, StateError::Locked { .. }), "{late}");
    drop(lock);
    assert!(second.try_lock("lock").unwrap().is_some());
}

#[test]
fn a_lock_whose_file_was_removed_is_held_no_more() {
    let (scratch, folder) = state();
    let lock = folder.try_lock("lock").unwrap().unwrap();
    fs::remove_file(scratch.path("state/lock")).unwrap();
    assert!(!folder.is_held(&lock).unwrap());
    let other = folder.try_lock("lock").unwrap().unwrap();
    assert!(folder.is_held(&other).unwrap() && !folder.is_held(&lock).unwrap());
}

#[test]
fn stamps_tell_when_something_changed() {
    let (_scratch, folder) = state();
    folder.replace("a", &[b"1"]).unwrap();
    let (of_folder, of_file) = (folder.stamp().unwrap(), folder.stamp_of("a").unwrap());
    assert_eq!((folder.stamp().unwrap(), folder.stamp_of("a").unwrap()), (of_folder, of_file));
    std::thread::sleep(Duration::from_millis(20));
    folder.replace("a", &[b"2"]).unwrap();
    assert_ne!(folder.stamp().unwrap(), of_folder);
    assert_ne!(folder.stamp_of("a").unwrap(), of_file);
    assert_eq!(folder.stamp_of("b").unwrap(), None);
}

/// Writes for ever: what one reads is one value from end to end, or the process is at fault.
#[test]
fn killed_at_any_instant_leaves_the_old_or_the_new() {
    if let Some(path) = task() {
        return write_for_ever(&path);
    }
    let scratch = Scratch::new();
    scratch.folder("state", crate::testing::US, 0o700);
    let us = Terms::strict(crate::testing::us());
    let (mut leftovers, mut kept) = (0, 0);
    for round in 0..KILLS {
        let mut child = scratch.command(
            &[],
            "state::tests::killed_at_any_instant_leaves_the_old_or_the_new",
            &scratch.path("state"),
        );
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_first(&scratch.path("state/a"), &mut child);
        std::thread::sleep(Duration::from_micros(500 * (round % 23)));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it ended by itself");
        // The check of a start, then the start's own sweep.
        let folder = StateFolder::open("acme.storage", &scratch.path("state"), &us).unwrap();
        let _lock = folder.try_lock("lock").unwrap().expect("the kernel freed it");
        leftovers += folder.sweep().unwrap();
        let seen = text(&folder, "a").unwrap();
        assert!(seen.len() == LONG && seen.bytes().all(|byte| byte == seen.as_bytes()[0]), "torn");
        assert_eq!(folder.names(10).unwrap(), ["a", "lock"]);
        kept += 1;
    }
    assert_eq!(kept, KILLS);
    assert!(leftovers > 0, "no kill hit a write: this test proves nothing");
}

fn write_for_ever(path: &Path) {
    let folder = StateFolder::open("acme.storage", path, &Terms::strict(crate::testing::us())).unwrap();
    let _lock = folder.lock("lock", Duration::from_secs(10)).unwrap();
    for byte in (b'a'..=b'z').cycle() {
        folder.replace("a", &[&[byte; LONG / 2], &[byte; LONG / 2]]).unwrap();
    }
}

fn wait_for_first(path: &Path, child: &mut std::process::Child) {
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the writer ended");
        assert!(std::time::Instant::now() < end, "the writer writes nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Larger than a page: a write that is cut is seen.
const LONG: usize = 64 << 10;
const KILLS: u64 = 40;
