//! Rotations under way: what is read as a pair is a pair.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Identity;
use crate::testing::{Scratch, US, our_terms, us};

fn pair(cert: impl Into<std::path::PathBuf>, key: impl Into<std::path::PathBuf>) -> Pair {
    let (cert, key) = (cert.into(), key.into());
    let name = "tls.certificates \"example\"".to_owned();
    Pair { name, cert, key, hosts: Vec::new(), shown_to: ShownTo::Clients }
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

/// A self-signed pair for `names`, the key the service user's.
fn real_pair(scratch: &Scratch, name: &str, names: &[&str]) -> Pair {
    let (cert, key) = (scratch.path(format!("{name}.pem")), scratch.path(format!("{name}.key")));
    let san = names.iter().map(|name| format!("DNS:{name}")).collect::<Vec<_>>().join(",");
    let output = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "90",
        ])
        .args(["-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", &format!("subjectAltName={san}"), "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output();
    assert!(output.expect("openssl is missing: apt-get install openssl").status.success());
    scratch.own(&format!("{name}.key"), US);
    pair(cert, key)
}

fn host(name: &str) -> fluxheim_config::HostPattern {
    fluxheim_config::HostPattern::Exact(name.to_owned())
}

fn verdicts(report: &crate::StorageReport) -> Vec<String> {
    let codes = |object: &ObjectReport| crate::testing::codes(&object.findings).join(" ");
    report.objects.iter().map(|object| format!("{}: {}", object.verdict(), codes(object))).collect()
}

#[test]
fn looks_at_what_the_files_are_in_the_same_pass() {
    let scratch = Scratch::new();
    let (a, b) = (real_pair(&scratch, "a", &["a.test"]), real_pair(&scratch, "b", &["b.test"]));
    let crossed = Pair { key: b.key.clone(), ..a.clone() };
    let elsewhere = Pair { hosts: vec![host("c.test")], ..a.clone() };
    let items = [a.clone(), crossed.clone(), elsewhere].map(crate::Item::Pair).to_vec();
    let report = crate::check(&crate::Inventory { items, by_name: vec![] }, &our_terms(), How::FULL);
    assert_eq!(
        verdicts(&report),
        ["ok: ", "ok: ", "ok: ", "refused: key-mismatch", "warning: name-not-covered", "ok: "]
    );
    assert_eq!(report.objects[0].certificate.as_ref().unwrap().names, ["a.test"]);
    // A pair that is being renewed file by file may fit again by the next look.
    assert_eq!(report.outcome(), crate::Outcome::MayHeal);
    // The load says the same, and gives what was judged.
    let refused = read_pair(&crossed, &our_terms()).unwrap_err();
    assert_eq!(crate::testing::codes(&refused[0].findings), ["key-mismatch"]);
    let read = read_pair(&a, &our_terms()).unwrap();
    assert!(read.warnings.is_empty() && read.key.as_bytes().starts_with(b"-----BEGIN"));
}

#[test]
fn reads_no_key_where_only_access_is_asked() {
    let scratch = Scratch::new();
    let crossed =
        Pair { key: real_pair(&scratch, "b", &["b.test"]).key, ..real_pair(&scratch, "a", &["a.test"]) };
    let inventory = crate::Inventory { items: vec![crate::Item::Pair(crossed)], by_name: vec![] };
    let report = crate::check(&inventory, &our_terms(), How::ACCESS);
    assert!(report.is_clean() && report.objects[0].certificate.is_none());
}

#[test]
fn says_which_hosts_no_certificate_is_for() {
    let scratch = Scratch::new();
    let items = [real_pair(&scratch, "a", &["a.test", "*.w.test"]), real_pair(&scratch, "b", &["b.test"])]
        .map(crate::Item::Pair)
        .to_vec();
    let named = |number: usize, name: &str| NamedHost { name: format!("vhosts {number}"), host: host(name) };
    let any = NamedHost { name: "vhosts 9".to_owned(), host: fluxheim_config::HostPattern::Any };
    let by_name = vec![named(1, "b.test"), named(2, "x.w.test"), any];
    let report =
        |by_name| crate::check(&crate::Inventory { items: items.clone(), by_name }, &our_terms(), How::FULL);
    assert_eq!(report(by_name.clone()).findings().next(), None);
    let bare = [by_name, vec![named(3, "c.test"), named(4, "y.x.w.test")]].concat();
    let report = report(bare);
    assert_eq!(verdicts(&report)[0], "warning: name-not-covered");
    let seen = &report.objects[0].findings[0].seen;
    assert_eq!(seen, "no certificate is for c.test of vhosts 3, y.x.w.test of vhosts 4");
}

#[test]
fn keeps_a_file_that_holds_both_as_the_secret_it_is() {
    let scratch = Scratch::new();
    let apart = real_pair(&scratch, "a", &["a.test"]);
    let both = [std::fs::read(&apart.cert).unwrap(), std::fs::read(&apart.key).unwrap()].concat();
    let path = scratch.file("both.pem", &both, US, 0o600);
    let read = read_pair(&pair(path.clone(), path), &our_terms()).unwrap();
    assert_ne!(read.chain.keeping(), crate::Keeping::Heap);
    assert_ne!(read.key.keeping(), crate::Keeping::Heap);
}

#[test]
fn refuses_a_key_in_a_certificates_file_only_where_others_can_read_it() {
    let scratch = Scratch::new();
    let pair = real_pair(&scratch, "a", &["a.test"]);
    let both = [std::fs::read(&pair.cert).unwrap(), std::fs::read(&pair.key).unwrap()].concat();
    for (mode, verdict) in [(0o600, "warning: key-in-certificate"), (0o644, "refused: key-in-certificate")] {
        scratch.file("a.pem", &both, US, mode);
        let items = vec![crate::Item::Pair(pair.clone())];
        let report = crate::check(&crate::Inventory { items, by_name: vec![] }, &our_terms(), How::FULL);
        assert_eq!(verdicts(&report)[0], verdict);
    }
}
