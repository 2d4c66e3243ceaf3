//! `--exec`: the same start, but init becomes the proxy, played by the stand-in.
//!
//! What the proxy makes of it is seen with the real one, in tests/container.

use nix::sys::signal::Signal;

use crate::scene::{INIT, Running, Scene, until};

fn start(scene: &Scene, act: &str) -> Running {
    let mut command = scene.command(INIT, act);
    command.arg("--exec").args(scene.arguments());
    Running::of(command)
}

#[test]
fn becomes_the_proxy_and_leaves_no_parent() {
    let scene = Scene::new("");
    let proxy = start(&scene, "legacy");
    scene.wait_for("started");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", proxy.pid())).unwrap();
    assert_ne!(name.trim(), "fluxheim-init");
    assert!(proxy.children().is_empty());
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.end().0, 0);
    assert!(scene.has("stopped"));
}

#[test]
fn leaves_what_it_saw_and_did_to_be_judged() {
    let scene = Scene::new("");
    let proxy = start(&scene, "legacy");
    scene.wait_for("legacy");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.end().0, 0);
    let told = std::fs::read_to_string(scene.path("legacy")).unwrap();
    assert!(told.contains("Clean(\"objects judged: 0"), "{told}");
    assert!(told.contains("uid: Some(0)"), "{told}");
}

#[test]
fn loses_no_term_sent_before_the_proxy_listens() {
    for _ in 0..20 {
        let scene = Scene::new("");
        let proxy = start(&scene, "legacy");
        let status = format!("/proc/{}/status", proxy.pid());
        until("blocked signals", || {
            let status = std::fs::read_to_string(&status).unwrap();
            status.lines().any(|line| line.starts_with("SigBlk:") && !line.ends_with("0000000000000000"))
        });
        proxy.signal(Signal::SIGTERM);
        assert_eq!(proxy.end().0, 0);
        assert!(scene.has("stopped"));
    }
}

#[test]
fn what_has_no_meaning_to_a_proxy_does_not_end_it() {
    let scene = Scene::new("");
    let proxy = start(&scene, "legacy");
    scene.wait_for("started");
    let ignored = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for signal in [Signal::SIGUSR1 as u32, Signal::SIGUSR2 as u32, Signal::SIGPWR as u32, 37] {
        assert_ne!(ignored & (1 << (signal - 1)), 0, "{signal}");
    }
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.end().0, 0);
}

#[test]
fn a_large_environment_is_no_hindrance() {
    let scene = Scene::new("");
    let mut command = scene.command(INIT, "legacy");
    command.arg("--exec").args(scene.arguments());
    for number in 0..400 {
        command.env(format!("{}_{number}_TOKEN", "X".repeat(200)), "x");
    }
    let proxy = Running::of(command);
    scene.wait_for("started");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.end().0, 0);
}

#[test]
fn a_program_that_is_not_there_is_127() {
    let scene = Scene::new("");
    let mut command = scene.command(INIT, "");
    command.args(["--exec", "--proxy", "/no/such/program", "--config"]).arg(scene.path("fluxheim.toml"));
    let (code, text) = Running::of(command).end();
    assert_eq!(code, 127, "{text}");
    assert!(text.contains("can't execute /no/such/program"), "{text}");
}
