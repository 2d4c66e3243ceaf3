//! The main child, held so that a signal can't reach anybody else.
//!
//! Owns its pid and its pidfd until it is reaped; starts and reaps nothing. See pidfd_open(2),
//! pidfd_send_signal(2).

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::meaning::name;
use crate::{say, sys};

/// The child that runs the proxy.
pub(crate) struct MainChild {
    pid: Pid,
    /// `None` where the kernel, a seccomp filter or the limit of descriptors gives none.
    pidfd: Option<OwnedFd>,
    /// From then on its pid may be anyone's.
    reaped: bool,
}

impl MainChild {
    /// Takes hold of a child of ours that hasn't been reaped: its pid is its own until then.
    pub(crate) fn hold(pid: Pid) -> Self {
        Self { pid, pidfd: sys::pidfd_open(pid).ok(), reaped: false }
    }

    /// Whether `pid`, which was just reaped, was this child's.
    pub(crate) fn was(&mut self, pid: Pid) -> bool {
        let was = !self.reaped && pid == self.pid;
        self.reaped |= was;
        was
    }

    /// Whether it is still to be reaped.
    pub(crate) fn is_ours(&self) -> bool {
        !self.reaped
    }

    /// Whether it has ended, though it may not be reaped yet.
    pub(crate) fn has_ended(&self) -> bool {
        self.reaped || sys::has_ended(self.pid)
    }

    /// Sends a signal; a failure costs a line.
    pub(crate) fn send(&self, signal: i32) {
        if self.reaped {
            return;
        }
        if let Err(errno) = self.try_send(signal) {
            say::line(format_args!("{} can't be forwarded: {errno}", name(signal)));
        }
    }

    fn try_send(&self, signal: i32) -> nix::Result<()> {
        let Some(pidfd) = &self.pidfd else { return sys::send_signal(self.pid, signal) };
        match sys::pidfd_send_signal(pidfd.as_fd(), signal) {
            // A filter that knows one of the two calls only.
            Err(Errno::ENOSYS | Errno::EPERM) => sys::send_signal(self.pid, signal),
            done => done,
        }
    }
}
