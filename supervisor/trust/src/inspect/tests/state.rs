//! Folders that the proxy writes, with everything below them.

use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::SFlag;

use crate::Role::StateFolder;
use crate::testing::{STRANGER, Scratch, US, check, codes, findings, object, our_terms, report_for, us};
use crate::{How, Inventory, Item, Severity};

const NONE: [&str; 0] = [];

fn state() -> Scratch {
    let scratch = Scratch::new();
    for folder in ["state", "state/accounts", "state/certificates"] {
        scratch.folder(folder, US, 0o700);
    }
    scratch.key("state/accounts/account.key");
    scratch.key("state/certificates/a.key");
    scratch
}

#[test]
fn accepts_what_only_the_service_user_can_enter() {
    let scratch = state();
    let report = report_for(&us(), StateFolder, scratch.path("state"));
    assert_eq!(codes(&report.findings), NONE);
    assert_eq!(report.seen.unwrap().entries, Some(5));
    assert_eq!(codes(&findings(StateFolder, scratch.path("none"))), ["missing"]);
    assert_eq!(codes(&findings(StateFolder, scratch.key("file"))), ["not-a-directory"]);
}

#[test]
fn finds_everything_that_is_wrong_below() {
    let scratch = state();
    scratch.mode("state", 0o750);
    scratch.own("state/accounts", STRANGER);
    scratch.mode("state/certificates/a.key", 0o640);
    scratch.file("state/certificates/b.key", b"KEY", STRANGER, 0o600);
    std::fs::hard_link(scratch.path("state/accounts/account.key"), scratch.path("copy")).unwrap();
    symlink("/etc/passwd", scratch.path("state/link")).unwrap();
    scratch.node("state/pipe", SFlag::S_IFIFO, 0);
    let found = findings(StateFolder, scratch.path("state"));
    let mut seen: Vec<_> = found
        .iter()
        .map(|finding| {
            let below = finding.path.strip_prefix(scratch.path("")).unwrap();
            format!("{} {}", finding.code.id(), below.display())
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "foreign-owner state/accounts",
            "foreign-owner state/certificates/b.key",
            "hard-linked state/accounts/account.key",
            "mode-too-open state",
            "mode-too-open state/certificates/a.key",
            "not-a-file state/link",
            "not-a-file state/pipe",
        ]
    );
}

#[test]
fn does_not_cross_onto_another_mount() {
    let scratch = state();
    let _mounted = scratch.tmpfs("state/certificates", "mode=0700,uid=65532,gid=65532");
    let found = findings(StateFolder, scratch.path("state"));
    assert_eq!(codes(&found), ["mount-inside"]);
    assert!(found[0].seen.starts_with("tmpfs at "), "{}", found[0].seen);
}

#[test]
fn needs_a_folder_that_can_be_written() {
    let scratch = Scratch::new();
    let mounted = scratch.tmpfs("state", "mode=0700,uid=65532,gid=65532");
    assert_eq!(codes(&findings(StateFolder, scratch.path("state"))), NONE);
    mounted.read_only();
    assert_eq!(codes(&findings(StateFolder, scratch.path("state"))), ["unwritable"]);
}

#[test]
fn leaves_the_lost_and_found_of_a_new_disk_alone() {
    let scratch = Scratch::new();
    let _mounted = scratch.tmpfs("state", "mode=0700,uid=65532,gid=65532");
    scratch.folder("state/lost+found", 0, 0o700);
    assert_eq!(codes(&findings(StateFolder, scratch.path("state"))), NONE);
    scratch.mode("state/lost+found", 0o777);
    assert_eq!(codes(&findings(StateFolder, scratch.path("state"))), ["foreign-owner", "mode-too-open"]);
}

#[test]
fn says_what_is_too_deep_or_too_much_to_be_judged() {
    let scratch = state();
    let mut deep = "state".to_owned();
    for _ in 0..20 {
        deep.push_str("/d");
        scratch.folder(&deep, US, 0o700);
    }
    let report = check(&[object(StateFolder, scratch.path("state"))], &us());
    let found: Vec<_> = report.findings().collect();
    assert_eq!((found[0].code.id(), found[0].severity), ("too-deep", Severity::Unknown));
    assert_eq!((found.len(), report.is_clean(), report.objects[0].verdict()), (1, false, "unknown"));

    let scratch = Scratch::new();
    let _mounted = scratch.tmpfs("state", "mode=0700,uid=65532,gid=65532");
    for number in 0..20_010 {
        // One owner for all: only the number of them is wrong.
        std::fs::File::create(scratch.path(format!("state/{number}"))).unwrap();
    }
    // However busy the machine is: it is the number that is judged here, not the time.
    let how = How { each: std::time::Duration::from_secs(300), ..How::ACCESS };
    let item = Item::One(object(StateFolder, scratch.path("state")));
    let inventory = Inventory { items: vec![item], by_name: vec![] };
    let found =
        crate::check(&inventory, &our_terms(), How { total: how.each, ..how }).objects.remove(0).findings;
    assert!(codes(&found).contains(&"foreign-owner") && found.len() <= 201, "{} findings", found.len());
    assert!(codes(&found).contains(&"too-many"), "the bound is told, whatever else is wrong");
}

#[test]
fn repair_takes_excess_rights_from_what_is_ours_and_nothing_else() {
    let scratch = state();
    scratch.mode("state", 0o2770);
    scratch.mode("state/certificates", 0o755);
    scratch.mode("state/certificates/a.key", 0o664);
    scratch.file("state/foreign.key", b"KEY", STRANGER, 0o644);
    scratch.file("state/two.key", b"KEY", US, 0o644);
    std::fs::hard_link(scratch.path("state/two.key"), scratch.path("state/also-two.key")).unwrap();
    let inventory =
        Inventory { items: vec![Item::One(object(StateFolder, scratch.path("state")))], by_name: vec![] };
    let how = How { repair: true, ..How::ACCESS };
    let report = crate::check(&inventory, &our_terms(), how).objects.remove(0);
    let repaired: Vec<_> = report
        .repaired
        .iter()
        .map(|done| format!("{} {:o} {:o}", done.path.file_name().unwrap().display(), done.was, done.now))
        .collect();
    assert_eq!(repaired, ["state 2770 700", "certificates 755 700", "a.key 664 600"]);
    let mode = |name: &str| std::fs::metadata(scratch.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("state"), mode("state/certificates/a.key")], [0o700, 0o600]);
    assert_eq!([mode("state/foreign.key"), mode("state/two.key")], [0o644, 0o644]);
    let mut left = codes(&report.findings);
    left.sort_unstable();
    left.dedup();
    assert_eq!(left, ["foreign-owner", "hard-linked", "mode-too-open"]);
    // A second pass has nothing left to do.
    assert!(crate::check(&inventory, &our_terms(), how).objects[0].repaired.is_empty());
}

#[test]
fn repair_changes_nothing_through_a_link_or_a_folder_of_others() {
    let scratch = state();
    scratch.mode("state", 0o755);
    scratch.link("link", "state");
    scratch.folder("open", 0, 0o777);
    scratch.folder("open/state", US, 0o755);
    for name in ["link", "open/state"] {
        let item = Item::One(object(StateFolder, scratch.path(name)));
        let how = How { repair: true, ..How::ACCESS };
        let report = crate::check(&Inventory { items: vec![item], by_name: vec![] }, &our_terms(), how);
        assert!(report.objects[0].repaired.is_empty() && !report.is_clean(), "{name}");
    }
    let mode = |name: &str| std::fs::metadata(scratch.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("state"), mode("open/state")], [0o755; 2]);
}

#[test]
fn a_refusal_is_seen_behind_any_number_of_warnings() {
    let scratch = state();
    for number in 0..300 {
        let name = format!("state/{number:03}.key");
        scratch.key(&name);
        scratch.setfacl("u:1234:r", &name);
        scratch.mode(&name, 0o600);
    }
    scratch.file("state/zz.key", b"KEY", US, 0o666);
    let report = report_for(&us(), StateFolder, scratch.path("state"));
    assert!(report.is_refused());
    let last = report.findings.last().unwrap();
    assert_eq!((last.code.id(), last.path.clone()), ("mode-too-open", scratch.path("state/zz.key")));
    assert_eq!((report.findings.len(), report.more_findings), (51, 250));
    let text = check(&[object(StateFolder, scratch.path("state"))], &us()).to_string();
    assert!(text.contains("and 250 more findings"), "{text}");
}

#[test]
fn warns_of_entries_that_the_mask_of_a_folder_holds_back() {
    let scratch = state();
    scratch.setfacl("u:1234:rwx", "state");
    assert_eq!(codes(&findings(StateFolder, scratch.path("state"))), ["acl-grants"]);
    scratch.mode("state", 0o700);
    assert_eq!(codes(&findings(StateFolder, scratch.path("state"))), ["acl-dormant"]);
}

#[test]
fn repair_leaves_what_is_everybodys_or_roots_alone() {
    let scratch = Scratch::new();
    let repaired = |terms: &crate::Terms, name: &str| {
        let item = Item::One(object(StateFolder, scratch.path(name)));
        let how = How { repair: true, ..How::ACCESS };
        crate::check(&Inventory { items: vec![item], by_name: vec![] }, terms, how).objects.remove(0).repaired
    };
    scratch.folder("shared", US, 0o1777);
    scratch.file("shared/a", b"KEY", US, 0o644);
    assert_eq!(repaired(&our_terms(), "shared"), []);
    // Root's folder with files of others in it, as /var/lib is.
    let root = crate::Terms::strict(crate::testing::root());
    scratch.folder("lib", 0, 0o755);
    scratch.file("lib/a", b"KEY", 0, 0o644);
    scratch.file("lib/b", b"KEY", US, 0o644);
    assert_eq!(repaired(&root, "lib"), []);
    std::fs::remove_file(scratch.path("lib/b")).unwrap();
    assert_eq!(repaired(&root, "lib").len(), 2);
}
