//! The proxy's own signals, as a stream of orders; the admin API gives some too.
//!
//! Owns what each signal means: TERM, INT and QUIT drain and stop, HUP reloads (signal(7)).

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::{mpsc, oneshot};

use crate::app::reload::Outcome;

/// What a signal or an operator asks for.
#[derive(Debug)]
pub(super) enum Order {
    Stop,
    /// With whom to tell what came of it.
    Reload(Option<oneshot::Sender<Outcome>>),
}

/// Where orders come in, for others to give some too, and where they come out.
pub(super) type Orders = (mpsc::UnboundedSender<Order>, mpsc::UnboundedReceiver<Order>);

fn handled() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP].into_iter().collect()
}

/// Starts to listen. Signals that come from now on are kept until they are read.
///
/// # Errors
/// When the handlers or the thread can't be set up.
pub(super) fn listen() -> std::io::Result<Orders> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP])?;
    // Where fluxheim-init became us it left them blocked, so that none was lost before now.
    handled().thread_unblock()?;
    let (sender, orders) = mpsc::unbounded_channel();
    let others = sender.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let order = if signal == SIGHUP { Order::Reload(None) } else { Order::Stop };
            if sender.send(order).is_err() {
                return;
            }
        }
    })?;
    Ok((others, orders))
}
