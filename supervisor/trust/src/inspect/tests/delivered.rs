//! Secrets that a runtime delivers: recognised by what can be seen, and held to their own rules.

use std::fs;
use std::os::unix::fs::symlink;

use crate::Role::{CaBundle, Certificate, Config, PrivateKey, StateFolder};
use crate::testing::{STRANGER, Scratch, US, codes, findings, findings_for, report_for, us};
use crate::{DeliveryKind, Identity, Severity};

const NONE: [&str; 0] = [];
const PAIR: [(&str, &[u8]); 2] = [("tls.crt", b"PEM"), ("tls.key", b"KEY")];

/// The service user with an fsGroup.
fn in_group(gid: u32) -> Identity {
    Identity { groups: vec![gid], ..us() }
}

fn kind(identity: &Identity, path: impl Into<std::path::PathBuf>) -> Option<DeliveryKind> {
    let seen = report_for(identity, PrivateKey, path).seen?;
    seen.delivery.map(|delivery| delivery.kind)
}

#[test]
fn accepts_a_secret_volume_that_only_our_group_can_read() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &PAIR);
    let report = report_for(&in_group(2000), PrivateKey, volume.path("tls.key"));
    assert_eq!(codes(&report.findings), NONE, "{:?}", report.findings);
    let delivery = report.seen.unwrap().delivery.unwrap();
    assert_eq!(delivery.kind, DeliveryKind::KubernetesVolume);
    let evidence = delivery.evidence.join("\n");
    for part in ["tls.key -> ..data/tls.key", "..data -> ..2026_11_25", "read-only: tmpfs at ", "user 0"] {
        assert!(evidence.contains(part), "{part} is not in {evidence}");
    }
    assert_eq!(codes(&findings_for(&in_group(2000), Certificate, volume.path("tls.crt"))), NONE);
}

#[test]
fn names_the_yaml_for_what_a_secret_volume_grants_too_much_or_too_little() {
    let scratch = Scratch::new();
    for (mode, gid, code, fix) in [
        // defaultMode left alone.
        (0o644, 0, "mode-too-open", "secret: { defaultMode: 0400 }"),
        (0o444, 2000, "mode-too-open", "secret: { defaultMode: 0400 }"),
        // A group that we are not in.
        (0o440, 3000, "mode-too-open", "secret: { defaultMode: 0400 }"),
        // No fsGroup: root's alone.
        (0o400, 0, "unreadable", "securityContext: { fsGroup: 65532 }"),
    ] {
        let volume = scratch.secret_volume(mode, gid, &PAIR);
        let found = findings_for(&in_group(2000), PrivateKey, volume.path("tls.key"));
        let finding = found.iter().find(|finding| finding.code.id() == code);
        let finding = finding.unwrap_or_else(|| panic!("{mode:o} {gid}: {found:?}"));
        assert!(finding.fix.contains(fix) && finding.severity == Severity::Refuse, "{finding}");
        // Who may read a certificate is nobody's business.
        if mode & 0o004 != 0 {
            assert_eq!(codes(&findings_for(&us(), Certificate, volume.path("tls.crt"))), NONE);
        }
    }
}

#[test]
fn accepts_a_projected_token_that_is_ours() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o600, 0, &[("token", b"KEY")]);
    let dated = fs::read_link(volume.path("..data")).unwrap();
    scratch.own(&format!("kubelet/{}/token", dated.display()), US);
    assert_eq!(codes(&findings(PrivateKey, volume.path("token"))), NONE);
}

#[test]
fn takes_nothing_for_a_volume_that_lacks_a_part_of_it_and_says_which() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &PAIR);
    let judge = || findings_for(&in_group(2000), PrivateKey, volume.path("tls.key"));
    // Whoever can write there can make such links too.
    volume.mounted.writable();
    let found = judge();
    assert_eq!(kind(&in_group(2000), volume.path("tls.key")), None);
    let link = found.iter().find(|finding| finding.code.id() == "symlink").unwrap();
    assert!(link.seen.contains("its mount is not read-only"), "{link}");
    assert!(link.fix.contains("readOnly: true"), "{link}");
    scratch.own("kubelet", STRANGER);
    volume.mounted.read_only();
    let link = judge().into_iter().find(|finding| finding.code.id() == "symlink").unwrap();
    assert!(link.seen.contains("belongs to somebody else"), "{link}");

    // The same links in an ordinary folder.
    scratch.folder("plain", 0, 0o755);
    scratch.folder("plain/..2026", 0, 0o755);
    scratch.key("plain/..2026/tls.key");
    scratch.link("plain/..data", "..2026");
    let path = scratch.link("plain/tls.key", "..data/tls.key");
    let found = findings(PrivateKey, &path);
    assert_eq!(codes(&found), ["symlink", "symlink"]);
    assert!(found[0].seen.contains("nothing is mounted right there"), "{}", found[0]);
}

#[test]
fn takes_no_folder_of_the_hosts_disk_for_a_volume_of_secrets() {
    let scratch = Scratch::new();
    scratch.folder("disk", 0, 0o777);
    scratch.folder("disk/..2026", 0, 0o755);
    scratch.key("disk/..2026/tls.key");
    scratch.file("disk/..2026/ca.crt", b"PEM", 0, 0o644);
    scratch.link("disk/..data", "..2026");
    for name in ["tls.key", "ca.crt"] {
        scratch.link(&format!("disk/{name}"), format!("..data/{name}"));
    }
    scratch.folder("volume", 0, 0o755);
    let mounted = scratch.bind("disk", "volume");
    mounted.read_only();
    let found = findings(PrivateKey, scratch.path("volume/tls.key"));
    assert_eq!(codes(&found), ["parent-writable", "symlink", "symlink"]);
    assert!(found[1].seen.contains("not in memory"), "{}", found[1]);
    // A bundle of CAs may come by a ConfigMap, which lies on the node's disk.
    assert_eq!(codes(&findings(CaBundle, scratch.path("volume/ca.crt"))), NONE);
}

#[test]
fn takes_no_way_out_of_a_volume_for_a_part_of_it() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &PAIR);
    scratch.key("outside.key");
    for (name, target) in [
        ("absolute", scratch.path("outside.key")),
        ("upward", "../outside.key".into()),
        ("other", "..data/tls.key".into()),
        ("proc", "/proc/self/root/etc/hostname".into()),
    ] {
        symlink(target, volume.kubelet(name)).unwrap();
    }
    fs::remove_file(volume.kubelet("..data")).unwrap();
    symlink("..", volume.kubelet("..data")).unwrap();
    scratch.key("tls.key");
    for name in ["absolute", "upward", "other", "proc", "tls.key"] {
        let found = findings_for(&in_group(2000), PrivateKey, volume.path(name));
        assert!(codes(&found).contains(&"symlink"), "{name}: {found:?}");
    }
}

/// A folder that everybody writes elsewhere, mounted read-only here: what is taken in it must be
/// root's or ours, links included.
#[test]
fn takes_no_link_that_somebody_else_has_made_in_a_read_only_volume() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &PAIR);
    for link in ["tls.key", "..data"] {
        let owned = |uid| std::os::unix::fs::lchown(volume.kubelet(link), Some(uid), None).unwrap();
        owned(STRANGER);
        let found = findings_for(&in_group(2000), PrivateKey, volume.path("tls.key"));
        assert!(codes(&found).contains(&"parent-writable"), "{link}: {found:?}");
        owned(0);
    }
    assert_eq!(codes(&findings_for(&in_group(2000), PrivateKey, volume.path("tls.key"))), NONE);
    // Nor in that of a configuration.
    let maps = Scratch::new();
    let map = maps.secret_volume(0o644, 0, &[("fluxheim.toml", b"[server]\n")]);
    assert!(crate::read_config(&map.path(""), &us()).is_ok());
    symlink("/etc/hostname", map.kubelet("zz.toml")).unwrap();
    std::os::unix::fs::lchown(map.kubelet("zz.toml"), Some(STRANGER), None).unwrap();
    let said = crate::read_config(&map.path(""), &us()).unwrap_err().to_string();
    assert!(said.contains("[parent-writable]"), "{said}");
}

#[test]
fn says_that_a_volume_is_not_filled_yet() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &[]);
    let found = findings_for(&in_group(2000), PrivateKey, volume.path("tls.key"));
    assert_eq!(codes(&found), ["missing"]);
    assert!(found[0].code.may_heal());
}

#[test]
fn accepts_the_links_of_a_config_map() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o644, 0, &[("fluxheim.toml", b"[server]\n")]);
    assert_eq!(codes(&findings(Config, volume.path("fluxheim.toml"))), NONE);
    let read = crate::read_config(&volume.path(""), &us()).unwrap();
    assert_eq!((read.len(), read[0].text.as_str()), (1, "[server]\n"));
}

#[test]
fn warns_of_a_single_file_that_no_renewal_reaches() {
    let scratch = Scratch::new();
    scratch.key("renewed.key");
    let path = scratch.key("a.key");
    let _mounted = scratch.bind("renewed.key", "a.key");
    let found = findings(PrivateKey, &path);
    assert_eq!((codes(&found), found[0].severity), (vec!["pinned-file"], Severity::Warn));
}

#[test]
fn says_that_a_file_mounted_alone_was_replaced_outside() {
    let scratch = Scratch::new();
    for (role, name, uid) in [(PrivateKey, "a.key", US), (Config, "fluxheim.toml", 0)] {
        let mode = if uid == US { 0o600 } else { 0o644 };
        scratch.file("source", b"OLD", uid, mode);
        let path = scratch.file(name, b"", 0, 0o600);
        let _mounted = scratch.bind("source", name);
        scratch.file("new", b"NEW", uid, mode);
        fs::rename(scratch.path("new"), scratch.path("source")).unwrap();
        let found = findings(role, &path);
        assert_eq!(codes(&found), ["pinned-file"], "{role}");
        assert!(found[0].seen.contains("holds the old one"), "{}", found[0]);
        let expected = if role == Config { Severity::Refuse } else { Severity::Warn };
        assert_eq!(found[0].severity, expected, "{role}");
    }
}

#[test]
fn waits_for_what_links_into_a_volume_promise() {
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &[]);
    symlink("..data/tls.key", volume.kubelet("tls.key")).unwrap();
    let judged = || findings_for(&in_group(2000), PrivateKey, volume.path("tls.key"));
    assert_eq!(codes(&judged()), ["missing"]);
    volume.rotate(&[("tls.crt", b"PEM")]);
    assert_eq!(codes(&judged()), ["missing"]);
    volume.rotate(&[("tls.key", b"KEY")]);
    assert_eq!(codes(&judged()), NONE);
}

/// A file that is mounted alone, read-only, from memory.
fn secret_file(scratch: &Scratch, mode: u32, uid: u32, gid: u32) -> Vec<crate::testing::Mounted> {
    let memory = scratch.tmpfs("memory", "mode=0755");
    scratch.file("memory/secret", b"KEY", uid, mode);
    scratch.group("memory/secret", uid, gid);
    scratch.mode("memory/secret", mode);
    scratch.file("secret", b"", 0, 0o600);
    let mounted = scratch.bind("memory/secret", "secret");
    mounted.read_only();
    vec![mounted, memory]
}

#[test]
fn accepts_a_runtimes_secret_that_only_we_can_read() {
    for (mode, uid, gid, expected) in [
        (0o400, US, US, &NONE[..]),
        (0o440, 0, US, &[]),
        (0o400, 0, 0, &["unreadable"]),
        (0o440, 0, 3000, &["mode-too-open", "unreadable"]),
        (0o444, 0, 0, &["mode-too-open"]),
    ] {
        let scratch = Scratch::new();
        let _mounted = secret_file(&scratch, mode, uid, gid);
        let found = findings(PrivateKey, scratch.path("secret"));
        assert_eq!(codes(&found), expected, "{mode:o} {uid}:{gid} {found:?}");
        assert_eq!(kind(&us(), scratch.path("secret")), Some(DeliveryKind::RuntimeSecret));
        for finding in found {
            assert!(finding.fix.contains("uid=65532,gid=65532,mode=0400"), "{finding}");
        }
    }
}

/// A claim as the kubelet leaves it: root's, open to the fsGroup, setgid.
fn claim(scratch: &Scratch) -> crate::testing::Mounted {
    let mounted = scratch.tmpfs("claim", "mode=0755");
    scratch.group("claim", 0, 2000);
    scratch.mode("claim", 0o2775);
    scratch.file("claim/account.key", b"KEY", US, 0o600);
    scratch.group("claim/account.key", US, 2000);
    scratch.mode("claim/account.key", 0o660);
    mounted
}

#[test]
fn accepts_a_claim_that_the_kubelet_opened_to_our_group_with_a_warning() {
    let scratch = Scratch::new();
    let _claim = claim(&scratch);
    let report = report_for(&in_group(2000), StateFolder, scratch.path("claim"));
    // Said once for all that is in it.
    assert_eq!(codes(&report.findings), ["fs-group"]);
    let finding = &report.findings[0];
    assert!(finding.fix.contains("fsGroupChangePolicy: OnRootMismatch"), "{finding}");
    assert!(finding.why.contains("in group 2000"), "{finding}");
    assert!(!report.is_refused());
    assert_eq!(report.seen.unwrap().delivery.unwrap().kind, DeliveryKind::FsGroupClaim);
    let key = findings_for(&in_group(2000), PrivateKey, scratch.path("claim/account.key"));
    assert_eq!(codes(&key), ["fs-group", "fs-group"]);
    // The group can replace what stands there, whatever its own mode.
    scratch.file("claim/a.pem", b"PEM", 0, 0o644);
    scratch.key("claim/b.key");
    for (role, name) in [(Certificate, "claim/a.pem"), (PrivateKey, "claim/b.key")] {
        assert_eq!(codes(&findings_for(&in_group(2000), role, scratch.path(name))), ["fs-group"], "{role}");
    }
    // Root's key that the group can read is not one that the kubelet opened for us.
    scratch.file("claim/c.key", b"KEY", 0, 0o660);
    scratch.group("claim/c.key", 0, 2000);
    scratch.mode("claim/c.key", 0o660);
    assert!(report_for(&in_group(2000), PrivateKey, scratch.path("claim/c.key")).is_refused());
    // To who is not in the group it is a folder that others can write.
    assert!(report_for(&us(), StateFolder, scratch.path("claim")).is_refused());
}

#[test]
fn refuses_in_a_claim_what_the_kubelet_did_not_do() {
    let scratch = Scratch::new();
    let _claim = claim(&scratch);
    scratch.mode("claim/account.key", 0o664);
    scratch.file("claim/b.key", b"KEY", US, 0o660);
    scratch.group("claim/b.key", US, 3000);
    scratch.mode("claim/b.key", 0o660);
    let report = report_for(&in_group(2000), StateFolder, scratch.path("claim"));
    let refused: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| !finding.severity.allows_use())
        .map(|finding| (finding.code.id(), finding.path.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert_eq!(refused, [("mode-too-open", "account.key"), ("mode-too-open", "b.key")]);
}
