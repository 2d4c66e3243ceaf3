//! Descriptors that a runtime or a wrapper left open to this process.
//!
//! Owns the list that is made while the only descriptor of ours is known; closes nothing else. See
//! proc(5) on PID/fd, close(2).
#![expect(clippy::disallowed_methods, reason = "what the kernel shows in /proc and /sys")]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use crate::sys;

/// What is open besides 0, 1 and 2.
///
/// Nobody here knows or closes these, so until [`Inherited::close`] none of their numbers can become ours.
pub(crate) struct Inherited {
    fds: Vec<RawFd>,
}

impl Inherited {
    /// Lists them; `ours` is the one descriptor that this process has opened so far. Empty where
    /// /proc doesn't tell.
    pub(crate) fn list(ours: BorrowedFd<'_>) -> Self {
        let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Self { fds: Vec::new() } };
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut fds: Vec<RawFd> = numbers.filter(|fd| *fd > 2 && *fd != ours.as_raw_fd()).collect();
        // The listing's own is closed by now.
        fds.retain(|fd| sys::is_open(*fd));
        fds.sort_unstable();
        Self { fds }
    }

    /// Closes them, and gives their numbers for people; `None` when there were none.
    pub(crate) fn close(self) -> Option<String> {
        self.fds.iter().for_each(|fd| sys::close_inherited(*fd));
        let numbers: Vec<String> = self.fds.iter().map(ToString::to_string).collect();
        (!numbers.is_empty()).then(|| numbers.join(", "))
    }
}
