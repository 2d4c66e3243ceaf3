//! Certificates whose records are made by a program of the operator's: Debian's Pebble, a real Knot, `nsupdate`.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::acme_dns::{resolving_by, until_served, with_resolver};
use crate::support::hook::{Hook, script};
use crate::support::knot::{KEY, secret};
use crate::support::pebble::Pebble;
use crate::support::{Flux, Knot, Running, folder, set_mode, wait};

/// A proxy that waits for a program, for those hosts.
fn flux(pebble: &Pebble, hosts: &str, dns: &str) -> Flux {
    let config = format!(
        "[acme]\ndirectory = \"{}\"\nca_file = \"$DIR/ca.pem\"\nterms_of_service_agreed = true\n\
         challenge = \"dns-01\"\nstorage = {{ path = \"$DIR/state\" }}\n\
         [acme.dns]\nprovider = \"hook\"\nsocket = \"$DIR/run/hook.sock\"\npropagation_timeout = \"10s\"\n{dns}\n\
         [[vhosts]]\nhosts = [{hosts}]\ncertificate = \"acme\"\n\
         routes = [{{ path = \"/\", respond = {{ status = 204 }} }}]\n",
        pebble.url()
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config)
        .file("ca.pem", &pebble.ca())
        .file("root.pem", &pebble.root());
    for name in ["state", "run"] {
        std::fs::create_dir(flux.dir.path().join(name)).unwrap();
        set_mode(&flux.dir.path().join(name), 0o700);
    }
    flux
}

fn socket(flux: &Flux) -> PathBuf {
    flux.dir.path().join("run/hook.sock")
}

/// What adds and removes records at `knot` in `zone`, as an operator would write it; `first` is done before.
fn updating(flux: &Flux, knot: &Knot, zone: &str, first: &str) -> PathBuf {
    let text = format!(
        "echo \"$*\" >>\"${{0%/*}}/ran\"\n{first}\n\
         case $1 in present) line=\"add $2 60 TXT \\\"$3\\\"\" ;; cleanup) line=\"delete $2 TXT \\\"$3\\\"\" ;; *) exit 64 ;; esac\n\
         nsupdate -y hmac-sha256:{KEY}:{secret} <<END\nserver {ip} {port}\nzone {zone}\nupdate $line\nsend\nEND\n\
         code=$?; {last}; exit $code",
        secret = secret(KEY),
        ip = knot.address.ip(),
        port = knot.address.port(),
        last = "[ -z \"$after\" ] || eval \"$after\"",
    );
    script(flux.dir.path(), &text)
}

fn gone(knot: &Knot, name: &str) {
    wait(|| knot.ask("TXT", name).is_empty().then_some(())).expect("the records are taken away");
}

const QUICK: &[(&str, &str)] = &[("PEBBLE_VA_NOSLEEP", "1")];

#[test]
fn a_name_and_its_wildcard_by_a_program() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\", \"*.a.test\"", "");
    let socket = socket(&flux);
    // Both are shown by one name, and never at once.
    let alone =
        "mkdir \"${0%/*}/at-work\" || { echo two at once >&2; exit 9; }; after='rmdir \"${0%/*}/at-work\"'";
    let program = updating(&flux, &knot, "a.test.", alone);
    let hook = Hook::start(&socket, &["--zone", "a.test"], &program);
    let running = resolving_by(&knot, flux);
    until_served(&running, "a.test");
    until_served(&running, "www.a.test");
    gone(&knot, "_acme-challenge.a.test");
    let ran = std::fs::read_to_string(running.dir.path().join("ran")).unwrap();
    for verb in ["present", "cleanup"] {
        let line = format!("{verb} _acme-challenge.a.test. ");
        assert_eq!(ran.lines().filter(|ran| ran.starts_with(&line)).count(), 2, "{ran}");
    }
    assert!(!hook.said().contains("two at once"), "{}", hook.said());
    // Under the policy that lets it start nothing and connect to no such socket.
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let socket = std::fs::metadata(&socket).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o600);
}

#[test]
fn the_program_is_asked_for_the_name_that_a_cname_leads_to_and_for_nothing_outside_of_the_zone() {
    let knot = Knot::serving(&[("a.test.", "_acme-challenge CNAME keys.acme.a.test."), ("c.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\", \"c.test\"", "zone = \"a.test\"");
    let (socket, program) = (socket(&flux), updating(&flux, &knot, "a.test.", ""));
    let _hook = Hook::start(&socket, &[], &program);
    let running = resolving_by(&knot, flux);
    until_served(&running, "a.test");
    gone(&knot, "keys.acme.a.test");
    let outside = "_acme-challenge.c.test. is not in the zone a.test. that acme.dns.zone names";
    wait(|| running.said().contains(outside).then_some(())).unwrap_or_else(|| panic!("{}", running.said()));
    let ran = std::fs::read_to_string(running.dir.path().join("ran")).unwrap();
    assert!(ran.lines().all(|line| line.contains(" keys.acme.a.test. ")), "{ran}");
}

/// What is kept of all schedules.
fn kept(running: &Running) -> String {
    let files = std::fs::read_dir(running.dir.path().join("state/schedules")).into_iter().flatten();
    files
        .filter_map(|file| std::fs::read(file.ok()?.path()).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

/// What the proxy says of the first failure, and the schedule that it keeps.
fn first_failure(running: &Running) -> String {
    let line = running.wait_for("no certificate was issued");
    let kept = || {
        let folder = std::fs::read_dir(running.dir.path().join("state/schedules")).ok()?;
        let file =
            folder.filter_map(Result::ok).find(|file| file.metadata().is_ok_and(|seen| seen.len() > 0))?;
        std::fs::read_to_string(file.path()).ok().filter(|text| text.contains("\"failures\":1"))
    };
    wait(kept).expect("it is kept when to try again");
    line["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_program_that_fails_is_told_in_its_own_words_and_tried_again_later() {
    let knot = Knot::serving(&[("a.test.", "_acme-challenge CNAME keys.acme.a.test.")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\"", "");
    let program = script(flux.dir.path(), "echo \"$1\" >>\"${0%/*}/ran\"; echo 'quota exceeded' >&2; exit 4");
    let _hook = Hook::start(&socket(&flux), &[], &program);
    let running = resolving_by(&knot, flux);
    assert_eq!(first_failure(&running), "the program of fluxheim dns-hook exited with 4: quota exceeded");
    // It may have made the record all the same.
    let line = running.wait_for("the record of an order is not taken back yet");
    assert_eq!(line["error"], "the program of fluxheim dns-hook exited with 4: quota exceeded");
    assert_eq!(line["owner"], "keys.acme.a.test.");
    assert_eq!(line["value"].as_str().unwrap().len(), 43, "{line}");
    let ran = std::fs::read_to_string(running.dir.path().join("ran")).unwrap();
    assert_eq!(ran, "present\ncleanup\n");
}

#[test]
fn a_program_that_only_says_it_has_made_the_record_is_found_out() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\"", "").replacing("\"10s\"", "\"1s\"");
    let program = script(flux.dir.path(), "true");
    let _hook = Hook::start(&socket(&flux), &[], &program);
    let running = resolving_by(&knot, flux);
    let told = first_failure(&running);
    assert!(told.starts_with("_acme-challenge.a.test. was not visible within 1 s: ns.a.test."), "{told}");
}

#[test]
fn without_anybody_who_runs_a_program_the_order_fails_and_is_tried_again_later() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let running = resolving_by(&knot, flux(&pebble, "\"a.test\"", ""));
    let told = first_failure(&running);
    assert!(told.starts_with("no fluxheim dns-hook has come to /") && told.contains("start one"), "{told}");
    assert!(told.contains("/run/hook.sock within 5 s"), "{told}");
    assert!(!running.said().contains("the record of an order"), "none can be there: {}", running.said());
    assert!(!kept(&running).contains("_acme-challenge"), "{}", kept(&running));
}

#[test]
fn a_silent_program_costs_no_more_than_the_time_that_the_proxy_has() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\"", "timeout = \"1s\"");
    let program = script(flux.dir.path(), "sleep 3");
    let _hook = Hook::start(&socket(&flux), &[], &program);
    let told = first_failure(&resolving_by(&knot, flux));
    assert!(told.starts_with("fluxheim dns-hook has not answered within 1 s"), "{told}");
}

/// The record is there, and nobody has been told so yet.
#[test]
fn a_kill_between_making_a_record_and_taking_it_back_leaves_none() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"*.a.test\"", "");
    let once = "[ -e \"${0%/*}/slow\" ] || after='touch \"${0%/*}/slow\"; sleep 2'";
    let program = updating(&flux, &knot, "a.test.", once);
    let hook = Hook::start(&socket(&flux), &[], &program);
    let mut running = resolving_by(&knot, flux);
    let there = || (!knot.ask("TXT", "_acme-challenge.a.test").is_empty()).then_some(());
    wait(there).unwrap_or_else(|| panic!("no record: {}{}", running.said(), hook.said()));
    running.signal(Signal::SIGKILL);
    running.wait();
    let command = with_resolver(running.dir.path());
    let running = running.start_again_as(command);
    until_served(&running, "www.a.test");
    gone(&knot, "_acme-challenge.a.test");
    let ran = std::fs::read_to_string(running.dir.path().join("ran")).unwrap();
    let verbs: Vec<_> = ran.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(verbs, ["present", "present", "cleanup"], "of the same value: {ran}");
    assert_eq!(
        ran.lines().map(|line| line.rsplit(' ').next()).collect::<std::collections::BTreeSet<_>>().len(),
        1
    );
}

/// The CA has seen the record, and the order has moved on.
fn an_end_before_a_record_is_taken_back_leaves_none(signal: Signal) {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\"", "");
    let once = "[ $1 = present ] || [ -e \"${0%/*}/once\" ] || { touch \"${0%/*}/once\"; sleep 3; exit 1; }";
    let program = updating(&flux, &knot, "a.test.", once);
    let hook = Hook::start(&socket(&flux), &[], &program);
    let mut running = resolving_by(&knot, flux);
    let once = running.dir.path().join("once");
    wait(|| once.exists().then_some(())).unwrap_or_else(|| panic!("{}{}", running.said(), hook.said()));
    running.signal(signal);
    running.wait();
    assert!(!knot.ask("TXT", "_acme-challenge.a.test").is_empty(), "it is there");
    assert!(kept(&running).contains("\"name\":\"_acme-challenge.a.test\""), "{}", kept(&running));
    let command = with_resolver(running.dir.path());
    let running = running.start_again_as(command);
    until_served(&running, "a.test");
    gone(&knot, "_acme-challenge.a.test");
    wait(|| (!kept(&running).contains("_acme-challenge")).then_some(())).expect("it is forgotten then");
    let ran = std::fs::read_to_string(running.dir.path().join("ran")).unwrap();
    let verbs: Vec<_> = ran.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(verbs, ["present", "cleanup", "cleanup"], "{ran}");
}

#[test]
fn a_kill_before_a_record_is_taken_back_leaves_none() {
    an_end_before_a_record_is_taken_back_leaves_none(Signal::SIGKILL);
}

#[test]
fn a_stop_before_a_record_is_taken_back_leaves_none() {
    an_end_before_a_record_is_taken_back_leaves_none(Signal::SIGTERM);
}

/// The order is decided by the time the process runs again.
#[test]
fn a_kill_while_the_ca_validates_leaves_no_record_of_a_dynamic_update() {
    let name = "_acme-challenge.a.test";
    for _ in 0..5 {
        let knot = Knot::serving(&[("a.test.", "")]);
        // It waits for some of these seconds, by chance.
        let pebble = Pebble::resolving(knot.address, &[("PEBBLE_VA_SLEEPTIME", "10")]);
        let updates =
            format!("provider = \"rfc2136\"\nserver = \"{}\"\nkey_file = \"$DIR/tsig\"", knot.address.ip());
        let flux = flux(&pebble, "\"a.test\"", "")
            .replacing("provider = \"hook\"\nsocket = \"$DIR/run/hook.sock\"", &updates)
            .file("tsig", format!("hmac-sha256:{KEY}:{}\n", secret(KEY)).as_bytes());
        set_mode(&flux.dir.path().join("tsig"), 0o600);
        let mut running = resolving_by(&knot, flux);
        let there = || (!knot.ask("TXT", name).is_empty()).then_some(());
        wait(there).unwrap_or_else(|| panic!("no record: {}", running.said()));
        // Until the CA has been told.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        running.signal(Signal::SIGKILL);
        running.wait();
        if there().is_none() {
            continue;
        }
        std::thread::sleep(std::time::Duration::from_secs(10));
        let command = with_resolver(running.dir.path());
        let running = running.start_again_as(command);
        until_served(&running, "a.test");
        gone(&knot, name);
        wait(|| (!kept(&running).contains(name)).then_some(())).expect("it is forgotten then");
        return;
    }
    panic!("the CA did not wait in any of five orders");
}

#[test]
fn a_record_that_could_not_be_taken_back_is_tried_again_without_another_order() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let pebble = Pebble::resolving(knot.address, QUICK);
    let flux = flux(&pebble, "\"a.test\"", "");
    let once = "[ $1 = present ] || [ -e \"${0%/*}/once\" ] || { touch \"${0%/*}/once\"; exit 1; }";
    let program = updating(&flux, &knot, "a.test.", once);
    let _hook = Hook::start(&socket(&flux), &[], &program);
    let running = resolving_by(&knot, flux);
    until_served(&running, "a.test");
    running.wait_for("the record of an order is not taken back yet");
    // A quarter of a minute.
    std::thread::sleep(std::time::Duration::from_secs(12));
    gone(&knot, "_acme-challenge.a.test");
    let ran = std::fs::read_to_string(running.dir.path().join("ran")).unwrap();
    assert_eq!(ran.matches("present ").count(), 1, "{ran}");
}

#[test]
fn lets_its_own_user_and_root_in_and_nobody_else() {
    let pebble = Pebble::start();
    let flux = flux(&pebble, "\"a.test\"", "");
    let socket = socket(&flux);
    chown(flux.dir.path().join("state"), Some(65532), Some(65532)).unwrap();
    let running = flux.start_locking(1 << 20);
    // As if modes were no wall: what is left is the kernel's word on who connects.
    let run = running.dir.path().join("run");
    for (path, mode) in [(running.dir.path(), 0o755), (&run, 0o755), (&socket, 0o666)] {
        set_mode(path, mode);
    }
    let greeted = |uid: u32| {
        let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(10)\n\
                      s.connect(sys.argv[1])\nsys.stdout.write(s.recv(99).decode())";
        let mut command = Command::new("python3");
        command.args(["-c", script, socket.to_str().unwrap()]).uid(uid).gid(uid);
        String::from_utf8(command.output().expect("install it with: apt-get install -y python3").stdout)
            .unwrap()
    };
    for ours in [0, 65532] {
        assert_eq!(greeted(ours), "fluxheim dns-hook 1\n", "{ours}");
    }
    for stranger in [1000, 65531, 65534] {
        assert_eq!(greeted(stranger), "", "{stranger}");
    }
    let line = running.wait_for("dns-hook turned away: not the proxy's own user, nor root");
    assert_eq!(line["uid"], 1000);
    // What turns it away is told to whoever runs it.
    let elsewhere = folder();
    set_mode(elsewhere.path(), 0o755);
    let program = script(elsewhere.path(), "true");
    let hook = Hook::start_as(1000, &socket, &["--allow-uid", "65532"], &program);
    hook.wait_for("waiting for the proxy", "it does not let this user in");
}

#[test]
fn the_socket_is_refused_where_others_can_come_in_and_one_that_is_left_is_replaced() {
    let pebble = Pebble::start();
    let open = flux(&pebble, "\"a.test\"", "");
    set_mode(&open.dir.path().join("run"), 0o755);
    let output = open.run_to_end();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("socket folder of acme.dns.socket"), "{said}");
    let left = flux(&pebble, "\"a.test\"", "");
    drop(std::os::unix::net::UnixListener::bind(socket(&left)).unwrap());
    let path = socket(&left);
    let mut running = left.start();
    let mut greeting = String::new();
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.take(20).read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "fluxheim dns-hook 1\n");
    running.signal(Signal::SIGTERM);
    running.wait();
    assert!(!path.exists(), "it goes with the process");
}
