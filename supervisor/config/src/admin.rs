//! How the proxy is asked and told things while it runs: the types of `[admin]`.

use std::path::PathBuf;

/// `[admin]`: the admin API, off unless a socket is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    /// The Unix socket on which it is served; only the proxy's own user and root may speak there.
    pub socket: Option<PathBuf>,
}
