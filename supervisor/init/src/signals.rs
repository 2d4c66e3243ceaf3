//! Signals as data: all but faults blocked, read from one descriptor, no handler of ours installed.
//!
//! Owns the signal mask of this process. A blocked signal stays pending even for PID 1, where an
//! unblocked one without a handler is dropped; so none is lost. See signal(7), signalfd(2).

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::meaning::FAULTS;

/// The descriptor that signals are read from.
pub(crate) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks every signal but those that report a fault of this process.
    ///
    /// # Errors
    /// When the kernel gives no signalfd.
    pub(crate) fn block() -> nix::Result<Self> {
        // Inherited "ignore" for SIGCHLD would make the kernel reap in our place.
        crate::sys::default_disposition(Signal::SIGCHLD as i32);
        let mut mask = SigSet::all();
        for fault in FAULTS.into_iter().filter_map(|fault| Signal::try_from(fault).ok()) {
            mask.remove(fault);
        }
        mask.thread_set_mask()?;
        Self::read_from(&mask)
    }

    /// Blocks these in addition to what was inherited.
    ///
    /// # Errors
    /// When the kernel gives no signalfd.
    pub(crate) fn block_these(signals: &[Signal]) -> nix::Result<Self> {
        let mask: SigSet = signals.iter().copied().collect();
        mask.thread_block()?;
        Self::read_from(&mask)
    }

    fn read_from(mask: &SigSet) -> nix::Result<Self> {
        let fd = SignalFd::with_flags(mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// The number of the next pending signal; real-time ones are plain numbers too.
    pub(crate) fn next(&self) -> nix::Result<Option<i32>> {
        loop {
            match self.fd.read_signal() {
                Ok(info) => return Ok(info.and_then(|info| i32::try_from(info.ssi_signo).ok())),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
