//! Certificates by ACME, against the tests' own server: what Pebble has not got, and what it would not do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::acme_directory::{
    Chain, Directory, Endpoint, Fault, Problem, Profile, Setup, What, Window,
};
use crate::support::{ADMIN, Flux, Running, curl, run, set_mode, wait};

/// The configuration for those hosts, with more keys of `[acme]`.
fn flux(directory: &Directory, hosts: &str, keys: &str) -> Flux {
    let config = format!(
        "[[vhosts]]\nhosts = [{hosts}]\ncertificate = \"acme\"\n\
         routes = [{{ path = \"/\", respond = {{ status = 204 }} }}]\n\
         [acme]\ndirectory = \"{}\"\nca_file = \"$DIR/ca.pem\"\nterms_of_service_agreed = true\n\
         storage = {{ path = \"$DIR/state\" }}\n{keys}\n",
        directory.url()
    );
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &config)
        .file("ca.pem", directory.web_root_pem().as_bytes())
        .file("root.pem", directory.root_pem().as_bytes());
    std::fs::create_dir(flux.dir.path().join("state")).unwrap();
    set_mode(&flux.dir.path().join("state"), 0o700);
    flux
}

/// The same for one host, with an admin socket.
fn administered(directory: &Directory, keys: &str) -> Flux {
    let flux = flux(directory, "\"a.test\"", keys);
    std::fs::create_dir(flux.dir.path().join("run")).unwrap();
    set_mode(&flux.dir.path().join("run"), 0o700);
    flux
}

/// Started, and known to the CA before it looks.
fn start(directory: &Directory, flux: Flux) -> Running {
    directory.fail(Fault::at(Endpoint::Directory, What::Slow(Duration::from_secs(1))));
    let running = flux.start();
    let (http, https) = (running.http().port(), running.https().port());
    directory.change(|setup| (setup.http_port, setup.tls_port) = (http, https));
    running
}

/// Started again over the state of `running`, as if it were time for whatever was put off.
fn again(directory: &Directory, running: Running, next: Flux, forgetting: bool) -> Running {
    let (from, to) = (running.dir.path().join("state"), next.dir.path().join("state"));
    drop_hard(&running);
    std::fs::remove_dir(&to).unwrap();
    let copied = run("cp", "coreutils", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    assert!(copied.status.success());
    if forgetting {
        std::fs::remove_dir_all(to.join("schedules")).unwrap();
    }
    drop(running);
    start(directory, next)
}

fn drop_hard(running: &Running) {
    running.signal(nix::sys::signal::Signal::SIGKILL);
}

/// Whether a client that believes the CA gets an answer for `host`.
fn is_served(running: &Running, host: &str) -> bool {
    let (address, root) = (running.https(), running.dir.path().join("root.pem"));
    let at = format!("{host}:{}:{}", address.port(), address.ip());
    let url = format!("https://{host}:{}/", address.port());
    let arguments =
        ["-sS", "-f", "--max-time", "5", "--cacert", root.to_str().unwrap(), "--resolve", &at, &url];
    run("curl", "curl", &arguments).status.success()
}

fn until_served(running: &Running, host: &str) {
    wait(|| is_served(running, host).then_some(())).unwrap_or_else(|| panic!("{host}: {}", running.said()));
}

#[test]
fn renews_when_the_ca_asks_to_and_says_what_is_replaced() {
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let due = Window::between(now - 2 * hour, now - hour);
    let directory = Directory::start(Setup { renewal: Some(due), ..Setup::default() });
    let running = start(&directory, flux(&directory, "\"a.test\"", ""));
    let second = wait(|| directory.issued().get(1).cloned());
    // Or it would go on like that.
    directory.change(|setup| setup.renewal = Some(Window::of_life(0.6, 0.7)));
    let second = second.unwrap_or_else(|| panic!("{}", running.said()));
    let first = directory.issued().remove(0);
    assert_eq!(second.replaces, Some(first.renewal_id));
    assert_ne!(second.public_key, first.public_key, "each certificate has a key of its own");
    until_served(&running, "a.test");
}

#[test]
fn asks_for_the_profile_and_for_none_that_is_not_offered() {
    let life = Duration::from_secs(6 * 24 * 3600);
    let profiles = vec![Profile { name: "short".into(), life }];
    let directory = Directory::start(Setup { profiles, ..Setup::default() });
    let running = start(&directory, flux(&directory, "\"a.test\"", "profile = \"short\""));
    until_served(&running, "a.test");
    let issued = directory.issued().remove(0);
    assert_eq!(issued.profile.as_deref(), Some("short"));
    assert_eq!(issued.not_after.duration_since(issued.not_before).unwrap(), life);

    let running = start(&directory, flux(&directory, "\"b.test\"", "profile = \"long\""));
    let told = || running.said().contains("no profile \\\"long\\\"").then_some(());
    wait(told).unwrap_or_else(|| panic!("{}", running.said()));
    assert_eq!(directory.issued().len(), 1);
}

#[test]
fn a_wrong_certificate_is_never_served() {
    for chain in [Chain::OtherKey, Chain::OtherName, Chain::Expired, Chain::Garbage, Chain::Empty] {
        let directory = Directory::start(Setup::default());
        directory.fail(Fault::at(Endpoint::Certificate, What::Chain(chain)));
        let running = start(&directory, flux(&directory, "\"a.test\"", ""));
        running.wait_for("no certificate was issued");
        assert_eq!(directory.issued().len(), 1);
        assert!(!is_served(&running, "a.test"));
        let running = again(&directory, running, flux(&directory, "\"a.test\"", ""), true);
        until_served(&running, "a.test");
    }
}

#[test]
fn comes_back_when_the_ca_says_over_a_restart_too() {
    let directory = Directory::start(Setup::default());
    directory.fail(Fault::at(Endpoint::NewOrder, What::Problem(Problem::rate_limited(5000))).always());
    let running = start(&directory, flux(&directory, "\"a.test\"", ""));
    running.wait_for("no certificate was issued");
    let due = |running: &Running| {
        let metrics = curl(&[&format!("http://{}/metrics", running.metrics())]);
        let text = String::from_utf8(metrics).unwrap();
        let line =
            text.lines().find(|line| line.starts_with("fluxheim_acme_next_attempt_timestamp_seconds{"))?;
        let at: f64 = line.rsplit(' ').next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        (at - now > 4000.0).then_some(())
    };
    wait(|| due(&running)).unwrap_or_else(|| panic!("{}", running.said()));
    assert_eq!(directory.count(Endpoint::NewOrder), 1);
    let running = again(&directory, running, flux(&directory, "\"a.test\"", ""), false);
    wait(|| due(&running)).unwrap_or_else(|| panic!("{}", running.said()));
    assert_eq!(directory.count(Endpoint::NewOrder), 1, "a restart is no way around");
}

#[test]
fn whoever_orders_hears_which_issuer_asked_to_wait_and_until_when() {
    let directory = Directory::start(Setup::default());
    directory.fail(Fault::at(Endpoint::NewOrder, What::Problem(Problem::rate_limited(5000))).always());
    let running = start(&directory, administered(&directory, ADMIN));
    running.wait_for("no certificate was issued");
    let told = running.ctl("certs renew a.test");
    let said = "issuer default asked to wait until ";
    assert!(told.code == Some(75) && told.err.contains(said) && told.err.contains(" GMT"), "{told:?}");
    let waiting = running.wait_for("no certificate is ordered yet");
    assert!(waiting["reason"].as_str().unwrap().starts_with(said), "{waiting}");
    assert_eq!(waiting["host"], "a.test");
    assert_eq!(directory.count(Endpoint::NewOrder), 1);
    // It stands beside what stands in, too.
    let told = running.ctl("certs list");
    assert!(told.out.contains("placeholder: 1 failed: the CA asks to wait: "), "{told:?}");
}

#[test]
fn a_list_tells_what_is_wrong_with_renewals() {
    let directory = Directory::start(Setup::default());
    let running = start(&directory, administered(&directory, ADMIN));
    until_served(&running, "a.test");
    let state = || {
        let told = running.ctl("certs list --format json");
        let told: Value = serde_json::from_str(&told.out).unwrap();
        let one = &told["certificates"][0];
        (one["state"].as_str().unwrap().to_owned(), one["detail"].as_str().map(str::to_owned))
    };
    assert_eq!(wait(|| Some(state()).filter(|(state, _)| state == "good")).unwrap().1, None);
    let refusal = Problem::new(403, "rejectedIdentifier", "not for the likes of you");
    directory.fail(Fault::at(Endpoint::NewOrder, What::Problem(refusal)).always());
    assert_eq!(running.ctl("certs renew a.test").code, Some(75));
    let (_, detail) = wait(|| Some(state()).filter(|(state, _)| state == "failing")).unwrap();
    assert!(detail.unwrap().starts_with("1 failed: not for the likes of you"), "{}", running.said());
    let told = running.ctl("certs list");
    assert!(told.out.contains("  renewal FAILS: 1 failed: not for the likes of you"), "{told:?}");
    // What an operator revoked is told first.
    assert_eq!(running.ctl("certs revoke a.test --reason superseded").code, Some(0));
    wait(|| Some(state()).filter(|(state, _)| state == "revoked")).unwrap_or_else(|| panic!("{:?}", state()));
}

#[test]
fn an_answer_that_is_lost_loses_nothing() {
    for at in [Endpoint::NewAccount, Endpoint::NewOrder, Endpoint::Finalize] {
        let directory = Directory::start(Setup::default());
        directory.fail(Fault::at(at, What::DropAfter));
        let running = start(&directory, flux(&directory, "\"a.test\"", ""));
        running.wait_for("no certificate was issued");
        let running = again(&directory, running, flux(&directory, "\"a.test\"", ""), true);
        until_served(&running, "a.test");
        assert_eq!(directory.accounts(), 1, "{at:?}");
        assert_eq!(directory.issued().len(), 1, "{at:?}: what was certified is used");
    }
}

#[test]
fn addresses_get_certificates() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let directory = Directory::start(Setup::default());
        let keys = format!("challenge = \"{challenge}\"");
        let running = start(&directory, flux(&directory, "\"127.0.0.1\"", &keys));
        wait(|| directory.issued().first().cloned()).unwrap_or_else(|| panic!("{}", running.said()));
        assert_eq!(directory.issued().remove(0).names, ["127.0.0.1"], "{challenge}");
        until_served(&running, "127.0.0.1");
    }
}

/// What is revoked is replaced, although no order may be made just then and the process ends meanwhile.
#[test]
fn a_revoked_certificate_is_replaced_over_a_restart_too() {
    let directory = Directory::start(Setup::default());
    let keys = format!("max_orders_per_hour = 1\n{ADMIN}");
    let running = start(&directory, administered(&directory, &keys));
    until_served(&running, "a.test");
    let told = running.ctl("certs revoke a.test --reason key-compromise");
    assert!(told.code == Some(0) && told.out.contains("is revoked"), "{told:?}");
    // Revoked already: that is what was asked for.
    let told = running.ctl("certs revoke a.test --reason key-compromise");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(directory.issued().len(), 1, "no order may be made within the hour");
    let said = running.wait_for("no certificate is ordered yet");
    assert!(said["reason"].as_str().unwrap().contains("max_orders_per_hour"), "{said}");
    let next = administered(&directory, ADMIN);
    let running = again(&directory, running, next, false);
    let replaced = wait(|| (directory.issued().len() == 2).then_some(()));
    replaced.unwrap_or_else(|| panic!("{}", running.said()));
}
