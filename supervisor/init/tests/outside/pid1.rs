//! As the init of a pid namespace of its own, as in a container.

use nix::sys::signal::{Signal, kill};

use crate::scene::{INIT, LONG_STOP, QUICK_STOP, Running, Scene, children, until};

fn start(scene: &Scene, act: &str) -> Running {
    let mut command = scene.command("unshare", act);
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(INIT).args(scene.arguments());
    Running::of(command)
}

/// Sends a signal to the namespace's PID 1, from outside.
fn signal(unshare: &Running, signal: Signal) {
    until("PID 1", || !unshare.children().is_empty());
    kill(unshare.children()[0], signal).unwrap();
}

#[test]
fn is_pid_1_and_passes_codes_on() {
    let scene = Scene::new("");
    assert_eq!(start(&scene, "exit=3").end().0, 3);
    assert_eq!(start(&scene, "signal=9").end().0, 137);
}

#[test]
fn forwards_term_from_outside() {
    let scene = Scene::new("");
    let unshare = start(&scene, "serve");
    scene.wait_for("started");
    signal(&unshare, Signal::SIGTERM);
    assert_eq!(unshare.end().0, 0);
    assert!(scene.has("stopped"));
}

#[test]
fn loses_no_term_sent_as_soon_as_the_child_exists() {
    for attempt in 0..20 {
        let scene = Scene::new("");
        let unshare = start(&scene, "serve");
        until("a child of PID 1", || {
            unshare.children().first().is_some_and(|init| !children(*init).is_empty())
        });
        signal(&unshare, Signal::SIGTERM);
        let code = unshare.end().0;
        assert!(code == 143 || code == 0, "attempt {attempt}: {code}");
    }
}

#[test]
fn reaps_ten_thousand_orphans() {
    assert_eq!(start(&Scene::new(""), "orphans=10000").end().0, 0);
}

#[test]
fn a_stop_amid_ten_thousand_orphans_keeps_the_code() {
    let scene = Scene::new(LONG_STOP);
    let unshare = start(&scene, "burst=10000");
    scene.wait_for("started");
    signal(&unshare, Signal::SIGTERM);
    let (code, text) = unshare.end();
    assert_eq!(code, 7, "{text}");
    assert!(scene.has("done"), "whoever made orphans was not awaited: {text}");
}

#[test]
fn asks_and_awaits_a_grandchild_with_a_session_of_its_own() {
    let scene = Scene::new("");
    assert_eq!(start(&scene, "straggler=below").end().0, 5);
    assert!(scene.has("done"));
}

#[test]
fn prints_the_report_again_when_asked_from_outside() {
    let scene = Scene::new("");
    let unshare = start(&scene, "serve");
    scene.wait_for("started");
    signal(&unshare, Signal::SIGUSR1);
    signal(&unshare, Signal::SIGTERM);
    let (code, text) = unshare.end();
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("verdict: ok").count(), 2, "{text}");
}

#[test]
fn lets_a_straggler_finish() {
    let scene = Scene::new("");
    assert_eq!(start(&scene, "straggler=finish").end().0, 5);
    assert!(scene.has("done"));
}

#[test]
fn kills_a_straggler_that_ignores_term() {
    let (code, text) = start(&Scene::new(QUICK_STOP), "straggler=ignore").end();
    assert_eq!(code, 5);
    assert!(text.contains("killing them"), "{text}");
}

#[test]
fn answers_probes_of_its_own_namespaces_only() {
    let scene = Scene::new("");
    let unshare = start(&scene, "serve");
    scene.write("open", "", 0o644);
    scene.wait_for("started");
    let init = unshare.children()[0].to_string();
    let config = format!("--config={}", scene.path("fluxheim.toml").display());
    let inside = |arguments: &[&str]| {
        let mut probe = scene.command("nsenter", "");
        probe.args(["--target", &init, "--pid", "--mount"]).arg(INIT).args(["--health", "--ready"]);
        probe.args(arguments).output().unwrap().status.code()
    };
    until("readiness", || inside(&[&config]) == Some(0));
    // As the image's own health check asks.
    assert_eq!(inside(&[]), Some(0));
    assert_eq!(scene.call(&["--health"]).status.code(), Some(75));
    signal(&unshare, Signal::SIGTERM);
    assert_eq!(unshare.end().0, 0);
}
