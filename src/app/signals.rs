//! The proxy's own signals, as a stream of orders.
//!
//! Owns what each signal means: TERM, INT and QUIT drain and stop, HUP reloads (signal(7)).

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Stop,
    Reload,
}

fn handled() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP].into_iter().collect()
}

/// Starts to listen. Signals that come from now on are kept until they are read.
///
/// # Errors
/// When the handlers or the thread can't be set up.
pub(super) fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Order>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP])?;
    // Where fluxheim-init became us it left them blocked, so that none was lost before now.
    handled().thread_unblock()?;
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let order = if signal == SIGHUP { Order::Reload } else { Order::Stop };
            if sender.send(order).is_err() {
                return;
            }
        }
    })?;
    Ok(orders)
}
