//! What testssl.sh 3.0 finds (Debian's; it gives no grade), kept beside: a change of it is a change of what
//! we speak.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Flux, certificate, run};

/// Not about us: the fixture's self-signed certificate, the host's name, the tool, what the local OpenSSL can
/// test, and what depends on time: whether a ticket of TLS 1.3 comes while it still listens. That sessions are
/// taken up is tested in `tls`.
const APART: [&str; 13] = [
    "cert",
    "DNS_",
    "OCSP",
    "RC4",
    "TLS_session_ticket",
    "sessionresumption",
    "secure_client_renego",
    "scanTime",
    "engine",
    "service",
    "id",
    "pre_",
    "optimal_proto",
];

/// Versions, suites, groups, extensions and the known attacks; a minute of its own.
fn findings(more: &str) -> BTreeSet<String> {
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n[[vhosts]]\nhosts = [\"a.test\"]\n\
         routes = [{{ path = \"/\", respond = {{ status = 200, body = \"hello\" }} }}]\n{more}"
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let report = flux.dir.path().join("report.json");
    let target = format!("a.test:{}", flux.https().port());
    let args =
        ["--quiet", "--color", "0", "--warnings", "off", "--connect-timeout", "5", "--openssl-timeout", "5"];
    let what = ["--ip", "127.0.0.1", "--nodns", "min", "--fast", "-p", "-s", "-f", "-S", "-U"];
    let output = ["--jsonfile", report.to_str().unwrap(), &target];
    let all = [&["--kill-after=5", "280", "testssl"], &args[..], &what, &output].concat();
    let ran = run("timeout", "testssl.sh", &all);
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    let report = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {told}"));
    let report: Vec<Value> = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {told}"));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    report
        .iter()
        .filter(|one| !APART.iter().any(|apart| text(one, "id").starts_with(apart)))
        .map(|one| format!("{} {}: {}", text(one, "severity"), text(one, "id"), text(one, "finding")))
        .collect()
}

fn is_as_before(found: &BTreeSet<String>, golden: &str) {
    let expected: BTreeSet<_> = golden.lines().map(str::to_owned).collect();
    let all = found.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    assert_eq!(found, &expected, "all of it:\n{all}");
    assert!(found.iter().all(|line| !line.starts_with("HIGH") && !line.starts_with("CRITICAL")), "{all}");
}

#[test]
fn testssl_finds_of_the_intermediate_profile_what_it_found_before() {
    is_as_before(&findings(""), include_str!("testssl/intermediate.txt"));
}

#[test]
fn testssl_finds_of_the_modern_profile_what_it_found_before() {
    is_as_before(&findings("[tls]\nprofile = \"modern\"\n"), include_str!("testssl/modern.txt"));
}
