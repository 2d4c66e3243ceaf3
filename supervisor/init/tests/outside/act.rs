//! The stand-in for the proxy: this test program, started again by fluxheim-init.
//!
//! `FLUXHEIM_TEST_ACT` says what it plays, `FLUXHEIM_TEST_FOLDER` where it leaves marks.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fluxheim_config::{Control, Hardening, Level, Profile};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::handoff::{ProxyEnd, ProxyState, Verdict};
use fluxheim_posture::proxy::harden;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getppid};

/// Not a test: the program that `Scene` starts as the proxy, with every signal blocked, since the
/// harness has threads of its own and any of them could take a signal.
#[test]
#[ignore = "played by fluxheim-init's child, not run by itself"]
#[expect(clippy::exit, reason = "it plays a program, whose exit code is what matters")]
fn proxy() {
    let Ok(act) = std::env::var("FLUXHEIM_TEST_ACT") else { return };
    let (name, value) = act.split_once('=').unwrap_or((&act, ""));
    exit(match name {
        "exit" => value.parse().unwrap(),
        "signal" => {
            SigSet::all().thread_unblock().unwrap();
            kill(Pid::this(), Signal::try_from(value.parse::<i32>().unwrap()).unwrap()).unwrap();
            1
        }
        "serve" => serve(),
        "late" => late(),
        "silent" => {
            let mut hidden = ProxyEnd::inherited().unwrap();
            std::thread::sleep(Duration::from_secs(60));
            hidden.take();
            1
        }
        "stubborn" => stubborn(),
        "legacy" => legacy(),
        "record" => record(),
        // As if the configuration had gained a key after init read it.
        "more-secrets" => {
            let _handoff = submitted(true);
            0
        }
        "orphans" => orphans(value.parse().unwrap(), |_| {}),
        // All of them end while init can't reap: one SIGCHLD stands for all.
        "orphans-at-once" => orphans(value.parse().unwrap(), |signal| kill(getppid(), signal).unwrap()),
        "burst" => burst(value.parse().unwrap()),
        "straggler" => straggler(value),
        other => panic!("no such act: {other}"),
    });
}

/// A proxy as it should be: ready when the mark `open` is there, 0 on TERM.
fn serve() -> i32 {
    let stop = SigSet::from(Signal::SIGTERM);
    let handoff = accepted();
    mark("started");
    static DRAINING: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(move || {
        while !folder().join("open").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        handoff.ready().unwrap();
        let state = || ProxyState {
            ready: true,
            draining: folder().join("drain").exists() || DRAINING.load(Ordering::SeqCst),
            connections: 7,
            in_flight: 2,
        };
        handoff.serve(state).unwrap();
    });
    stop.wait().unwrap();
    DRAINING.store(true, Ordering::SeqCst);
    mark("stopped");
    0
}

/// As a proxy that init became: writes down what it left, 0 on TERM.
fn legacy() -> i32 {
    let end = ProxyEnd::inherited().unwrap().expect("started by fluxheim-init");
    let legacy = end.legacy().unwrap().expect("init is gone, so it left something");
    std::fs::write(folder().join("legacy"), format!("{legacy:?}")).unwrap();
    mark("started");
    SigSet::from(Signal::SIGTERM).wait().unwrap();
    mark("stopped");
    0
}

/// Never stops.
fn stubborn() -> i32 {
    let _handoff = accepted();
    mark("started");
    std::thread::sleep(Duration::from_secs(60));
    1
}

/// Handles no signal until the mark `open` is there; then as `record`.
fn late() -> i32 {
    SigSet::all().thread_unblock().unwrap();
    let handoff = accepted();
    mark("started");
    while !folder().join("open").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    SigSet::all().thread_block().unwrap();
    listen(&handoff)
}

/// Writes down the signals that arrive, until TERM.
fn record() -> i32 {
    let handoff = accepted();
    mark("started");
    listen(&handoff)
}

fn listen(handoff: &ProxyEnd) -> i32 {
    let all = SigSet::all();
    handoff.ready().unwrap();
    loop {
        let signal = all.wait().unwrap();
        count(&format!("got-{signal}"));
        if signal == Signal::SIGTERM {
            return 0;
        }
    }
}

/// Leaves that many orphans, waits until init has reaped them all. Init is told STOP before and CONT after.
fn orphans(count: u32, tell: impl Fn(Signal)) -> i32 {
    let _handoff = accepted();
    tell(Signal::SIGSTOP);
    let made = Command::new("sh").args(["-c", &orphaning(count)]).status().unwrap();
    tell(Signal::SIGCONT);
    assert!(made.success());
    let end = Instant::now() + Duration::from_secs(20);
    let init = getppid();
    while Instant::now() < end {
        // Zombies are listed too.
        let list = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
        if list.split_whitespace().count() == 1 {
            return 0;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    1
}

#[expect(clippy::zombie_processes, reason = "init has to reap it")]
/// Ends with 7 on TERM, while something of its own goes on making orphans.
fn burst(count: u32) -> i32 {
    let _handoff = accepted();
    let done = folder().join("done");
    let script = format!("trap '' TERM; {}; : > '{}'", orphaning(count), done.display());
    Command::new("sh").args(["-c", &script]).spawn().unwrap();
    mark("started");
    SigSet::from(Signal::SIGTERM).wait().unwrap();
    7
}

/// Two forks for each and no exec: thousands a second.
fn orphaning(count: u32) -> String {
    format!("i=0; while [ $i -lt {count} ]; do (: &); i=$((i+1)); done")
}

#[expect(clippy::zombie_processes, reason = "init has to reap it")]
/// Leaves one process that reacts to TERM as `trap` says, then ends with 5.
fn straggler(trap: &str) -> i32 {
    let _handoff = accepted();
    let folder = folder();
    let (ready, done) = (folder.join("waiting"), folder.join("done"));
    let trap = match trap {
        "finish" => format!("sleep 0.3; : > '{}'; exit 0", done.display()),
        "ignore" => String::new(),
        "two" => return two_stragglers(),
        "below" => return straggler_below(),
        other => panic!("no such trap: {other}"),
    };
    let script = format!(
        "trap '{}' TERM; : > '{}'; while :; do sleep 0.05; done",
        trap.replace('\'', "'\\''"),
        ready.display()
    );
    Command::new("setsid").args(["sh", "-c", &script]).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    5
}

#[expect(clippy::zombie_processes, reason = "init has to reap it")]
/// Leaves a parent and its child that both ignore TERM, then ends with 5.
fn two_stragglers() -> i32 {
    let below = folder().join("below");
    let script = format!(
        "trap '' TERM; (while :; do sleep 0.05; done) & echo $! > '{0}.new'; mv '{0}.new' '{0}'; while :; do sleep 0.05; done",
        below.display()
    );
    Command::new("setsid").args(["sh", "-c", &script]).spawn().unwrap();
    while !below.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    5
}

#[expect(clippy::zombie_processes, reason = "init has to reap it")]
/// Leaves a parent that ends on TERM and its child in a session of its own, which needs a while.
fn straggler_below() -> i32 {
    let (ready, done) = (folder().join("waiting"), folder().join("done"));
    let (ready, done) = (ready.display(), done.display());
    let script =
        format!("trap 'sleep 0.3; : > {done}; exit 0' TERM; : > {ready}; while :; do sleep 0.05; done");
    std::fs::write(folder().join("below.sh"), script).unwrap();
    let script = format!("setsid sh {}/below.sh & wait", folder().display());
    // The shell would inherit TERM blocked, and keep it so.
    SigSet::all().thread_unblock().unwrap();
    Command::new("sh").args(["-c", &script]).spawn().unwrap();
    while !folder().join("waiting").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    5
}

fn accepted() -> ProxyEnd {
    submitted(false)
}

#[expect(clippy::exit, reason = "it plays a program that was refused")]
fn submitted(secrets: bool) -> ProxyEnd {
    let hardening = Hardening {
        profile: Profile::Container,
        overrides: [(Control::Seccomp, Level::Off), (Control::Landlock, Level::Off)].into(),
    };
    let handoff = ProxyEnd::inherited().unwrap().expect("started by fluxheim-init");
    match handoff.submit(&harden(&hardening, secrets, &Reach::default())) {
        Ok(Verdict::Go(_)) => handoff,
        other => {
            mark("refused");
            eprintln!("no go: {other:?}");
            exit(99)
        }
    }
}

fn mark(name: &str) {
    std::fs::write(folder().join(name), "").unwrap();
}

/// A mark with a byte for each time.
fn count(name: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(folder().join(name)).unwrap();
    file.write_all(b".").unwrap();
}

fn folder() -> PathBuf {
    std::env::var_os("FLUXHEIM_TEST_FOLDER").unwrap().into()
}
