//! Certificates by ACME as clients see them.
#![allow(dead_code, reason = "every suite uses its own part")]

use std::time::{Duration, Instant};

use super::fixtures::run;

/// The serial number of what is served for `host` at `address`, if a CA has issued it.
pub(crate) fn serial(address: &str, host: &str) -> Option<String> {
    let script = format!(
        "timeout 10 openssl s_client -connect {address} -servername {host} </dev/null 2>/dev/null | openssl x509 -noout -serial -issuer -subject"
    );
    let output = run("sh", "dash", &["-c", &script]);
    let text = String::from_utf8(output.stdout).unwrap();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    // What stands in for a certificate has signed itself.
    let (issuer, subject) = (field("issuer=")?, field("subject=")?);
    (issuer != subject).then(|| field("serial=")).flatten()
}

/// Those of all `hosts`, once every one has its own.
pub(crate) fn serials(address: &str, hosts: &[&str]) -> Option<Vec<String>> {
    hosts.iter().map(|host| serial(address, host)).collect()
}

/// What `look` finds, within `patience`.
pub(crate) fn until<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether `metrics` say that ACME's storage answers.
pub(crate) fn storage_is_up(metrics: &str) -> bool {
    let value = metrics.lines().find_map(|line| line.strip_prefix("fluxheim_acme_storage_up "));
    value.expect("no such metric").trim() == "1"
}
