//! What only strace(1) shows or brings about: calls made or not made, refused, or held up.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::refusal::with_key_and;
use crate::scene::{INIT, Running, Scene, name_of, until};

/// fluxheim-init under strace, which writes to the scene's `trace`.
struct Traced {
    strace: Running,
    init: Pid,
}

fn trace(scene: &Scene, act: &str, options: &[&str]) -> Traced {
    let mut command = scene.command("strace", act);
    command.arg("-o").arg(scene.path("trace")).args(options).arg(INIT).args(scene.arguments());
    let strace = Running::of(command);
    let mut init = None;
    until("fluxheim-init", || {
        init = strace.children().into_iter().find(|pid| name_of(*pid) == "fluxheim-init");
        init.is_some()
    });
    Traced { init: init.unwrap(), strace }
}

fn traced(scene: &Scene) -> String {
    std::fs::read_to_string(scene.path("trace")).unwrap_or_default()
}

/// The trace of a start and a stop.
fn of_a_stop(options: &[&str]) -> String {
    let scene = Scene::new(TRACED);
    let all = [&["-e", "trace=pidfd_open,pidfd_send_signal,kill"], options].concat();
    let traced_init = trace(&scene, "serve", &all);
    scene.wait_for("started");
    kill(traced_init.init, Signal::SIGTERM).unwrap();
    let (code, text) = traced_init.strace.end();
    assert_eq!(code, 0, "{text}");
    assert!(scene.has("stopped"));
    traced(&scene)
}

#[test]
fn signals_are_sent_by_pidfd() {
    let calls = of_a_stop(&[]);
    let sent = |line: &str| line.starts_with("pidfd_send_signal(") && line.contains("SIGTERM, NULL, 0)");
    assert!(calls.lines().any(|line| sent(line) && line.ends_with("= 0")), "{calls}");
    assert!(!calls.lines().any(|line| line.starts_with("kill(")), "{calls}");
}

#[test]
fn without_pidfds_kill_does_it() {
    for (refused, errno) in
        [("pidfd_open", "ENOSYS"), ("pidfd_open", "EPERM"), ("pidfd_send_signal", "EPERM")]
    {
        let calls = of_a_stop(&["-e", &format!("inject={refused}:error={errno}")]);
        assert!(calls.contains(&format!("{errno} ")) && calls.contains("(INJECTED)"), "{calls}");
        assert!(calls.lines().any(|line| line.starts_with("kill(") && line.contains("SIGTERM")), "{calls}");
    }
}

#[test]
fn a_term_before_the_fork_is_not_lost() {
    let scene = Scene::new(TRACED);
    let hold = ["-e", "trace=clone,clone3", "-e", "inject=clone,clone3:delay_enter=1000000"];
    let Traced { strace, init } = trace(&scene, "serve", &hold);
    until("blocked signals", || blocks(init));
    kill(init, Signal::SIGTERM).unwrap();
    assert!(crate::scene::children(init).is_empty(), "it was after the fork");
    let (code, text) = strace.end();
    assert!(code == 143 || code == 0, "{code}: {text}");
}

#[test]
fn a_term_during_the_storage_check_is_not_lost() {
    let scene = with_key_and(0o600, TRACED);
    // The certificate is opened before the key; half a second between the two.
    let hold = ["-f", "-e", "trace=openat,fgetxattr", "-e", "inject=fgetxattr:delay_enter=500000"];
    let Traced { strace, init } = trace(&scene, "serve", &hold);
    until("the storage check", || traced(&scene).contains("\"a.pem\""));
    kill(init, Signal::SIGTERM).unwrap();
    assert!(!traced(&scene).contains("\"a.key\""), "it was after the check");
    let (code, text) = strace.end();
    assert!(code == 143 || code == 0, "{code}: {text}");
    assert!(traced(&scene).contains("\"a.key\""), "the check didn't go on");
}

#[test]
fn a_probe_never_forks() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.write("open", "", 0o644);
    scene.wait_for("started");
    for arguments in [&["--health"][..], &["--health", "--ready"], &["--posture", "--running"]] {
        until("readiness", || {
            let mut command = scene.command("strace", "");
            command.args(["-f", "-e", "trace=process", "-o"]).arg(scene.path("trace")).arg(INIT);
            command.args(arguments).arg("--config").arg(scene.path("fluxheim.toml"));
            Running::of(command).end().0 == 0
        });
        let calls = traced(&scene);
        let named = |name: &str| calls.lines().filter(|line| line.contains(name)).count();
        assert_eq!((named("execve("), named("exit_group(")), (1, 1), "{calls}");
        assert_eq!(named("fork(") + named("clone(") + named("clone3("), 0, "{calls}");
    }
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
}

fn blocks(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().any(|line| line.starts_with("SigBlk:") && !line.ends_with("0000000000000000"))
}

/// A traced proxy is refused, unless that is what is wanted.
const TRACED: &str = "[hardening]\ndumpable = \"observe\"\n";

#[test]
fn a_traced_proxy_is_refused() {
    let scene = Scene::hardened("");
    let mut command = scene.command("strace", "");
    command.args(["-f", "-qq", "-o", "/dev/null", crate::scene::INIT, "--posture", "--format", "json"]);
    command.arg("--config").arg(scene.path("fluxheim.toml")).stdout(std::process::Stdio::piped());
    let output = command.output().expect("strace is missing: apt-get install strace");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(78), "{report}");
    assert_eq!(report["refused"], serde_json::json!(["dumpable"]));
}
