use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::scene::{INIT, Running, Scene, name_of, until};

fn blocks_term(pid: nix::unistd::Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (Signal::SIGTERM as i32 - 1)) != 0
}

#[test]
fn ends_early_on_term() {
    let mut command = Scene::new("").command(INIT, "");
    command.args(["--sleep", "60"]);
    let sleeper = Running::of(command);
    until("blocked signals", || blocks_term(sleeper.pid()));
    sleeper.signal(Signal::SIGTERM);
    assert_eq!(sleeper.end(), (143, String::new()));
}

#[test]
fn ends_early_on_term_as_pid_1_too() {
    let mut command = Scene::new("").command("unshare", "");
    command.args(["--pid", "--fork", "--kill-child", INIT, "--sleep", "60"]);
    let unshare = Running::of(command);
    until("PID 1", || {
        unshare.children().first().is_some_and(|pid| name_of(*pid) == "fluxheim-init" && blocks_term(*pid))
    });
    kill(unshare.children()[0], Signal::SIGTERM).unwrap();
    assert_eq!(unshare.end(), (143, String::new()));
}

#[test]
fn other_signals_keep_their_default_action() {
    let mut sleeper = Command::new(INIT).args(["--sleep", "60"]).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(sleeper.id()).unwrap());
    until("blocked signals", || blocks_term(pid));
    kill(pid, Signal::SIGHUP).unwrap();
    assert_eq!(sleeper.wait().unwrap().signal(), Some(1));
}

#[test]
fn lasts_as_long_as_asked() {
    let start = Instant::now();
    assert!(Command::new(INIT).args(["--sleep", "1"]).status().unwrap().success());
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(Command::new(INIT).args(["--sleep", "0"]).status().unwrap().success());
}
