//! Files as OpenSSL makes them, and what is found about them.

mod chains;
mod keys;
mod lab;
mod leaves;
mod mutations;

use std::time::SystemTime;

use super::*;
use crate::testing::codes;
use lab::{Lab, SERVER};

const CERT: &str = "/tls/a.pem";
const KEY: &str = "/tls/a.key";

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn exact(names: &[&str]) -> Vec<HostPattern> {
    names.iter().map(|name| HostPattern::Exact((*name).to_owned())).collect()
}

fn pair<'a>(cert: &'a str, key: &'a str, hosts: &'a [HostPattern]) -> Pair<'a> {
    Pair {
        cert_path: Path::new(CERT),
        cert_pem: Some(cert.as_bytes()),
        key_path: Path::new(KEY),
        key_pem: Some(key.as_bytes()),
        hosts,
        now: now(),
    }
}

fn sense(cert: &str, key: &str) -> Sense {
    judge(&pair(cert, key, &exact(&["a.example"])))
}

fn judged_key(key: &str) -> Vec<Finding> {
    judge(&Pair { cert_pem: None, ..pair("", key, &[]) }).key
}

/// The one finding there is.
fn one(mut findings: Vec<Finding>) -> Finding {
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.remove(0)
}

#[test]
fn finds_nothing_wrong_with_a_good_pair_and_tells_its_facts() {
    let lab = Lab::new();
    let (cert, key) = (lab.signed("a", "root", SERVER, 90), lab.key("a"));
    let found = sense(&cert, &key);
    assert!(found.certificate.is_empty() && found.key.is_empty(), "{found:#?}");
    let facts = found.facts.unwrap();
    assert_eq!(facts.names, ["a.example", "*.w.example", "192.0.2.1"]);
    assert_eq!((facts.more_names, &*facts.key, &*facts.issuer), (0, "ECDSA P-256", "CN=root, O=Test"));
    assert!((facts.not_before - now()).abs() < 60);
    assert_eq!(facts.not_after - facts.not_before, 90 * 86_400);
}

#[test]
fn judges_either_file_alone() {
    let lab = Lab::new();
    let (cert, key) = (lab.signed("a", "root", SERVER, 5), lab.key("a"));
    let hosts = exact(&["b.example"]);
    let alone = judge(&Pair { key_pem: None, ..pair(&cert, "", &hosts) });
    assert_eq!(codes(&alone.certificate), ["name-not-covered"]);
    assert!(alone.key.is_empty() && alone.facts.is_some());
    let late = Pair { now: now() + 4 * 86_400, key_pem: None, ..pair(&cert, "", &[]) };
    assert_eq!(codes(&judge(&late).certificate), ["expires-soon"]);
    let alone = judge(&Pair { cert_pem: None, ..pair("", &key, &[]) });
    assert!(alone.certificate.is_empty() && alone.key.is_empty() && alone.facts.is_none());
    // A key that is refused leaves the certificate to be judged.
    let both = sense(&cert, "");
    assert_eq!((codes(&both.key), codes(&both.certificate)), (vec!["key-unusable"], vec![]));
}

#[test]
fn says_when_the_two_are_exchanged() {
    let lab = Lab::new();
    let (cert, key) = (lab.signed("a", "root", SERVER, 90), lab.key("a"));
    let found = sense(&key, &cert);
    assert_eq!(one(found.certificate).why, "cert and key seem to be exchanged");
    assert!(one(found.key).fix.ends_with("exchange the two"));
    // A key that may not be read, as certificates are open to everybody, says it by the other one.
    let alone = judge(&Pair { key_pem: None, ..pair(&key, "", &[]) });
    assert_eq!(one(alone.certificate).why, "cert and key seem to be exchanged");
}

#[test]
fn quotes_paths_in_commands() {
    let odd = Pair { cert_path: Path::new("/a b/c"), key_path: Path::new("/it's"), ..pair("", "", &[]) };
    let lab = Lab::new();
    let encrypted = lab.openssl("pkey -in root.key -aes256 -passout pass:x");
    let found = judge(&Pair { key_pem: Some(encrypted.as_bytes()), ..odd });
    assert_eq!(
        one(found.key).fix,
        r"openssl pkey -in '/it'\''s' -out '/it'\''s.new' && cat '/it'\''s.new' > '/it'\''s' && rm '/it'\''s.new'  # owner and mode stay, and guard it in place of the passphrase"
    );
    assert!(one(found.certificate).fix.contains("leaf first"));
}
