use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};

use crate::scene::{INIT, QUICK_STOP, Running, Scene, until};

/// A signal by its number, real-time ones too.
fn send(init: &Running, signal: i32) {
    let line = format!("kill -{signal} {}", init.pid());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

#[test]
fn term_stops_the_proxy_gracefully() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.wait_for("started");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert!(scene.has("stopped"));
}

#[test]
fn forwards_what_the_proxy_handles() {
    let scene = Scene::new("");
    let init = scene.start("record");
    scene.wait_for("started");
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        init.signal(signal);
        scene.wait_for(&format!("got-{signal}"));
    }
    assert_eq!(init.end().0, 0);
}

#[test]
fn keeps_from_the_proxy_what_would_end_or_stop_it() {
    let scene = Scene::new("");
    let init = scene.start("record");
    scene.wait_for("started");
    let noted = [Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGXCPU];
    let silent = [Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
    let own = [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGUSR1];
    for signal in noted.iter().chain(&silent).chain(&own).chain(&noted) {
        init.signal(*signal);
    }
    // Time for a forwarded one to reach the stand-in before TERM ends it.
    std::thread::sleep(Duration::from_millis(200));
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 0, "{text}");
    for signal in noted.iter().chain(&silent).chain(&own) {
        assert!(!scene.has(&format!("got-{signal}")), "{signal}");
    }
    assert_eq!(text.matches("SIGALRM is ignored").count(), 1, "{text}");
    assert_eq!(text.matches("SIGUSR2 is reserved").count(), 1, "{text}");
    assert!(!text.contains("SIGWINCH"), "{text}");
}

#[test]
fn stops_on_what_managers_halt_an_init_with() {
    // SIGPWR and SIGRTMIN+3, which no name of nix stands for.
    for halt in [Signal::SIGPWR as i32, 37] {
        let scene = Scene::new("");
        let init = scene.start("record");
        scene.wait_for("started");
        send(&init, halt);
        let (code, text) = init.end();
        assert_eq!(code, 0, "{text}");
        assert!(scene.has("got-SIGTERM"), "{halt}");
    }
}

#[test]
fn other_real_time_signals_are_ignored_with_one_line_each() {
    let scene = Scene::new("");
    let init = scene.start("record");
    scene.wait_for("started");
    for signal in [34, 40, 40, 64] {
        send(&init, signal);
    }
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 0, "{text}");
    for name in ["SIGRTMIN+0", "SIGRTMIN+6", "SIGRTMIN+30"] {
        assert_eq!(text.matches(&format!("{name} is ignored")).count(), 1, "{text}");
    }
}

#[test]
fn prints_the_report_of_the_start_again_on_usr1() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.wait_for("started");
    init.signal(Signal::SIGUSR1);
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 0, "{text}");
    let reports: Vec<&str> = text.split("fluxheim-init: posture: ").skip(1).collect();
    assert_eq!(reports.len(), 2, "{text}");
    assert_eq!(reports[0], reports[1]);
    assert!(reports[1].ends_with("verdict: ok\n"), "{text}");
}

#[test]
fn says_so_when_there_is_no_report_yet() {
    let scene = Scene::new(QUICK_STOP);
    let init = scene.start("silent");
    until("a child", || !init.children().is_empty());
    init.signal(Signal::SIGUSR1);
    init.signal(Signal::SIGTERM);
    let (_, text) = init.end();
    assert_eq!(text.matches("no posture report yet").count(), 1, "{text}");
}

#[test]
fn a_terminal_s_interrupt_reaches_the_proxy_once() {
    let scene = Scene::new("");
    let mut command = scene.command(INIT, "record");
    let init = {
        command.args(scene.arguments()).process_group(0);
        Running::of(command)
    };
    scene.wait_for("started");
    killpg(init.pid(), Signal::SIGINT).unwrap();
    scene.wait_for("got-SIGINT");
    // Time for a second one to arrive.
    std::thread::sleep(Duration::from_millis(200));
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert_eq!(std::fs::read_to_string(scene.path("got-SIGINT")).unwrap(), ".");
}

#[test]
fn an_early_hangup_waits_until_the_proxy_is_ready() {
    let scene = Scene::new("");
    let init = scene.start("late");
    scene.wait_for("started");
    init.signal(Signal::SIGHUP);
    // Long enough for a forwarded one to end the stand-in, which doesn't handle it yet.
    std::thread::sleep(Duration::from_millis(200));
    scene.write("open", "", 0o644);
    scene.wait_for("got-SIGHUP");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
}

#[test]
fn a_closed_stderr_costs_lines_and_not_the_proxy() {
    let scene = Scene::new("");
    let mut init = scene.start("serve");
    init.close_stderr();
    scene.write("open", "", 0o644);
    scene.wait_for("started");
    init.signal(Signal::SIGUSR1);
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert!(scene.has("stopped"));
}

#[test]
fn loses_no_term_sent_as_soon_as_the_child_exists() {
    for attempt in 0..100 {
        let scene = Scene::new("");
        let init = scene.start("serve");
        until("a child", || !init.children().is_empty());
        init.signal(Signal::SIGTERM);
        let (code, text) = init.end();
        // 143 before the stand-in blocks TERM, 0 after.
        assert!(code == 143 || code == 0, "attempt {attempt}: {code}: {text}");
    }
}

#[test]
fn loses_no_term_sent_as_soon_as_init_itself_blocks_it() {
    for attempt in 0..20 {
        let scene = Scene::new("");
        let init = scene.start("serve");
        let blocks = format!("/proc/{}/status", init.pid());
        until("blocked signals", || {
            let status = std::fs::read_to_string(&blocks).unwrap();
            status.lines().any(|line| line.starts_with("SigBlk:") && !line.ends_with("0000000000000000"))
        });
        init.signal(Signal::SIGTERM);
        let code = init.end().0;
        assert!(code == 143 || code == 0, "attempt {attempt}: {code}");
    }
}

#[test]
fn kills_a_proxy_that_does_not_stop_in_time() {
    let scene = Scene::new(QUICK_STOP);
    let init = scene.start("stubborn");
    scene.wait_for("started");
    let asked = Instant::now();
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 137);
    assert!(text.contains("killing it"), "{text}");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(1_750) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn kills_a_stopped_proxy_in_time_too() {
    let scene = Scene::new(QUICK_STOP);
    let init = scene.start("serve");
    scene.wait_for("started");
    kill(init.children()[0], Signal::SIGSTOP).unwrap();
    let asked = Instant::now();
    init.signal(Signal::SIGTERM);
    let (code, text) = init.end();
    assert_eq!(code, 137, "{text}");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(1_750) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn kills_in_time_though_nobody_reads_stderr() {
    let scene = Scene::new(QUICK_STOP);
    let init = scene.start_unread("stubborn");
    scene.wait_for("started");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 137);
}

#[test]
fn the_proxy_is_asked_to_stop_when_init_is_lost() {
    let scene = Scene::new("");
    let init = scene.start("serve");
    scene.wait_for("started");
    kill(init.pid(), Signal::SIGKILL).unwrap();
    scene.wait_for("stopped");
}

#[test]
fn a_terminal_that_nobody_reads_does_not_hold_init_up() {
    let scene = Scene::new(QUICK_STOP);
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = scene.command(crate::scene::INIT, "serve");
    command.args(scene.arguments()).stderr(std::process::Stdio::from(terminal.slave));
    let init = crate::scene::Running::of(command);
    scene.wait_for("started");
    // Each prints the whole report; a terminal holds about 4 KiB of it.
    for _ in 0..5 {
        init.signal(Signal::SIGUSR1);
        std::thread::sleep(Duration::from_millis(50));
    }
    init.signal(Signal::SIGTERM);
    assert_eq!(init.end().0, 0);
    assert!(scene.has("stopped"));
    drop(terminal.master);
}
