//! `--sleep`: waits, unless it is asked to stop.
//!
//! Owns nothing but its own signals. PID 1 without a handler never gets TERM (pid_namespaces(7)), so
//! it is read from a descriptor here as well. See signalfd(2).

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fluxheim_config::exit;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;

use crate::say;
use crate::signals::Signals;
use crate::supervise::timeout;

/// 0 after `duration`, 128 + n when signal n came first.
pub(crate) fn run(duration: Duration) -> u8 {
    // Far beyond any clock is as good as never.
    let end = Instant::now().checked_add(duration);
    match wait(end) {
        Ok(None) => exit::OK,
        Ok(Some(signal)) => u8::try_from(signal).map_or(exit::INTERNAL, |number| exit::SIGNAL_BASE + number),
        Err(errno) => {
            say::line(format_args!("waiting failed: {errno}"));
            exit::INTERNAL
        }
    }
}

/// Keeps signals that end a wait until somebody waits: PID 1 would lose them.
///
/// # Errors
/// When the kernel gives no signalfd.
pub(crate) fn hold_signals() -> nix::Result<()> {
    Signals::block_these(&STOPS).map(drop)
}

fn wait(end: Option<Instant>) -> nix::Result<Option<i32>> {
    let signals = Signals::block_these(&STOPS)?;
    loop {
        if let Some(signal) = signals.next()? {
            return Ok(Some(signal));
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            return Ok(None);
        }
        match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout(end)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The others keep their default action: Ctrl-Z stops it, a closed terminal ends it.
const STOPS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
