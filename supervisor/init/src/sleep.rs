//! `--sleep`: waits, unless it is asked to stop; and work that goes on only until then.
//!
//! Owns nothing but its own signals. PID 1 without a handler never gets TERM (pid_namespaces(7)), so
//! it is read from a descriptor here as well. See signalfd(2).

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fluxheim_config::exit;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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
        Ok(Some(signal)) => code(signal),
        Err(errno) => {
            say::line(format_args!("waiting failed: {errno}"));
            exit::INTERNAL
        }
    }
}

/// Does `work` on a thread of its own, and gives its result, or 128 + n when signal n came first.
///
/// # Errors
/// The exit code without a result.
pub(crate) fn unless_stopped<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, u8> {
    let failed = |error: std::io::Error| {
        say::line(format_args!("waiting failed: {error}"));
        exit::INTERNAL
    };
    // Blocked for the thread too, so that a signal is ours to read.
    let signals = Signals::block_these(&STOPS).map_err(|errno| failed(errno.into()))?;
    let (ended, ends) = std::io::pipe().map_err(failed)?;
    let worker = std::thread::Builder::new().spawn(move || {
        // Closed when the work is done, whatever became of it.
        let _ends = ends;
        work()
    });
    let worker = worker.map_err(failed)?;
    loop {
        if let Some(signal) = signals.next().map_err(|errno| failed(errno.into()))? {
            return Err(code(signal));
        }
        let mut fds =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        if fds[1].any().unwrap_or(true) {
            return worker.join().map_err(|_| exit::INTERNAL);
        }
    }
}

fn code(signal: i32) -> u8 {
    u8::try_from(signal).map_or(exit::INTERNAL, |number| exit::SIGNAL_BASE + number)
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
