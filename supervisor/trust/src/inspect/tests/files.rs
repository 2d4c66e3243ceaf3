//! What is judged at the file itself.

use std::fs;
use std::path::Path;

use nix::sys::stat::SFlag;

use crate::Role::{
    AdminTokens, CaBundle, CacheKey, Certificate, EabHmac, EabKeyId, IdentityKey, PrivateKey, StaticRoot,
    StickyKey, TicketKeys, UsersFile,
};
use crate::testing::{STRANGER, Scratch, US, check, codes, findings, findings_for, object, root, us};

const NONE: [&str; 0] = [];

#[test]
fn accepts_key_of_service_user_closed_to_others() {
    let scratch = Scratch::new();
    for mode in [0o600, 0o400, 0o700] {
        assert_eq!(codes(&findings(PrivateKey, scratch.file("key", b"KEY", US, mode))), NONE, "{mode:o}");
    }
}

#[test]
fn refuses_key_with_any_bit_for_others_and_names_the_command() {
    let scratch = Scratch::new();
    let path = scratch.file("a.key", b"KEY", US, 0o644);
    let found = findings(PrivateKey, &path);
    assert_eq!(codes(&found), ["mode-too-open"]);
    assert_eq!(found[0].path, path);
    assert_eq!(found[0].seen, "mode 0644 (rw-r--r--), owner 65532:65532");
    assert_eq!(found[0].fix, format!("chmod 0600 {}", path.display()));
    for bit in [0o040, 0o020, 0o010, 0o004, 0o002, 0o001] {
        scratch.mode("a.key", 0o600 | bit);
        assert_eq!(codes(&findings(PrivateKey, &path)), ["mode-too-open"], "{bit:o}");
    }
}

#[test]
fn refuses_key_of_anyone_else_even_root() {
    let scratch = Scratch::new();
    for uid in [0, STRANGER] {
        let path = scratch.file("a.key", b"KEY", uid, 0o600);
        let found = findings(PrivateKey, &path);
        assert_eq!(codes(&found), ["foreign-owner"], "{uid}");
        assert_eq!(found[0].fix, format!("chown 65532:65532 {}", path.display()));
    }
}

#[test]
fn tells_root_as_whom_the_key_would_be_fine() {
    let scratch = Scratch::new();
    let found = findings_for(&root(), PrivateKey, scratch.key("a.key"));
    assert_eq!(codes(&found), ["foreign-owner"]);
    assert!(
        found[0].fix.starts_with("chown 0:0 ") && found[0].fix.contains("run as user 65532"),
        "{}",
        found[0].fix
    );
    assert_eq!(codes(&findings_for(&root(), Certificate, scratch.path("a.key"))), ["foreign-owner"]);
    assert_eq!(codes(&findings_for(&root(), PrivateKey, scratch.file("root.key", b"K", 0, 0o600))), NONE);
}

#[test]
fn reports_everything_wrong_at_once() {
    let scratch = Scratch::new();
    scratch.folder("open", STRANGER, 0o777);
    let path = scratch.file("open/a.key", b"", STRANGER, 0o4666);
    fs::hard_link(&path, scratch.path("second")).unwrap();
    assert_eq!(
        codes(&findings(PrivateKey, path)),
        [
            "parent-foreign-owner",
            "parent-writable",
            "foreign-owner",
            "mode-too-open",
            "special-bits",
            "hard-linked",
            "empty"
        ]
    );
}

#[test]
fn takes_65534_for_somebody_only_where_it_is_ourselves() {
    let scratch = Scratch::new();
    let path = scratch.file("a.key", b"KEY", 65534, 0o600);
    assert_eq!(codes(&findings(PrivateKey, &path)), ["unmapped-owner"]);
    let nobody = crate::Identity::of(65534);
    let ids_are_mapped = fs::read_to_string("/proc/self/mountinfo").unwrap().contains("idmapped");
    let found = findings_for(&nobody, PrivateKey, path);
    assert_eq!(codes(&found).contains(&"unmapped-owner"), ids_are_mapped, "{found:?}");
}

#[test]
fn refuses_special_bits() {
    let scratch = Scratch::new();
    for mode in [0o4600, 0o2600, 0o1600] {
        assert_eq!(
            codes(&findings(PrivateKey, scratch.file("a.key", b"KEY", US, mode))),
            ["special-bits"],
            "{mode:o}"
        );
    }
}

#[test]
fn refuses_second_name_of_a_key_but_not_of_a_certificate() {
    let scratch = Scratch::new();
    let path = scratch.key("a.key");
    fs::hard_link(&path, scratch.path("b.key")).unwrap();
    let found = findings(PrivateKey, &path);
    assert_eq!(codes(&found), ["hard-linked"]);
    assert_eq!(found[0].seen, "2 names of one file");
    assert_eq!(codes(&findings(Certificate, path)), NONE);
}

#[test]
fn refuses_empty_and_oversized_files() {
    let scratch = Scratch::new();
    for (role, most) in
        [(PrivateKey, 64 << 10), (EabHmac, 64 << 10), (Certificate, 1 << 20), (CaBundle, 4 << 20)]
    {
        let path = scratch.file("a.pem", b"", US, 0o600);
        assert_eq!(codes(&findings(role, &path)), ["empty"]);
        scratch.grow("a.pem", most);
        assert_eq!(codes(&findings(role, &path)), NONE);
        scratch.grow("a.pem", most + 1);
        assert_eq!(codes(&findings(role, &path)), ["too-large"]);
    }
}

#[test]
fn refuses_fifo_socket_device_and_folder_without_opening_them() {
    let scratch = Scratch::new();
    scratch.node("fifo", SFlag::S_IFIFO, 0);
    // /dev/tty would be taken as controlling terminal, a driverless device would fail to open.
    scratch.node("device", SFlag::S_IFCHR, nix::sys::stat::makedev(5, 0));
    scratch.node("block", SFlag::S_IFBLK, nix::sys::stat::makedev(259, 4000));
    scratch.folder("folder", US, 0o700);
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("socket")).unwrap();
    for role in [PrivateKey, Certificate] {
        for name in ["fifo", "device", "block", "folder", "socket"] {
            assert_eq!(codes(&findings(role, scratch.path(name))), ["not-a-file"], "{name}");
        }
    }
}

#[test]
fn holds_certificates_to_their_writers_only() {
    let scratch = Scratch::new();
    for (uid, mode, expected) in [
        (0, 0o644, &NONE[..]),
        (US, 0o644, &[]),
        (US, 0o600, &[]),
        (STRANGER, 0o644, &["foreign-owner"]),
        (0, 0o664, &["writable-by-others"]),
        (0, 0o646, &["writable-by-others"]),
        (0, 0o600, &["unreadable"]),
    ] {
        let path = scratch.file("a.pem", b"PEM", uid, mode);
        assert_eq!(codes(&findings(Certificate, path)), expected, "{uid} {mode:o}");
    }
}

#[test]
fn holds_every_secret_to_the_rules_of_a_key() {
    let scratch = Scratch::new();
    let open = scratch.file("open", b"SECRET", US, 0o640);
    let foreign = scratch.file("foreign", b"SECRET", STRANGER, 0o600);
    let good = scratch.key("good");
    for role in
        [PrivateKey, EabKeyId, EabHmac, AdminTokens, UsersFile, CacheKey, StickyKey, IdentityKey, TicketKeys]
    {
        assert_eq!(codes(&findings(role, &good)), NONE);
        assert_eq!(codes(&findings(role, &open)), ["mode-too-open"]);
        assert_eq!(codes(&findings(role, &foreign)), ["foreign-owner"]);
    }
    assert_eq!(codes(&findings(CaBundle, scratch.file("ca.pem", b"PEM", 0, 0o644))), NONE);
}

#[test]
fn accepts_published_folder_and_warns_of_a_world_writable_one() {
    let scratch = Scratch::new();
    let path = scratch.folder("site", STRANGER, 0o755);
    let link = scratch.link("current", "site");
    assert_eq!(codes(&findings(StaticRoot, &path)), NONE);
    assert_eq!(codes(&findings(StaticRoot, link)), NONE);
    scratch.mode("site", 0o777);
    let report = check(&[object(StaticRoot, &path)], &us());
    assert!(report.is_clean());
    assert_eq!(
        report.findings().map(|finding| finding.code.id()).collect::<Vec<_>>(),
        ["writable-by-others"]
    );
    scratch.mode("site", 0o700);
    assert_eq!(codes(&findings(StaticRoot, &path)), ["unreadable"]);
    assert_eq!(codes(&findings(StaticRoot, scratch.key("file"))), ["not-a-directory"]);
    assert_eq!(codes(&findings(StaticRoot, scratch.path("none"))), ["missing"]);
}

#[test]
fn reports_as_text_and_as_json() {
    let scratch = Scratch::new();
    let bad = scratch.file("bad.key", b"VERY-SECRET", US, 0o644);
    let report = check(&[object(PrivateKey, &bad), object(PrivateKey, scratch.key("good.key"))], &us());
    assert!(!report.is_clean());
    let text = report.to_string();
    for part in [
        "refused private key of",
        "ok      private key of",
        "mode 0644 (rw-r--r--)",
        "2 objects judged, 1 refused",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["schema"], 2);
    assert_eq!(json["clean"], false);
    assert_eq!(json["identity"]["uid"], US);
    assert_eq!(json["objects"][0]["findings"][0]["code"], "mode-too-open");
    assert_eq!(Path::new(json["objects"][0]["path"].as_str().unwrap()), bad);
    assert_eq!(json["objects"][1]["verdict"], "ok");
    assert!(!text.contains("SECRET") && !report.to_json().contains("SECRET"));
}
