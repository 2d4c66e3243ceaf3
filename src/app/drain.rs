//! Stopping without losing a request, and no later than needed.
//!
//! Owns the phases: not ready any more but still accepting, then listeners closed and everybody there
//! heard, then idle connections ended, then done as soon as the last request is.

use std::time::{Duration, Instant};

use fluxheim_config::Server;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::listen::LAST_OPENINGS;
use crate::telemetry::lifecycle::Lifecycle;

/// What a drain left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drained {
    pub took: Duration,
    /// Connections still open at the deadline.
    pub cut: u64,
}

/// Drains; `accepting` are the accept loops, which end at `stop_accepting`, and `end_idle` ends
/// connections that wait for their next request.
pub(super) async fn drain<F>(
    server: &Server,
    lifecycle: &Lifecycle,
    stop_accepting: &watch::Sender<bool>,
    accepting: &mut JoinSet<()>,
    end_idle: F,
) -> Drained
where
    F: Future<Output = ()>,
{
    let began = Instant::now();
    lifecycle.set_draining();
    tracing::info!(
        connections = lifecycle.connections(),
        in_flight = lifecycle.in_flight(),
        delay = ?server.drain_delay,
        "draining"
    );
    tokio::time::sleep(server.drain_delay).await;
    stop_accepting.send_replace(true);
    // A connection that the kernel holds, or that has said nothing yet, has a request under way. Not
    // for ever: some never say anything, and at the limit the accept loops wait for a connection's end.
    let opened = async {
        ended(accepting).await;
        lifecycle.no_opening().await;
    };
    let _ = tokio::time::timeout(LAST_OPENINGS, opened).await;
    end_idle.await;
    let finished = async {
        ended(accepting).await;
        lifecycle.idle().await;
    };
    let cut = match tokio::time::timeout(server.drain_timeout, finished).await {
        Ok(()) => 0,
        Err(_) => lifecycle.connections(),
    };
    Drained { took: began.elapsed(), cut }
}

async fn ended(loops: &mut JoinSet<()>) {
    while loops.join_next().await.is_some() {}
}
