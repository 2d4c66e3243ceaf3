//! Orders, one after the other, until one says stop.
//!
//! Owns their order: who asks for a reload during one gets another, and a stop waits for none.

use std::ops::ControlFlow;

use tokio::sync::{mpsc, oneshot};

use crate::app::reload::{Outcome, Reloadable};
use crate::app::signals::Order;
use crate::cli::Configuration;

/// Carries orders out until one says stop, or nobody can give any. Whoever still waits for a reload then hears
/// that there will be none.
pub(super) async fn obey(
    reloadable: &mut Reloadable,
    at: &Configuration,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    while let Some(order) = next(reloadable, at, &mut orders).await {
        match order {
            Order::Stop => return,
            Order::Reload(reply) => {
                if reload(reloadable, at, &mut orders, reply).await.is_break() {
                    return;
                }
            }
        }
    }
}

/// The next order; until it comes, files that are replaced are put to use.
async fn next(
    reloadable: &mut Reloadable,
    at: &Configuration,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Order> {
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => return order,
            found = reloadable.rotated(at) => found.into_iter().for_each(|found| reloadable.put(found)),
        }
    }
}

/// Reloads, and again if that was asked for meanwhile. A stop ends it at once: a reload may wait for a name
/// server.
async fn reload(
    reloadable: &mut Reloadable,
    at: &Configuration,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    reply: Option<oneshot::Sender<Outcome>>,
) -> ControlFlow<()> {
    let mut waiting = Vec::from_iter(reply);
    loop {
        let (mut again, mut asking) = (false, Vec::new());
        let until_stop = async {
            while let Some(Order::Reload(reply)) = orders.recv().await {
                again = true;
                asking.extend(reply);
            }
        };
        let outcome = tokio::select! {
            outcome = reloadable.reload(at) => outcome,
            () = until_stop => return ControlFlow::Break(()),
        };
        for reply in waiting {
            // Whoever asked may have left.
            let _ = reply.send(outcome.clone());
        }
        if !again {
            return ControlFlow::Continue(());
        }
        waiting = asking;
    }
}
