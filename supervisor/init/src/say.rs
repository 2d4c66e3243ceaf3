//! Where lines for people and programs go.
//!
//! Owns the prefix on stderr; a stderr that is closed, or that nobody reads, never ends or holds up
//! PID 1. See poll(2), pipe(7).

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use fluxheim_config::exit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Prints every line of `text` to stderr, prefixed; drops what stderr doesn't take at once.
pub(crate) fn line(text: impl Display) {
    let mut stderr = io::stderr().lock();
    for line in text.to_string().lines() {
        let prefixed = format!("fluxheim-init: {line}\n");
        for piece in prefixed.as_bytes().chunks(AT_ONCE) {
            // Nobody is left to tell when stderr is gone, or full.
            if !takes_more(stderr.as_fd()) || stderr.write_all(piece).is_err() {
                return;
            }
        }
    }
}

/// Asked rather than O_NONBLOCK, which would reach everyone who shares the description.
fn takes_more(stderr: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(stderr, PollFlags::POLLOUT)];
    matches!(poll(&mut asked, PollTimeout::ZERO), Ok(1..))
}

/// Prints `text` to stdout, ending in one newline.
///
/// Gives the exit code of a call whose whole purpose this was.
pub(crate) fn out(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Ok(()) => exit::OK,
        Err(error) => {
            line(format_args!("can't write to stdout: {error}"));
            exit::INTERNAL
        }
    }
}

/// PIPE_BUF: a pipe that poll calls writable takes that much without waiting.
const AT_ONCE: usize = 4096;
