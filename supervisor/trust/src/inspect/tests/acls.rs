//! POSIX ACLs beside the mode, as setfacl(1) makes them.

use crate::Role::{Certificate, Config, PrivateKey, StateFolder};
use crate::Severity;
use crate::testing::{STRANGER, Scratch, US, codes, findings, report_for, us};

const NONE: [&str; 0] = [];

#[test]
fn refuses_a_key_that_an_entry_opens_and_shows_what_it_grants() {
    let scratch = Scratch::new();
    let path = scratch.key("a.key");
    scratch.setfacl("u:1234:rw", "a.key");
    let found = findings(PrivateKey, &path);
    // The group bits of the mode are the mask now: they say nothing of the group itself.
    assert_eq!(codes(&found), ["acl-grants"]);
    assert!(found[0].seen.contains("mode 0660 (rw-rw----)"), "{}", found[0].seen);
    assert!(found[0].seen.contains("user:1234:rw-"), "{}", found[0].seen);
    assert!(found[0].why.contains("user 1234 (rw-)"), "{}", found[0].why);
    assert_eq!(found[0].fix, format!("setfacl -b {}", path.display()));
}

#[test]
fn tells_dormant_entries_from_live_ones() {
    let scratch = Scratch::new();
    let path = scratch.key("a.key");
    scratch.setfacl("u:1234:r", "a.key");
    scratch.mode("a.key", 0o600);
    let found = findings(PrivateKey, &path);
    assert_eq!((codes(&found), found[0].severity), (vec!["acl-dormant"], Severity::Warn));
    assert!(found[0].seen.contains("user:1234:r-- #effective:---"), "{}", found[0].seen);
    // What the finding warns of: the next chmod arms it.
    scratch.mode("a.key", 0o640);
    assert_eq!(codes(&findings(PrivateKey, &path)), ["acl-grants"]);
}

#[test]
fn judges_the_owning_group_by_its_entry_and_not_by_the_mask() {
    let scratch = Scratch::new();
    let path = scratch.key("a.key");
    scratch.setfacl("u:0:rw,u:65532:rw", "a.key");
    assert_eq!(codes(&findings(PrivateKey, &path)), NONE);
    scratch.setfacl("g::r", "a.key");
    assert_eq!(codes(&findings(PrivateKey, &path)), ["mode-too-open"]);
    scratch.setfacl("g::-,g:100:r", "a.key");
    let found = findings(PrivateKey, &path);
    assert_eq!(codes(&found), ["acl-grants"]);
    assert!(found[0].why.contains("group 100 (r--)"), "{}", found[0].why);
}

#[test]
fn minds_writers_only_of_what_is_public() {
    let scratch = Scratch::new();
    let path = scratch.file("a.pem", b"PEM", 0, 0o644);
    for role in [Certificate, Config] {
        scratch.setfacl("u:1234:r", "a.pem");
        assert_eq!(codes(&findings(role, &path)), NONE);
        scratch.setfacl("u:1234:rw", "a.pem");
        assert_eq!(codes(&findings(role, &path)), ["acl-grants"]);
        scratch.mode("a.pem", 0o644);
        assert_eq!(codes(&findings(role, &path)), ["acl-dormant"]);
    }
}

#[test]
fn judges_writers_of_folders_on_the_way_by_their_entries() {
    let scratch = Scratch::new();
    scratch.folder("tls", 0, 0o755);
    let path = scratch.key("tls/a.key");
    scratch.setfacl("u:65532:rwx", "tls");
    assert_eq!(codes(&findings(PrivateKey, &path)), NONE);
    scratch.setfacl("u:1234:rwx", "tls");
    let found = findings(PrivateKey, &path);
    assert_eq!(codes(&found), ["parent-writable"]);
    assert!(found[0].why.contains("user 1234 (rwx)") && found[0].fix.contains("setfacl -b"), "{found:?}");
}

#[test]
fn lets_in_by_an_entry_when_it_judges_for_another_user() {
    let scratch = Scratch::new();
    scratch.folder("tls", 0, 0o700);
    let path = scratch.file("tls/a.pem", b"PEM", 0, 0o600);
    assert_eq!(codes(&findings(Certificate, &path)), ["unreadable", "unreadable"]);
    scratch.setfacl("u:65532:x", "tls");
    scratch.setfacl("u:65532:r", "tls/a.pem");
    assert_eq!(codes(&findings(Certificate, &path)), NONE);
    // A user entry comes before any group, also where it grants less.
    scratch.setfacl("u:65532:-,g::r", "tls/a.pem");
    assert_eq!(codes(&findings(Certificate, &path)), ["unreadable"]);
}

#[test]
fn refuses_a_default_acl_that_new_keys_would_be_born_with() {
    let scratch = Scratch::new();
    let path = scratch.folder("state", US, 0o700);
    scratch.setfacl_with(&["-d", "-m", "u:1234:r"], "state");
    let found = findings(StateFolder, &path);
    assert_eq!(codes(&found), ["acl-default"]);
    assert!(found[0].seen.contains("user:1234:r--"), "{}", found[0].seen);
    assert_eq!(found[0].fix, format!("setfacl -k {}", path.display()));
    // That it is no idle warning: the kernel gives it to what is made there, under any umask.
    scratch.file("state/new.key", b"KEY", US, 0o640);
    assert!(codes(&findings(PrivateKey, scratch.path("state/new.key"))).contains(&"acl-grants"));
    scratch.setfacl_with(&["-k"], "state");
    scratch.setfacl_with(&["-d", "-m", "u::rwx,g::-,o::-"], "state");
    std::fs::remove_file(scratch.path("state/new.key")).unwrap();
    assert_eq!(codes(&findings(StateFolder, &path)), NONE);
}

#[test]
fn reports_the_entries_of_what_was_judged() {
    let scratch = Scratch::new();
    let path = scratch.file("a.pem", b"PEM", STRANGER, 0o644);
    scratch.setfacl("u:1234:rw,g:7:r", "a.pem");
    let seen = report_for(&us(), Certificate, &path).seen.unwrap();
    assert_eq!(seen.acl.unwrap(), "user::rw-, user:1234:rw-, group::r--, group:7:r--, mask::rw-, other::r--");
}
