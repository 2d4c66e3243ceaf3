//! `--check-tls-storage`: the storage check alone.
//!
//! Owns its output and its signals: a TERM ends it at any time, also as PID 1 and while a mount does
//! not answer. The rules are `fluxheim-trust`'s.

use fluxheim_config::exit;
use fluxheim_posture::apply::{becomes, protect_reader};
use fluxheim_trust::command::{Answer, Request, answer};

use crate::{say, sleep};

/// Judges, prints, and says by the exit code what came of it.
pub(crate) fn check(request: Request) -> u8 {
    // It reads keys, if only to look at them.
    if let Err(errno) = protect_reader() {
        say::line(format_args!("cannot keep others from reading this process's memory: {errno}"));
        return exit::INTERNAL;
    }
    match sleep::unless_stopped(move || answer(&request, |config| becomes(&config.hardening))) {
        Ok(Answer::Report(text, code)) => say::out(&text).max(code),
        Ok(Answer::Refused(said, code)) => {
            say::line(said);
            code
        }
        Err(ended) => ended,
    }
}
