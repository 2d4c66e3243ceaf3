//! SIGHUP: all of the new configuration or none of it.

use nix::sys::signal::Signal;

use crate::support::{Flux, certificate, request};

const SITE: &str = "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/one\"\n";

#[test]
fn swaps_in_a_new_configuration() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").file("two/index.html", b"two").start();
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("/one", "/two")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(request(flux.http(), "a", "/").body, b"two");
}

#[test]
fn keeps_the_old_configuration_and_lists_every_mistake() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").start();
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, format!("{text}\n[limitz]\n[logging]\nlevle = 1\n")).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    let mistakes = line["mistakes"].as_str().unwrap();
    assert!(mistakes.contains("limitz") && mistakes.contains("levle"), "{mistakes}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    assert!(flux.dir.path().exists());
}

#[test]
fn takes_no_first_key_without_a_new_start() {
    let flux = Flux::with(SITE).file("one/index.html", b"one").start();
    certificate(flux.dir.path(), "a", &["a.test"]);
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let with_key = format!("{text}\n[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n");
    std::fs::write(&flux.config, with_key).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    assert!(line["mistakes"].as_str().unwrap().contains("restart"), "{line}");
}

/// A site outside the configuration's own folder.
fn elsewhere(site: &std::path::Path) -> Flux {
    std::fs::create_dir(site.join("one")).unwrap();
    std::fs::write(site.join("one/index.html"), "one").unwrap();
    Flux::with(&SITE.replace("$DIR", site.to_str().unwrap()))
}

#[test]
fn names_the_folder_that_a_confined_process_can_not_reach() {
    let site = crate::support::folder();
    let flux = elsewhere(site.path()).start();
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
    std::fs::create_dir(site.path().join("two")).unwrap();
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("/one", "/two")).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    let told = line["mistakes"].as_str().unwrap();
    assert!(told.contains(site.path().join("two").to_str().unwrap()) && told.contains("restart"), "{told}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
}

#[test]
fn tells_a_folder_that_was_replaced_under_its_name() {
    let site = crate::support::folder();
    let flux = elsewhere(site.path()).start();
    std::fs::rename(site.path().join("one"), site.path().join("old")).unwrap();
    std::fs::create_dir(site.path().join("one")).unwrap();
    flux.signal(Signal::SIGHUP);
    let line = flux.wait_for("reload refused: the running configuration stays");
    assert!(line["mistakes"].as_str().unwrap().contains("/one"), "{line}");
    assert_eq!(request(flux.http(), "a", "/").body, b"one");
}
