//! What is judged on the way to a file.

use std::path::{Path, PathBuf};

use crate::Role::{Certificate, PrivateKey};
use crate::testing::{STRANGER, Scratch, US, codes, findings, findings_for, root, task};

const NONE: [&str; 0] = [];

#[test]
fn refuses_symlink_as_file_and_shows_where_it_leads() {
    let scratch = Scratch::new();
    scratch.key("a.key");
    let found = findings(PrivateKey, scratch.link("link.key", "a.key"));
    assert_eq!(codes(&found), ["symlink"]);
    assert_eq!(found[0].seen, "a symbolic link to a.key");
}

#[test]
fn refuses_symlink_in_parent() {
    let scratch = Scratch::new();
    scratch.folder("real", US, 0o700);
    scratch.key("real/a.key");
    scratch.link("relative", "real");
    scratch.link("absolute", scratch.path("real"));
    scratch.link("upward", "real/../real/../real");
    for name in ["relative", "absolute", "upward"] {
        for role in [PrivateKey, Certificate] {
            let found = findings(role, scratch.path(name).join("a.key"));
            assert_eq!(codes(&found), ["symlink"], "{name}");
            assert_eq!(found[0].path, scratch.path(name));
        }
    }
}

#[test]
fn judges_what_lies_behind_a_link_too() {
    let scratch = Scratch::new();
    scratch.folder("open", STRANGER, 0o777);
    scratch.file("open/a.key", b"KEY", US, 0o644);
    let found = findings(PrivateKey, scratch.link("a.key", "open/a.key"));
    assert_eq!(codes(&found), ["symlink", "parent-foreign-owner", "parent-writable", "mode-too-open"]);
}

#[test]
fn refuses_links_of_procfs() {
    let scratch = Scratch::new();
    let path = scratch.key("a.key");
    let file = std::fs::OpenOptions::new().read(true).open(path).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    let found = findings_for(&root(), PrivateKey, format!("/proc/self/fd/{number}"));
    assert!(codes(&found).contains(&"symlink"), "{found:?}");
}

#[test]
fn ends_at_a_link_loop() {
    let scratch = Scratch::new();
    scratch.link("a", "b");
    scratch.link("b", "a");
    assert_eq!(codes(&findings(PrivateKey, scratch.path("a"))), ["symlink", "symlink", "link-loop"]);
}

#[test]
fn goes_up_where_the_folder_really_is() {
    let scratch = Scratch::new();
    scratch.folder("conf", 0, 0o755);
    scratch.key("a.key");
    assert_eq!(codes(&findings(PrivateKey, scratch.path("conf/.././conf/../a.key"))), NONE);
    let up: PathBuf = std::iter::repeat_n("..", 100).collect();
    let beyond = scratch.path(up).join(scratch.path("a.key").strip_prefix("/").unwrap());
    assert_eq!(codes(&findings(PrivateKey, beyond)), NONE);
}

#[test]
fn starts_relative_paths_at_the_working_directory() {
    let found = findings(PrivateKey, "no-such-folder/a.key");
    assert!(codes(&found).contains(&"missing"), "{found:?}");
    let path = std::env::current_dir().unwrap().join("no-such-folder");
    assert_eq!(found.last().unwrap().path, path);
}

#[test]
fn refuses_writable_or_foreign_parents() {
    let scratch = Scratch::new();
    scratch.folder("parent", US, 0o700);
    let path = scratch.key("parent/a.key");
    for (uid, mode, expected) in [
        (US, 0o700, &NONE[..]),
        (0, 0o755, &[]),
        (0, 0o775, &["parent-writable"]),
        (US, 0o757, &["parent-writable"]),
        (STRANGER, 0o755, &["parent-foreign-owner"]),
        (0, 0o700, &["unreadable"]),
    ] {
        scratch.own("parent", uid);
        scratch.mode("parent", mode);
        for role in [PrivateKey, Certificate] {
            let found = findings(role, &path);
            assert_eq!(codes(&found), expected, "{uid} {mode:o}");
            assert!(found.iter().all(|finding| finding.path == scratch.path("parent")));
        }
    }
}

#[test]
fn accepts_sticky_parent_only_for_an_entry_that_it_protects() {
    let scratch = Scratch::new();
    scratch.folder("sticky", 0, 0o1777);
    assert_eq!(codes(&findings(PrivateKey, scratch.key("sticky/a.key"))), NONE);
    scratch.folder("sticky/ours", US, 0o700);
    assert_eq!(codes(&findings(PrivateKey, scratch.key("sticky/ours/a.key"))), NONE);
    scratch.folder("sticky/theirs", STRANGER, 0o755);
    assert_eq!(
        codes(&findings(PrivateKey, scratch.key("sticky/theirs/a.key"))),
        ["parent-writable", "parent-foreign-owner"]
    );
    // The folder's own owner may remove any entry, sticky or not.
    scratch.own("sticky", STRANGER);
    assert_eq!(codes(&findings(PrivateKey, scratch.path("sticky/a.key"))), ["parent-foreign-owner"]);
}

#[test]
fn names_the_first_missing_component_and_a_file_in_the_way() {
    let scratch = Scratch::new();
    let found = findings(PrivateKey, scratch.path("none/deeper/a.key"));
    assert_eq!(codes(&found), ["missing"]);
    assert_eq!(found[0].path, scratch.path("none"));
    let file = scratch.key("file");
    let found = findings(PrivateKey, file.join("a.key"));
    assert_eq!(codes(&found), ["not-a-directory"]);
    assert_eq!(found[0].path, file);
}

#[test]
fn reports_impossible_names() {
    for name in ["a\0b".to_owned(), "x".repeat(300)] {
        let found = findings(PrivateKey, Path::new("/").join(name));
        assert_eq!(codes(&found), ["os-error"]);
    }
    assert!(!findings(PrivateKey, "").is_empty());
}

#[test]
fn says_what_the_service_user_itself_may_not_open() {
    if let Some(path) = task() {
        let found = findings(PrivateKey, &path);
        let folder = findings(PrivateKey, path.with_file_name("closed").join("a.key"));
        assert_eq!(codes(&found), ["foreign-owner", "unreadable"]);
        assert_eq!(codes(&folder), ["unreadable"]);
        assert_eq!(folder[0].path, path.with_file_name("closed"));
        assert_eq!(codes(&findings(crate::Role::StaticRoot, path.with_file_name("closed"))), ["unreadable"]);
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.file("a.key", b"KEY", 0, 0o600);
    scratch.folder("closed", 0, 0o700);
    scratch.key("closed/a.key");
    let output =
        scratch.as_us("inspect::tests::parents::says_what_the_service_user_itself_may_not_open", &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
