//! Clocks that jump, by Debian's faketime: the program that runs reads its time of day from a file, and
//! Pebble goes by the true one. Time that only passes (CLOCK_MONOTONIC, what timers go by) is left alone, as
//! it is where somebody sets a clock.
//!
//! libfaketime is loaded before the program confines itself, and reads its file anew at each question; the
//! file is in the folder of the configuration, which the program may read.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::support::issued::{self, until};
use crate::support::pebble::{HTTP, HTTPS, Pebble};
use crate::support::{Flux, Pki, Running, Wanted, curl, knot, run, set_mode};

/// Seconds that a certificate lives.
const LIFE: i64 = 3600;
const DAY: i64 = 86_400;
/// Everything is looked at anew within a minute.
const SOON: Duration = Duration::from_secs(75);

struct Clock {
    flux: Running,
    pebble: Pebble,
}

/// Of Debian's package; the variant for programs with threads.
fn library() -> String {
    let found = run("sh", "dash", &["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"]);
    let path = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    assert!(Path::new(&path).exists(), "no libfaketime; install it with: apt-get install -y faketime");
    path
}

impl Clock {
    fn start() -> Self {
        let ip = knot::own_address().ip();
        // The CA's own server is to be believed at any time.
        let pki = Pki::root("pebble");
        let folder = crate::support::folder();
        let (san, dates) = (format!("IP:{ip}"), Some(("20200101000000Z", "20491231000000Z")));
        let wanted = Wanted { usage: "serverAuth", dates, ..Wanted::client("/CN=pebble", &san) };
        let (certificate, key) = pki.certify(folder.path(), "pebble", wanted);
        let settings = json!({
            "certificate": certificate, "privateKey": key, "certificateValidityPeriod": LIFE,
        });
        let pebble = Pebble::believed(ip, &settings, &[("PEBBLE_VA_NOSLEEP", "1")], pki.pem().as_bytes());
        let config = format!(
            "[[vhosts]]\nhosts = [\"a.test\"]\ncertificate = \"acme\"\n\
             routes = [{{ path = \"/\", respond = {{ status = 204 }} }}]\n\
             [acme]\nstorage = {{ path = \"$DIR/state\" }}\ndirectory = \"{}\"\nca_file = \"$DIR/ca.pem\"\n\
             terms_of_service_agreed = true\n",
            pebble.url()
        );
        let server = format!("http = [\"{ip}:{HTTP}\"]\nhttps = [\"{ip}:{HTTPS}\"]");
        let flux = Flux::server(&server, &config).file("ca.pem", &pebble.ca()).file("clock", b"+0\n");
        std::fs::create_dir(flux.dir.path().join("state")).unwrap();
        set_mode(&flux.dir.path().join("state"), 0o700);
        let mut command = Command::new(env!("CARGO_BIN_EXE_fluxheim"));
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", flux.dir.path().join("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let path = flux.write();
        Self { flux: flux.start_as(&path, command), pebble }
    }

    /// The clock is so many seconds ahead from now on, or behind.
    fn set(&self, ahead: i64) {
        // Whole at any instant, as it is read all the time.
        let folder = self.flux.dir.path();
        std::fs::write(folder.join("clock.new"), format!("{ahead:+}\n")).unwrap();
        std::fs::rename(folder.join("clock.new"), folder.join("clock")).unwrap();
        let shown = || {
            let (at, now) = (self.now(), SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
            (at - i64::try_from(now).unwrap() - ahead).abs() < 5
        };
        until(Duration::from_secs(20), "a clock that was set", || shown().then_some(()));
    }

    /// What time the program has.
    fn now(&self) -> i64 {
        let date = curl(&[
            "-o",
            "/dev/null",
            "-w",
            "%header{date}",
            "-H",
            "Host: a.test",
            &format!("http://{}:{HTTP}/", self.pebble.ip),
        ]);
        let date = String::from_utf8(date).unwrap();
        let seconds = run("date", "coreutils", &["-d", &date, "+%s"]);
        String::from_utf8(seconds.stdout).unwrap().trim().parse().unwrap()
    }

    fn serial(&self) -> Option<String> {
        issued::serial(&format!("{}:{HTTPS}", self.pebble.ip), "a.test")
    }

    /// How many certificates the CA has issued.
    fn issued(&self) -> usize {
        self.pebble.said().matches("Issued certificate").count()
    }

    /// Seconds until something is due, by the program's clock.
    fn next(&self) -> i64 {
        let metrics = String::from_utf8(curl(&[&format!("http://{}/metrics", self.flux.metrics())])).unwrap();
        let line =
            metrics.lines().find(|line| line.starts_with("fluxheim_acme_next_attempt_timestamp_seconds{"));
        let value = line.unwrap_or_else(|| panic!("{metrics}")).rsplit(' ').next().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "seconds of this century")]
        let at = value.parse::<f64>().unwrap() as i64;
        at - self.now()
    }

    /// For a while, a certificate is served at any time, and no more than `most` others were issued; the last.
    fn is_calm(&self, most: usize) -> String {
        let (before, end) = (self.issued(), Instant::now() + SOON);
        let mut served = Vec::new();
        while Instant::now() < end {
            let serial = self.serial().unwrap_or_else(|| panic!("a gap: {}", self.flux.said()));
            served.push(serial);
            std::thread::sleep(Duration::from_secs(1));
        }
        served.dedup();
        let more = self.issued() - before;
        assert!(more <= most && served.len() <= most + 1, "{more} orders, {served:?}: {}", self.flux.said());
        served.pop().unwrap()
    }
}

#[test]
fn a_clock_that_jumps_makes_no_storm_and_no_gap() {
    let clock = Clock::start();
    let first = until(Duration::from_secs(30), "the first", || clock.serial());
    assert!((LIFE / 2..LIFE).contains(&clock.next()), "{}", clock.next());
    // Past two thirds of its life: renewed soon, though nobody was to look before an hour had passed.
    clock.set(LIFE * 3 / 4);
    let second = until(SOON, "a renewal", || clock.serial().filter(|serial| *serial != first));
    // The new one is as old by this clock: that is told, and is no reason for the next one, and the next.
    clock.flux.wait_for_start_of("by this machine's clock, the certificate that came just now is old");
    assert_eq!(clock.is_calm(0), second);
    assert!((1..LIFE / 4).contains(&clock.next()), "{}", clock.next());
    // Past its end: every new one has ended already too, and is not taken. What there is stays.
    clock.set(3 * LIFE);
    assert_eq!(clock.is_calm(3), second);
    let said = clock.flux.wait_for("no certificate was issued");
    assert!(said["reason"].as_str().unwrap().contains("is this machine's clock right?"), "{said}");
    assert!(clock.next() < 6 * 3600, "{}", clock.next());
    // A month back: no certificate has begun, and what was put off until then is not waited for. The order of
    // before goes on, and that is all.
    clock.set(-30 * DAY);
    clock.is_calm(1);
    assert!((0..31 * DAY).contains(&clock.next()), "{}", clock.next());
    // Right again.
    clock.set(0);
    clock.is_calm(1);
    assert!((0..LIFE).contains(&clock.next()), "{}", clock.next());
    assert!(!clock.flux.said().contains("panicked"), "{}", clock.flux.said());
}
