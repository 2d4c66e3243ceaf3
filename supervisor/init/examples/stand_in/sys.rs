//! fork(2), for processes whose parent is gone before they are.
//!
//! Owns the one unsafe block of this program; decides nothing.
#![allow(unsafe_code, reason = "nix leaves fork unsafe, and a standard library command can't double-fork")]

use nix::unistd::{ForkResult, Pid, fork as raw_fork};

/// Forks; `child` runs in the child, which ends with the code it returns.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: fork asks of a multi-threaded caller to use only async-signal-safe functions in the
    // child. This program never starts a thread, so no lock can be held by a thread that is gone.
    match unsafe { raw_fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = child();
            // SAFETY: _exit takes a number and doesn't return; the parent's buffers stay the parent's.
            unsafe { libc::_exit(code) }
        }
    }
}
