//! Owners that have no number here: files of the host in a user namespace.

use crate::Role::{Certificate, PrivateKey};
use crate::testing::{Scratch, task};
use crate::{How, Identity, Inventory, Item, Object, Terms, check};

/// What the check says of `path` for who runs this, one line a finding.
fn said(role: crate::Role, path: &std::path::Path) -> String {
    let object = Object { role, name: "example".to_owned(), path: path.to_owned() };
    let inventory = Inventory { items: vec![Item::One(object)], by_name: Vec::new() };
    let report = check(&inventory, &Terms::strict(Identity::current()), How::ACCESS);
    report.findings().map(|finding| format!("{} {}\n", finding.code.id(), finding.path.display())).collect()
}

/// Run in a user namespace that has a number for the service user alone: it is 0 there.
#[test]
fn child_says_what_it_finds() {
    let Some(path) = task() else { return };
    let uid = nix::unistd::geteuid().as_raw();
    print!("uid {uid}\n{}", said(PrivateKey, &path.join("ours.key")));
    print!("{}", said(PrivateKey, &path.join("hosts.key")));
    print!("{}", said(Certificate, &path.join("hosts.pem")));
}

#[test]
fn tells_an_owner_without_a_number_from_a_stranger() {
    let scratch = Scratch::new();
    scratch.key("ours.key");
    scratch.file("hosts.key", b"KEY", 0, 0o600);
    scratch.file("hosts.pem", b"PEM", 0, 0o644);
    let name = "inspect::tests::namespaces::child_says_what_it_finds";
    let unshare = ["unshare", "--user", "--map-root-user"];
    let output = scratch.command(&unshare, name, &scratch.path("")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("uid 0\n"), "unshare --user does not work here: {text}");
    let of = |file: &str| {
        let lines = text.lines().filter(|line| line.ends_with(file));
        lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("ours.key"), [""; 0]);
    assert_eq!(of("hosts.key"), ["unmapped-owner"]);
    assert_eq!(of("hosts.pem"), ["unmapped-owner"]);
    // The folders on the way are root's out there, and nobody's in here.
    assert!(text.contains("unmapped-owner /\n"), "{text}");
}
