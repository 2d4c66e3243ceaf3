use std::ffi::OsString;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{INIT, Running, Scene};

fn names(report: &Value) -> Vec<&str> {
    report["controls"].as_array().unwrap().iter().map(|seen| seen["control"].as_str().unwrap()).collect()
}

#[test]
fn says_what_a_proxy_would_get_and_starts_none() {
    let scene = Scene::hardened("");
    let output = scene.call(&["--posture", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!((&report["schema"], &report["verdict"]), (&2.into(), &"ok".into()));
    let every: Vec<_> = fluxheim_config::Control::ALL.into_iter().map(|control| control.name()).collect();
    assert_eq!(names(&report), every);
    assert!(!scene.has("executed"));
}

#[test]
fn would_refuse_what_the_start_refuses() {
    let scene = Scene::hardened("[hardening]\nmemory_lock = \"required\"\n");
    let mut command = scene.command("sh", "");
    // A finite limit, whatever the machine's own is.
    command.args(["-c", "ulimit -l 64 && exec \"$0\" --posture --format json --config \"$1\"", INIT]);
    let output = command.arg(scene.path("fluxheim.toml")).stdout(Stdio::piped()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(78), "{report}");
    assert_eq!((&report["verdict"], &report["refused"][0]), (&"refused".into(), &"memory_lock".into()));
}

#[test]
fn what_is_off_is_not_applied() {
    let scene = Scene::new("[hardening]\nno_new_privs = \"off\"\ncoredump_filter = \"observe\"\n");
    let output = scene.call(&["--posture", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let result = |control| crate::unprivileged::result(&report, control).to_owned();
    assert_eq!(result("no_new_privs"), "not_applicable", "{report}");
    assert_eq!(result("coredump_filter"), "violated", "{report}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_running_instance_tells_what_it_was_judged_to_have() {
    let scene = Scene::new("");
    let absent = scene.call(&["--posture", "--running"]);
    assert_eq!(absent.status.code(), Some(75));
    let init = scene.start("serve");
    scene.wait_for("started");
    let text = scene.call(&["--posture", "--running"]);
    assert_eq!(text.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&text.stdout).trim_end().ends_with("verdict: ok"));
    let json = scene.call(&["--posture", "--running", "--format", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["verdict"], "ok");
    let proxy = init.children()[0].to_string();
    let evidence = report["controls"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains(&format!("/proc/{proxy}/limits")), "{evidence}");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
}

/// What fluxheim-init with these arguments says on a terminal, with `more` in its environment.
fn on_a_terminal(scene: &Scene, arguments: &[OsString], (name, value): (&str, &str)) -> String {
    let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
    let line = format!("{INIT} {}", words.join(" "));
    let mut command = scene.command("script", "more-secrets");
    command.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm").env(name, value);
    let output = command.stdout(Stdio::piped()).output();
    let output = output.expect("script is missing: apt-get install bsdutils");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.trim_end().contains("verdict: ok"), "{text}");
    text
}

#[test]
fn a_terminal_gets_colour_unless_it_was_told_otherwise() {
    let scene = Scene::new("");
    let mut asked = vec!["--posture".into(), "--running".into()];
    asked.extend(scene.arguments().into_iter().take(2));
    // The start itself, on stderr behind the prefix.
    let text = on_a_terminal(&scene, &scene.arguments(), ("X", "x"));
    assert!(text.contains("fluxheim-init: \x1b[32mok\x1b[0m"), "{text:?}");
    let init = scene.start("serve");
    scene.wait_for("started");
    let text = on_a_terminal(&scene, &asked, ("X", "x"));
    assert!(text.contains("\x1b[32mok\x1b[0m"), "{text:?}");
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = on_a_terminal(&scene, &asked, plain);
        assert!(!text.contains('\x1b'), "{plain:?}: {text:?}");
    }
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 0);
    // Its stderr is a pipe.
    assert!(text.contains("fluxheim-init: ok") && !text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_descriptor_left_open_does_not_reach_the_proxy() {
    let scene = Scene::new("");
    let mut command = scene.command("sh", "serve");
    command.args(["-c", "exec 7</dev/null 9</dev/null && exec \"$0\" \"$@\"", INIT]).args(scene.arguments());
    let init = Running::of(command);
    scene.wait_for("started");
    assert!(!holds(&init, 7) && !holds(&init, 9), "init keeps them itself");
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 0);
    assert!(text.contains("held 0, 1, 2 and the handoff only"), "{text}");
    let closed = text.lines().find(|line| line.contains("were closed")).unwrap_or_else(|| panic!("{text}"));
    // Whoever runs the tests may leave others open.
    let (_, numbers) = closed.rsplit_once(": ").unwrap();
    let numbers: Vec<&str> = numbers.split(", ").collect();
    assert!(numbers.contains(&"7") && numbers.contains(&"9"), "{closed}");
}

#[test]
fn a_descriptor_left_open_is_found_where_it_is_only_observed() {
    let scene = Scene::new("[hardening]\nfds = \"observe\"\n");
    let mut command = scene.command("sh", "serve");
    command.args(["-c", "exec 7</dev/null && exec \"$0\" \"$@\"", INIT]).args(scene.arguments());
    let init = Running::of(command);
    scene.wait_for("started");
    assert!(holds(&init, 7), "closed though only observed");
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 0);
    assert!(text.contains("also held 7"), "{text}");
    assert!(!text.contains("were closed"), "{text}");
}

/// Whether the descriptor is open in init itself and is what the tests left there; init's own may
/// have got the number.
fn holds(init: &Running, number: i32) -> bool {
    let link = format!("/proc/{}/fd/{number}", init.pid());
    std::fs::read_link(link).is_ok_and(|target| target == std::path::Path::new("/dev/null"))
}
