//! `--check-tls-storage`: the storage check alone.
//!
//! Owns its output and its signals: a TERM that comes while it waits ends it, also as PID 1. The
//! rules are `fluxheim-trust`'s.

use fluxheim_config::exit;
use fluxheim_posture::apply::{becomes, protect_reader};
use fluxheim_trust::command::{Answer, Request, answer};

use crate::{say, sleep};

/// Judges, prints, and says by the exit code what came of it.
pub(crate) fn check(request: &Request) -> u8 {
    // It reads keys, if only to look at them.
    if let Err(errno) = protect_reader() {
        say::line(format_args!("cannot keep others from reading this process's memory: {errno}"));
        return exit::INTERNAL;
    }
    if let (true, Err(errno)) = (request.wait.is_some(), sleep::hold_signals()) {
        say::line(format_args!("holding signals: {errno}"));
        return exit::INTERNAL;
    }
    let pause = |time| match sleep::run(time) {
        exit::OK => None,
        ended => Some(ended),
    };
    match answer(request, |config| becomes(&config.hardening), pause) {
        Answer::Report(text, code) => say::out(&text).max(code),
        Answer::Refused(said, code) => {
            say::line(said);
            code
        }
        Answer::Ended(code) => code,
    }
}
