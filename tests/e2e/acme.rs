//! Certificates by ACME, against Debian's Pebble: from the configuration to the handshake.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::pebble::{HTTP, HTTPS, Pebble};
use crate::support::{Flux, Running, curl, run, set_mode, wait};

/// For `hosts` in TOML, with further keys of `[acme]`.
fn flux(pebble: &Pebble, hosts: &str, keys: &str) -> Flux {
    let issuer = format!(
        "directory = \"{}\"\nca_file = \"$DIR/ca.pem\"\nterms_of_service_agreed = true\n{keys}",
        pebble.url()
    );
    flux_by(pebble, hosts, &issuer)
}

/// The same with all keys of `[acme]` but the storage.
fn flux_by(pebble: &Pebble, hosts: &str, keys: &str) -> Flux {
    let config = format!(
        "[[vhosts]]\nhosts = [{hosts}]\ncertificate = \"acme\"\nredirect = \"https\"\n\
         basic_auth = {{ users_file = \"$DIR/users\" }}\n\
         routes = [{{ path = \"/\", respond = {{ status = 204 }} }}]\n\
         [acme]\nstorage = {{ path = \"$DIR/state\" }}\n{keys}\n"
    );
    let server = format!("http = [\"{0}:{HTTP}\"]\nhttps = [\"{0}:{HTTPS}\"]", pebble.ip);
    let flux = Flux::server(&server, &config).file("ca.pem", &pebble.ca()).file("users", USERS.as_bytes());
    std::fs::create_dir(flux.dir.path().join("state")).unwrap();
    set_mode(&flux.dir.path().join("state"), 0o700);
    set_mode(&flux.dir.path().join("users"), 0o600);
    flux
}

/// Nobody knows the password.
const USERS: &str =
    "nobody:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE\n";

/// The certificate that is shown for `host`, as text.
fn shown(pebble: &Pebble, host: &str) -> String {
    let at = format!("{}:{HTTPS}", pebble.ip);
    let script = format!(
        "openssl s_client -connect {at} -servername {host} </dev/null 2>/dev/null | openssl x509 -noout -text"
    );
    String::from_utf8(run("sh", "dash", &["-c", &script]).stdout).unwrap()
}

/// Whether a client that believes Pebble's CA is content with what it gets for `host`.
fn is_good(pebble: &Pebble, root: &Path, host: &str) -> bool {
    let at = format!("{host}:{HTTPS}:{}", pebble.ip);
    let url = format!("https://{host}:{HTTPS}/");
    let args = ["-s", "--max-time", "5", "--cacert", root.to_str().unwrap(), "--resolve", &at, &url];
    run("curl", "curl", &args).status.success()
}

fn until(what: &str, limit: u64, running: &Running, pebble: &Pebble, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(limit);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: {}\n{}", running.said(), pebble.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn until_good(pebble: &Pebble, running: &Running, host: &str) {
    let root = running.dir.path().join("root.pem");
    std::fs::write(&root, pebble.root()).unwrap();
    until(host, 30, running, pebble, || is_good(pebble, &root, host));
}

#[test]
fn a_placeholder_stands_in_until_http_01_has_brought_the_certificate() {
    let pebble = Pebble::start();
    pebble.signal(Signal::SIGSTOP);
    let running = flux(&pebble, "\"a.test\"", "").start();
    let placeholder = shown(&pebble, "a.test");
    assert!(
        placeholder.contains("no certificate yet") && placeholder.contains("DNS:a.test"),
        "{placeholder}"
    );
    pebble.signal(Signal::SIGCONT);
    until_good(&pebble, &running, "a.test");
    assert!(shown(&pebble, "a.test").contains("id-ecPublicKey"));
    let metrics = String::from_utf8(curl(&[&format!("http://{}/metrics", running.metrics())])).unwrap();
    assert!(
        metrics.contains("fluxheim_acme_orders_total{issuer=\"default\",result=\"issued\"} 1"),
        "{metrics}"
    );
    // Only what is there is answered: all else is as if there were no ACME.
    let url = format!("http://{}:{HTTP}/.well-known/acme-challenge/{}", pebble.ip, "x".repeat(43));
    let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: a.test", &url]);
    assert_eq!(status, b"308");
}

#[test]
fn a_certificate_that_is_kept_is_served_by_the_next_process_at_once() {
    let pebble = Pebble::start();
    let mut running = flux(&pebble, "\"a.test\"", "").start();
    until_good(&pebble, &running, "a.test");
    let root = running.dir.path().join("root.pem");
    running.signal(Signal::SIGKILL);
    running.wait();
    let (config, issued) = (running.config.clone(), pebble.said().matches("Issued certificate").count());
    pebble.signal(Signal::SIGSTOP);
    let again = Command::new(env!("CARGO_BIN_EXE_fluxheim"))
        .args(["--config", config.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut again = Reaped(again);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_good(&pebble, &root, "a.test") {
        assert!(Instant::now() < deadline && again.0.try_wait().unwrap().is_none(), "not served");
        std::thread::sleep(Duration::from_millis(20));
    }
    pebble.signal(Signal::SIGCONT);
    assert_eq!(pebble.said().matches("Issued certificate").count(), issued);
}

struct Reaped(std::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn tls_alpn_01_with_an_rsa_key_though_half_of_all_nonces_are_refused() {
    let pebble = Pebble::with(&json!({}), &[("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "50")]);
    let keys = "challenge = \"tls-alpn-01\"\nkey_type = \"rsa-2048\"\nbefore_first = \"refuse\"";
    pebble.signal(Signal::SIGSTOP);
    let running = flux(&pebble, "\"a.test\"", keys).start();
    assert_eq!(shown(&pebble, "a.test"), "", "nothing to show");
    pebble.signal(Signal::SIGCONT);
    until_good(&pebble, &running, "a.test");
    assert!(shown(&pebble, "a.test").contains("rsaEncryption"));
}

#[test]
fn an_account_is_bound_to_the_customers_where_the_ca_wants_it() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let settings =
        json!({ "externalAccountBindingRequired": true, "externalAccountMACKeys": { "kid-1": key } });
    let pebble = Pebble::with(&settings, &[("PEBBLE_VA_NOSLEEP", "1")]);
    let keys = "external_account = { key_id_file = \"$DIR/kid\", hmac_key_file = \"$DIR/hmac\" }";
    let flux = flux(&pebble, "\"a.test\"", keys).file("kid", b"kid-1\n").file("hmac", key.as_bytes());
    for name in ["kid", "hmac"] {
        set_mode(&flux.dir.path().join(name), 0o600);
    }
    let running = flux.start();
    until_good(&pebble, &running, "a.test");
    assert!(!running.said().contains(key));
}

#[test]
fn the_second_issuer_does_where_the_first_is_down() {
    let pebble = Pebble::start();
    let issuers = format!(
        "[[acme.issuers]]\nname = \"down\"\ndirectory = \"https://{0}:1/dir\"\nterms_of_service_agreed = true\n\
         [[acme.issuers]]\nname = \"up\"\ndirectory = \"{1}\"\nca_file = \"$DIR/ca.pem\"\n\
         terms_of_service_agreed = true\n",
        pebble.ip,
        pebble.url()
    );
    let running = flux_by(&pebble, "\"a.test\", \"b.test\"", &issuers).start();
    until_good(&pebble, &running, "a.test");
    until_good(&pebble, &running, "b.test");
    let said = running.wait_for("no certificate was issued");
    assert_eq!(said["issuer"], "down");
    assert!(said["reason"].as_str().unwrap().contains("can't be reached"), "{said}");
    let metrics = String::from_utf8(curl(&[&format!("http://{}/metrics", running.metrics())])).unwrap();
    assert!(metrics.contains("fluxheim_acme_orders_total{issuer=\"up\",result=\"issued\"} 2"), "{metrics}");
}

#[test]
fn a_refusal_is_told_in_the_cas_words_and_no_restart_is_a_way_around_the_pause() {
    let pebble = Pebble::start();
    // Nobody answers for this name at the CA.
    let mut running = flux(&pebble, "\"a.test\", \"nobody.invalid\"", "").start();
    until_good(&pebble, &running, "a.test");
    let elsewhere = r#"{"host":"nobody.invalid","addresses":["127.0.0.9"]}"#;
    curl(&["-d", elsewhere, &format!("http://{}:8055/add-a", pebble.ip)]);
    running.signal(Signal::SIGKILL);
    running.wait();
    for kind in ["certificates", "orders", "schedules"] {
        std::fs::remove_dir_all(running.dir.path().join("state").join(kind)).unwrap();
    }
    let log = |name: &str| std::fs::read_to_string(running.dir.path().join(name)).unwrap();
    let start = |name: &str| {
        let log = std::fs::File::create(running.dir.path().join(name)).unwrap();
        let started = Command::new(env!("CARGO_BIN_EXE_fluxheim"))
            .args(["--config", running.config.to_str().unwrap()])
            .stderr(log)
            .stdout(std::process::Stdio::null())
            .spawn();
        Reaped(started.unwrap())
    };
    let refused = |name: &str| {
        let log = log(name);
        let lines = log.lines().filter(|line| line.contains("no certificate was issued"));
        lines.filter(|line| line.contains("\"host\":\"nobody.invalid\"")).count()
    };
    let schedule = running.dir.path().join("state/schedules/nobody.invalid");
    let failures = || std::fs::read_to_string(&schedule).is_ok_and(|kept| kept.contains("\"failures\":1"));
    let first = start("first");
    wait(|| (refused("first") == 1 && failures()).then_some(()))
        .unwrap_or_else(|| panic!("{}", log("first")));
    assert!(log("first").contains("check\":\"see that the name leads to this server"), "{}", log("first"));
    drop(first);
    // It is not asked again before its time, whoever starts anew.
    let _second = start("second");
    wait(|| log("second").contains("\"ready\"").then_some(())).unwrap_or_else(|| panic!("{}", log("second")));
    std::thread::sleep(Duration::from_secs(5));
    assert!(refused("second") == 0 && failures(), "{}", log("second"));
}

#[test]
fn certificates_are_renewed_long_before_they_end() {
    let pebble = Pebble::with(&json!({ "certificateValidityPeriod": 30 }), &[("PEBBLE_VA_NOSLEEP", "1")]);
    let running = flux(&pebble, "\"a.test\"", "").start();
    until_good(&pebble, &running, "a.test");
    let root = running.dir.path().join("root.pem");
    let serial = |text: &str| {
        text.lines()
            .skip_while(|line| !line.contains("Serial"))
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let first = serial(&shown(&pebble, "a.test"));
    let mut gaps = 0;
    until("renewal", 29, &running, &pebble, || {
        gaps += usize::from(!is_good(&pebble, &root, "a.test"));
        serial(&shown(&pebble, "a.test")) != first
    });
    assert_eq!(gaps, 0, "it was good all the time");
}

#[test]
fn five_hundred_names_several_at_once() {
    let pebble = Pebble::start();
    let hosts: Vec<_> = (0..500).map(|n| format!("\"n{n}.test\"")).collect();
    let keys = "max_orders_per_hour = 1000\nmax_concurrent_orders = 16";
    let running = flux(&pebble, &hosts.join(", "), keys).start();
    let certificates = running.dir.path().join("state/certificates");
    let count = || std::fs::read_dir(&certificates).map_or(0, |found| found.count());
    until("500 certificates", 300, &running, &pebble, || count() >= 500);
    until_good(&pebble, &running, "n0.test");
    until_good(&pebble, &running, "n499.test");
}

#[test]
fn two_hundred_kills_at_random_instants_lose_nothing() {
    let pebble = Pebble::with(&json!({}), &[("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "10")]);
    let hosts = "\"a.test\", \"b.test\", \"c.test\"";
    let mut running = flux(&pebble, hosts, "max_orders_per_hour = 100000").start();
    running.signal(Signal::SIGKILL);
    running.wait();
    let state = running.dir.path().join("state");
    let names = ["a.test", "b.test", "c.test"];
    let mut removed = 0;
    for round in 0..200 {
        // Something to do each time.
        removed +=
            usize::from(std::fs::remove_file(state.join("certificates").join(names[round % 3])).is_ok());
        let _ = std::fs::remove_dir_all(state.join("schedules"));
        let mut child = Reaped(
            Command::new(env!("CARGO_BIN_EXE_fluxheim"))
                .args(["--config", running.config.to_str().unwrap()])
                .stdout(std::process::Stdio::null())
                .stderr(std::fs::File::create(running.dir.path().join("log")).unwrap())
                .spawn()
                .unwrap(),
        );
        std::thread::sleep(Duration::from_millis(fastrand::u64(1..700)));
        let log = || std::fs::read_to_string(running.dir.path().join("log")).unwrap();
        assert!(child.0.try_wait().unwrap().is_none(), "round {round}: {}", log());
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        for word in ["can't be used", "damaged", "can't be read", "fault of the program"] {
            assert!(!log().contains(word), "round {round}: {}", log());
        }
        let accounts = std::fs::read_dir(state.join("accounts")).map_or(0, |found| {
            found
                .filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
                .count()
        });
        assert!(accounts <= 1, "round {round}: one account is enough");
    }
    assert!(removed > 20, "certificates were issued in between: {removed}");
    let last = Reaped(
        Command::new(env!("CARGO_BIN_EXE_fluxheim"))
            .args(["--config", running.config.to_str().unwrap()])
            .spawn()
            .unwrap(),
    );
    let root = running.dir.path().join("root.pem");
    std::fs::write(&root, pebble.root()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !names.iter().all(|name| is_good(&pebble, &root, name)) {
        assert!(Instant::now() < deadline, "{}", pebble.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(last);
}
