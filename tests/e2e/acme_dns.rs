//! Certificates whose names are validated by DNS, from the configuration to the handshake: our own ACME server,
//! a real Knot.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::acme_directory::{Directory, Draft, Endpoint, Setup};
use crate::support::knot::{KEY, secret};
use crate::support::{Flux, Knot, Running, set_mode, wait};

/// The configuration for those hosts, with the files that it names.
fn flux(directory: &Directory, challenge: &str, hosts: &str, dns: &str) -> Flux {
    let config = format!(
        "[acme]\ndirectory = \"{}\"\nca_file = \"$DIR/ca.pem\"\nterms_of_service_agreed = true\n\
         challenge = \"{challenge}\"\nstorage = {{ path = \"$DIR/state\" }}\n{dns}\n\
         [[vhosts]]\nhosts = [{hosts}]\ncertificate = \"acme\"\n\
         routes = [{{ path = \"/\", respond = {{ status = 204 }} }}]\n",
        directory.url()
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &config)
        .file("ca.pem", directory.web_root_pem().as_bytes())
        .file("root.pem", directory.root_pem().as_bytes())
        .file("tsig", format!("hmac-sha256:{KEY}:{}\n", secret(KEY)).as_bytes());
    std::fs::create_dir(flux.dir.path().join("state")).unwrap();
    set_mode(&flux.dir.path().join("state"), 0o700);
    set_mode(&flux.dir.path().join("tsig"), 0o600);
    flux
}

fn updates(knot: &Knot) -> String {
    format!(
        "[acme.dns]\nprovider = \"rfc2136\"\nserver = \"{}\"\nkey_file = \"$DIR/tsig\"\npropagation_timeout = \"10s\"",
        knot.address.ip()
    )
}

/// Whether a client that believes the CA gets an answer for `host`.
fn is_served(running: &Running, host: &str) -> bool {
    let (address, root) = (running.https(), running.dir.path().join("root.pem"));
    let at = format!("{host}:{}:{}", address.port(), address.ip());
    let url = format!("https://{host}:{}/", address.port());
    let arguments = ["-sS", "--max-time", "5", "--cacert", root.to_str().unwrap(), "--resolve", &at, &url];
    crate::support::run("curl", "curl", &arguments).status.success()
}

pub(crate) fn until_served(running: &Running, host: &str) {
    wait(|| is_served(running, host).then_some(())).unwrap_or_else(|| panic!("{host}: {}", running.said()));
}

#[test]
fn a_name_and_its_wildcard_by_dynamic_updates() {
    let knot = Knot::serving(&[("a.test.", "")]);
    let directory = Directory::start(Setup { resolver: Some(knot.address), ..Setup::default() });
    let running = flux(&directory, "dns-01", "\"a.test\", \"*.a.test\"", &updates(&knot)).start();
    until_served(&running, "a.test");
    until_served(&running, "www.a.test");
    let mut names: Vec<_> = directory.issued().into_iter().flat_map(|issued| issued.names).collect();
    names.sort();
    assert_eq!(names, ["*.a.test", "a.test"]);
    let gone = || knot.ask("TXT", "_acme-challenge.a.test").is_empty().then_some(());
    wait(gone).expect("the records are taken away");
}

#[test]
fn a_key_that_may_not_is_told_with_what_to_mend() {
    let knot = Knot::with(&[("a.test.", "")], "action: transfer", "");
    let directory = Directory::start(Setup { resolver: Some(knot.address), ..Setup::default() });
    let running = flux(&directory, "dns-01", "\"a.test\"", &updates(&knot)).start();
    let told = wait(|| running.said().lines().find(|line| line.contains("BADKEY")).map(str::to_owned));
    let line: Value = serde_json::from_str(&told.unwrap_or_else(|| panic!("{}", running.said()))).unwrap();
    assert!(line.to_string().contains("none that may change this name"), "{line}");
    assert!(directory.issued().is_empty());
    assert!(!running.said().contains(&secret(KEY)));
}

/// The program, whose system resolver is `knot`.
pub(crate) fn resolving_by(knot: &Knot, flux: Flux) -> Running {
    let flux = flux.file("resolv.conf", format!("nameserver {}\n", knot.address.ip()).as_bytes());
    let (config, command) = (flux.write(), with_resolver(flux.dir.path()));
    flux.start_as(&config, command)
}

/// The same by the `resolv.conf` that is in `folder`.
pub(crate) fn with_resolver(folder: &Path) -> Command {
    let script = format!(
        "mount --bind {}/resolv.conf /etc/resolv.conf && exec {} \"$@\"",
        folder.display(),
        env!("CARGO_BIN_EXE_fluxheim")
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]);
    command
}

/// The record that the log asks for, once it does.
fn asked_for(running: &Running, name: &str) -> String {
    let start = format!("_validation-persist.{name}. IN TXT ");
    let find = || {
        let said = running.said().replace("\\\"", "\"");
        let text = said.split_once(&format!("{start}\""))?.1.split_once('"')?.0.to_owned();
        Some(format!("{start}\"{text}\""))
    };
    wait(find).unwrap_or_else(|| panic!("no record for {name} in {}", running.said()))
}

fn by_a_standing_record(draft: Draft) {
    let knot = Knot::serving(&[("a.test.", "")]);
    let setup = Setup { resolver: Some(knot.address), persist: draft, ..Setup::default() };
    let directory = Directory::start(setup);
    let running = resolving_by(&knot, flux(&directory, "dns-persist-01", "\"*.a.test\"", ""));
    let record = asked_for(&running, "a.test");
    assert_eq!(directory.count(Endpoint::NewOrder), 0, "nothing is ordered before the record stands");
    knot.update(&format!("zone a.test.\nadd {}", record.replacen(". IN ", ". 60 IN ", 1)));
    // Whoever has set the record need not wait for the next try.
    let running = again(running, &knot, &directory);
    until_served(&running, "www.a.test");
    assert_eq!(directory.accounts(), 1, "the account is kept over the restart");
}

/// Started again over the same state.
fn again(running: Running, knot: &Knot, directory: &Directory) -> Running {
    let next = flux(directory, "dns-persist-01", "\"*.a.test\"", "");
    let (from, to) = (running.dir.path().join("state"), next.dir.path().join("state"));
    std::fs::remove_dir(&to).unwrap();
    let copied =
        crate::support::run("cp", "coreutils", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    assert!(copied.status.success());
    // When it would have looked again.
    std::fs::remove_dir_all(to.join("schedules")).unwrap();
    drop(running);
    resolving_by(knot, next)
}

#[test]
fn a_wildcard_by_a_standing_record_of_draft_02() {
    by_a_standing_record(Draft::Two);
}

#[test]
fn a_wildcard_by_a_standing_record_of_draft_01() {
    by_a_standing_record(Draft::One);
}
