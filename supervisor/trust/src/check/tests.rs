//! Bounds of time, and filesystems that are not what they seem.

use std::time::Instant;

use fluxheim_config::AdvisoryFilesystem;

use super::*;
use crate::Role::{Certificate, Config, PrivateKey, StateFolder, StaticRoot};
use crate::testing::{Scratch, US, check as access, codes, findings, object, our_terms, us};
use crate::{Outcome, Severity};

fn inventory(objects: &[Object]) -> Inventory {
    Inventory { items: objects.iter().cloned().map(Item::One).collect(), by_name: Vec::new() }
}

#[test]
fn a_mount_that_does_not_answer_holds_up_nothing_else() {
    let scratch = Scratch::new();
    scratch.folder("served", US, 0o700);
    scratch.key("served/a.key");
    let dead = scratch.fuse("served", "dead");
    dead.stop();
    let objects = [
        object(PrivateKey, scratch.path("dead/a.key")),
        object(PrivateKey, scratch.key("b.key")),
        object(StateFolder, scratch.path("dead")),
        object(StaticRoot, scratch.path("dead")),
        object(Certificate, scratch.file("c.pem", b"PEM", 0, 0o664)),
    ];
    let how = How { each: Duration::from_millis(300), ..How::ACCESS };
    let started = Instant::now();
    let report = check(&inventory(&objects), &our_terms(), how);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let verdicts: Vec<_> = report.objects.iter().map(ObjectReport::verdict).collect();
    assert_eq!(verdicts, ["unknown", "ok", "unknown", "unknown", "refused"]);
    let finding = &report.objects[0].findings[0];
    assert_eq!((finding.code.id(), finding.severity), ("timed-out", Severity::Unknown));
    assert_eq!(report.outcome(), Outcome::Refused);
}

#[test]
fn gives_up_after_a_few_dead_mounts_and_says_what_was_not_looked_at() {
    let scratch = Scratch::new();
    scratch.folder("served", US, 0o700);
    let dead = scratch.fuse("served", "dead");
    dead.stop();
    let objects = vec![object(PrivateKey, scratch.path("dead/a.key")); 40];
    let how = How { each: Duration::from_millis(100), ..How::ACCESS };
    let report = check(&inventory(&objects), &our_terms(), how);
    assert_eq!(report.objects.len(), 40);
    assert!(report.findings().all(|finding| finding.code.id() == "timed-out"));
    assert_eq!(report.findings().filter(|finding| finding.seen == "not looked at").count(), 40 - MOST_STUCK);
    assert_eq!(report.outcome(), Outcome::MayHeal);
}

#[test]
fn says_of_what_there_was_no_time_for_that_it_was_not_asked() {
    let scratch = Scratch::new();
    scratch.folder("served", US, 0o700);
    let dead = scratch.fuse("served", "dead");
    dead.stop();
    let objects = vec![object(PrivateKey, scratch.path("dead/a.key")); 3];
    let (each, total) = (Duration::from_millis(1000), Duration::from_millis(1050));
    let report = check(&inventory(&objects), &our_terms(), How { each, total, ..How::ACCESS });
    let seen: Vec<_> = report.findings().map(|finding| finding.seen.as_str()).collect();
    // The first has its time, less what a busy machine takes to start a thread.
    assert!(seen[0].starts_with("no answer within "), "{seen:?}");
    assert_eq!(seen[1..], ["not looked at", "not looked at"]);
}

#[test]
fn changes_nothing_that_nobody_waits_for_any_more() {
    let scratch = Scratch::new();
    scratch.folder("served", US, 0o700);
    let path = scratch.file("served/a.key", b"KEY", US, 0o644);
    let dead = scratch.fuse("served", "dead");
    dead.stop();
    let how = How { each: Duration::from_millis(200), repair: true, ..How::ACCESS };
    let report = check(&inventory(&[object(PrivateKey, scratch.path("dead/a.key"))]), &our_terms(), how);
    assert_eq!(codes(&report.objects[0].findings), ["timed-out"]);
    assert!(report.objects[0].repaired.is_empty());
    dead.go_on();
    std::thread::sleep(Duration::from_millis(500));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o644);
    // The same while somebody waits.
    let how = How { each: Duration::from_secs(60), ..how };
    let report = check(&inventory(&[object(PrivateKey, scratch.path("dead/a.key"))]), &our_terms(), how);
    assert_eq!(report.objects[0].repaired.len(), 1);
}

#[test]
fn takes_modes_that_a_program_shows_for_nothing() {
    let scratch = Scratch::new();
    scratch.folder("served", US, 0o700);
    scratch.folder("served/state", US, 0o700);
    scratch.key("served/a.key");
    scratch.file("served/a.pem", b"PEM", US, 0o644);
    let _mounted = scratch.fuse("served", "fuse");
    for (role, path) in [(PrivateKey, "fuse/a.key"), (Certificate, "fuse/a.pem"), (StateFolder, "fuse/state")]
    {
        let report = access(&[object(role, scratch.path(path))], &us());
        assert_eq!(codes(&report.objects[0].findings), ["advisory-modes"], "{role}");
        assert_eq!((report.objects[0].verdict(), report.is_clean()), ("unknown", false));
        let finding = &report.objects[0].findings[0];
        assert!(finding.seen.starts_with("fuse at "), "{finding}");
        assert!(finding.fix.contains("trusted_filesystems = [\"fuse\"]"), "{finding}");
    }
    // Which are trusted stands in the configuration itself.
    let config = findings(Config, scratch.path("fuse/a.pem"));
    assert_eq!((codes(&config), config[0].severity), (vec!["advisory-modes"], Severity::Warn));

    let vouched = Terms { trusted_filesystems: vec![AdvisoryFilesystem::Fuse], ..our_terms() };
    let report = check(&inventory(&[object(PrivateKey, scratch.path("fuse/a.key"))]), &vouched, How::ACCESS);
    assert_eq!((report.objects[0].verdict(), report.is_clean()), ("warning", true));
    let other = Terms { trusted_filesystems: vec![AdvisoryFilesystem::Nfs], ..our_terms() };
    let report = check(&inventory(&[object(PrivateKey, scratch.path("fuse/a.key"))]), &other, How::ACCESS);
    assert!(!report.is_clean());
}

#[test]
fn reaches_a_thousand_files_of_many_folders_with_few_descriptors() {
    let scratch = Scratch::new();
    let mut objects = Vec::new();
    for number in 0..1000 {
        scratch.folder(&format!("{number}"), US, 0o700);
        objects.push(object(PrivateKey, scratch.key(&format!("{number}/a.key"))));
    }
    let report = access(&objects, &us());
    assert_eq!(report.findings().next(), None);
    assert_eq!(report.objects.len(), 1000);
}
