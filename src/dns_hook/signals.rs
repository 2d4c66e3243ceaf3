//! The signals of this process: told to stop, and told that a child has changed (signal(7)).
//!
//! Owns what each means; waits for no child.

use nix::sys::signal::SigSet;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

/// Whether to stop.
pub(super) type Stop = watch::Receiver<bool>;
/// Changes when a child may have ended.
pub(super) type Ended = watch::Receiver<()>;

/// Starts to listen.
///
/// # Errors
/// When the handlers or the thread can't be set up.
pub(super) fn listen() -> std::io::Result<(Stop, Ended)> {
    let mut signals = Signals::new([SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP])?;
    // Whoever started us may have left them blocked.
    SigSet::all().thread_unblock()?;
    let (stop, stopping) = watch::channel(false);
    let (end, ended) = watch::channel(());
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // Receivers that are gone are those of a process at its end.
            let _ = if signal == SIGCHLD { end.send(()).is_ok() } else { stop.send(true).is_ok() };
        }
    })?;
    Ok((stopping, ended))
}
