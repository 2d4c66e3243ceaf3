//! What the benchmark of inits starts in the proxy's place: small, static, the same under each init.
//!
//! Owns the few things a child does that an init is measured by; talks on stdout only, since that
//! descriptor is there under every init and outlives all hardening. Everything that forks does so
//! before it hardens itself: a hardened process need not be allowed to. See tests/bench/init.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "plays a program in a measurement; a failure here fails the measurement"
)]

mod sys;

use std::io::Write;
use std::time::Duration;

use fluxheim_config::{Control, Hardening, Level, Profile};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::handoff::{ProxyEnd, Verdict};
use fluxheim_posture::proxy::harden;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::waitpid;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::setsid;

fn main() {
    let executed = now();
    match std::env::var("STAND_IN_ACT").as_deref() {
        Ok("straggler") => leave_straggler(),
        Ok("orphans") => leave_orphans(),
        _ => {}
    }
    let released = released();
    say(&format!("started {executed} {released}"));
    // TERM has its default action: whoever delivers it ends this, at any moment of its life.
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Under fluxheim-init the moment of its verdict, on the proxy's own path there; else at once.
fn released() -> u64 {
    let Some(handoff) = ProxyEnd::inherited().unwrap() else { return now() };
    let report = harden(&hardening(), false, &Reach::default());
    assert!(matches!(handoff.submit(&report).unwrap(), Verdict::Go(_)));
    let released = now();
    handoff.ready().unwrap();
    released
}

/// As the configuration that fluxheim-init was given says.
fn hardening() -> Hardening {
    let off = std::env::var("STAND_IN_OFF").unwrap_or_default();
    let is_off = |control: &Control| off == "all" || off == control.name();
    let overrides = Control::ALL.into_iter().filter(is_off).map(|control| (control, Level::Off)).collect();
    Hardening { profile: Profile::Container, overrides }
}

/// A process in a session of its own that needs 0.3 s after TERM.
fn leave_straggler() {
    sys::fork(|| {
        drop(ProxyEnd::inherited());
        let stop = SigSet::from(Signal::SIGTERM);
        stop.thread_block().unwrap();
        setsid().unwrap();
        say("waiting");
        stop.wait().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        say("finished");
        0
    })
    .unwrap();
}

/// That many processes whose parents are gone: each is the init's to reap.
fn leave_orphans() {
    for _ in 0..ORPHANS {
        let parent = sys::fork(|| {
            let orphan = sys::fork(|| 0);
            i32::from(orphan.is_err())
        });
        waitpid(parent.unwrap(), None).unwrap();
    }
}

/// One line, in one write: two processes may share this stdout.
fn say(line: &str) {
    // Nobody is left to tell when the benchmark is gone.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// Nanoseconds of the clock that the benchmark reads too.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(time.tv_sec()).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap()
}

const ORPHANS: u32 = 1000;
