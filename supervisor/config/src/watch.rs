//! How files that are replaced while the proxy runs are found.

use std::time::Duration;

/// `watch` and `watch_poll` of `[tls]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Whether they are. Default true.
    pub enabled: bool,
    /// Time between two looks at all of them, for what the kernel does not tell. Default 30s.
    pub poll: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        // Where events don't come (network filesystems), a rotation is taken within this time; a look is a few
        // system calls a file.
        Self { enabled: true, poll: Duration::from_secs(30) }
    }
}
