//! Rotations under way: what is read as a pair is a pair.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Identity;
use crate::testing::{Scratch, US, our_terms, us};

fn pair(cert: impl Into<std::path::PathBuf>, key: impl Into<std::path::PathBuf>) -> Pair {
    let (cert, key) = (cert.into(), key.into());
    Pair { name: "tls.certificates \"example\"".to_owned(), cert, key, hosts: Vec::new() }
}

/// What was read of both files, if both could be.
fn contents(moment: &Moment) -> Option<[&[u8]; 2]> {
    let [Some(chain), Some(key)] = &moment.contents else { return None };
    Some([chain.as_bytes(), key.as_bytes()])
}

#[test]
fn a_hundred_thousand_rotations_of_a_volume_never_give_a_mixed_pair() {
    const ROTATIONS: usize = 100_000;
    let scratch = Scratch::new();
    let volume = scratch.secret_volume(0o440, 2000, &[("tls.crt", b"0"), ("tls.key", b"0")]);
    let terms = Terms::strict(Identity { groups: vec![2000], ..us() });
    let pair = pair(volume.path("tls.crt"), volume.path("tls.key"));
    let done = AtomicBool::new(false);
    let (mut read, mut late, mut different) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=ROTATIONS {
                let content = number.to_string();
                volume.rotate(&[("tls.crt", content.as_bytes()), ("tls.key", content.as_bytes())]);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut last = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let moment = Moment::of(&pair, &Judge::new(&terms), Ground::new());
            match contents(&moment) {
                Some([chain, key]) => {
                    assert_eq!(chain, key, "a mixed pair after {read} reads");
                    read += 1;
                    different += usize::from(last != chain);
                    last = chain.to_vec();
                }
                None => late += 1,
            }
        }
    });
    // That both were at work at the same time.
    assert!(read > 1000 && different > 1000, "{read} reads, {different} different, {late} given up");
    assert!(late * 100 < read, "{late} of {read} given up");
}

#[test]
fn files_that_are_renamed_one_by_one_are_read_when_both_stay() {
    const ROTATIONS: usize = 2000;
    let scratch = Scratch::new();
    let write = |name: &str, content: &str| {
        scratch.file(&format!("{name}.new"), content.as_bytes(), US, 0o600);
        std::fs::rename(scratch.path(format!("{name}.new")), scratch.path(name)).unwrap();
    };
    write("a.pem", "0");
    write("a.key", "0");
    let pair = pair(scratch.path("a.pem"), scratch.path("a.key"));
    let terms = our_terms();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=ROTATIONS {
                write("a.pem", &number.to_string());
                write("a.key", &number.to_string());
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let moment = Moment::of(&pair, &Judge::new(&terms), Ground::new());
            if let Some([chain, key]) = contents(&moment) {
                let number = |bytes| std::str::from_utf8(bytes).unwrap().parse::<usize>().unwrap();
                // Between the two renames there is no pair to be had; never is it an older one.
                assert!(number(chain) - number(key) <= 1, "{} and {}", number(chain), number(key));
            }
        }
    });
    let moment = Moment::of(&pair, &Judge::new(&terms), Ground::new());
    assert_eq!(contents(&moment), Some([&b"2000"[..], b"2000"]));
}
