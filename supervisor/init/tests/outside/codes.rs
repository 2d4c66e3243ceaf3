use std::process::Command;

use crate::scene::{INIT, Running, Scene};

fn code_of(act: &str) -> i32 {
    Scene::new("").start(act).end().0
}

#[test]
fn passes_the_proxy_s_code_on() {
    for code in [0, 1, 3, 78, 255] {
        assert_eq!(code_of(&format!("exit={code}")), code);
    }
}

#[test]
fn adds_128_to_the_signal_that_ended_the_proxy() {
    // Not 11: the stand-in's standard library has a handler for it.
    for signal in [6, 9, 10, 15] {
        assert_eq!(code_of(&format!("signal={signal}")), 128 + signal);
    }
}

#[test]
fn a_missing_proxy_is_127_and_an_unusable_one_126() {
    for (name, code) in [("missing", 127), ("fluxheim.toml", 126)] {
        let scene = Scene::new("");
        let mut command = scene.command(INIT, "");
        command.arg("--config").arg(scene.path("fluxheim.toml")).arg("--proxy").arg(scene.path(name));
        let (seen, text) = Running::of(command).end();
        assert_eq!(seen, code);
        assert!(text.contains("can't execute") && text.contains(name), "{text}");
    }
}

#[test]
fn a_wrong_command_line_is_64() {
    let output = Command::new(INIT).arg("--fly").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--help"));
}

#[test]
fn a_missing_or_wrong_configuration_is_78_and_starts_nothing() {
    let scene = Scene::new("nonsense = 1\n");
    let (code, text) = scene.start("serve").end();
    assert_eq!(code, 78);
    assert!(text.contains("fluxheim.toml:3:"), "{text}");
    assert!(!scene.has("executed"));
    std::fs::remove_file(scene.path("fluxheim.toml")).unwrap();
    assert_eq!(scene.start("serve").end().0, 78);
}

#[test]
fn a_proxy_that_never_reports_is_killed_after_ten_seconds() {
    let (code, text) = Scene::new("").start("silent").end();
    assert_eq!(code, 70);
    assert!(text.contains("never handed in its report"), "{text}");
}

#[test]
fn help_and_version_do_what_they_say() {
    let say = |argument: &str| Command::new(INIT).arg(argument).output().unwrap();
    assert!(String::from_utf8_lossy(&say("--help").stdout).contains("--check-tls-storage"));
    let version = say("--version");
    let version = String::from_utf8_lossy(&version.stdout);
    assert!(version.starts_with("fluxheim-init ") && version.contains("commit"), "{version}");
}
