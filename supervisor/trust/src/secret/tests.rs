//! Reading, and what a race can't achieve.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::Role::{PrivateKey, StaticRoot};
use crate::read;
use crate::testing::{Scratch, US, codes, object, our_terms};

#[test]
fn reads_what_passed_and_shows_only_its_length() {
    let scratch = Scratch::new();
    let secret = read(&object(PrivateKey, scratch.key("a.key")), &our_terms()).unwrap();
    assert_eq!(secret.as_bytes(), b"KEY");
    assert_eq!(format!("{secret:?}"), "Secret(3 bytes)");
}

#[test]
fn reads_up_to_the_limit() {
    let scratch = Scratch::new();
    let path = scratch.file("big", b"", US, 0o600);
    scratch.grow("big", 64 << 10);
    assert_eq!(read(&object(PrivateKey, path), &our_terms()).unwrap().as_bytes().len(), 64 << 10);
}

#[test]
fn refuses_with_all_findings_in_the_message() {
    let scratch = Scratch::new();
    let path = scratch.file("a.key", b"VERY-SECRET", 0, 0o644);
    let refused = read(&object(PrivateKey, &path), &our_terms()).unwrap_err();
    assert_eq!(codes(&refused.findings), ["foreign-owner", "mode-too-open"]);
    let text = refused.to_string();
    assert_eq!(text.lines().count(), 2);
    for part in [
        "tls.certificates \"example\"",
        "mode 0644 (rw-r--r--), owner 0:0",
        "chmod 0600 ",
        "chown 65532:65532 ",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(text.contains(path.to_str().unwrap()) && !text.contains("SECRET"));
    assert!(refused.source().is_none());
}

#[test]
fn reads_no_folder() {
    let scratch = Scratch::new();
    let refused = read(&object(StaticRoot, scratch.path("")), &our_terms()).unwrap_err();
    assert_eq!(codes(&refused.findings), ["not-a-file"]);
}

/// Swaps `a` and `b` without pause while `during` runs.
fn exchanging(a: &Path, b: &Path, during: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        during();
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn gives_only_content_that_passed_while_the_file_is_exchanged() {
    let scratch = Scratch::new();
    let good = scratch.key("a.key");
    let bad = scratch.file("other", b"BAD", US, 0o644);
    let (mut passed, mut refused) = (0, 0);
    exchanging(&good, &bad, || {
        for _ in 0..3000 {
            match read(&object(PrivateKey, &good), &our_terms()) {
                Ok(secret) => {
                    assert_eq!(secret.as_bytes(), b"KEY");
                    passed += 1;
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(passed > 0 && refused > 0, "the race was not run: {passed} passed, {refused} refused");
}

#[test]
fn gives_only_content_that_passed_while_a_parent_is_exchanged() {
    let scratch = Scratch::new();
    let good = scratch.folder("good", US, 0o700);
    scratch.key("good/a.key");
    let bad = scratch.folder("bad", US, 0o777);
    scratch.file("bad/a.key", b"BAD", US, 0o600);
    exchanging(&good, &bad, || {
        for _ in 0..3000 {
            if let Ok(secret) = read(&object(PrivateKey, good.join("a.key")), &our_terms()) {
                assert_eq!(secret.as_bytes(), b"KEY");
            }
        }
    });
}

#[test]
fn is_never_led_through_a_link_that_takes_a_folders_place() {
    let scratch = Scratch::new();
    let good = scratch.folder("good", US, 0o700);
    scratch.key("good/a.key");
    scratch.folder("elsewhere", US, 0o700);
    scratch.file("elsewhere/a.key", b"BAD", US, 0o600);
    let link = scratch.link("link", "elsewhere");
    exchanging(&good, &link, || {
        for _ in 0..3000 {
            if let Ok(secret) = read(&object(PrivateKey, good.join("a.key")), &our_terms()) {
                assert_eq!(secret.as_bytes(), b"KEY");
            }
        }
    });
}
