//! Stopping without losing a request, and no later than needed.
//!
//! Owns the phases: not ready any more but still accepting, then listeners closed and idle
//! connections ended, then done as soon as the last request is.

use std::time::{Duration, Instant};

use fluxheim_config::Server;
use tokio::sync::watch;

use crate::listen::LAST_HANDSHAKES;
use crate::telemetry::lifecycle::Lifecycle;

/// What a drain left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drained {
    pub took: Duration,
    /// Connections still open at the deadline.
    pub cut: u64,
}

/// Drains; `end_idle` ends connections that wait for their next request.
pub(super) async fn drain<F>(
    server: &Server,
    lifecycle: &Lifecycle,
    stop_accepting: &watch::Sender<bool>,
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
    // Let the accept loops take what the kernel holds for them before idle connections are ended.
    tokio::time::sleep(SETTLE).await;
    // A connection that has just finished its handshake looks idle, and has a request under way.
    if tokio::time::timeout(LAST_HANDSHAKES, lifecycle.no_handshake()).await.is_ok() {
        tokio::time::sleep(SETTLE).await;
    }
    end_idle.await;
    let cut = match tokio::time::timeout(server.drain_timeout, lifecycle.idle()).await {
        Ok(()) => 0,
        Err(_) => lifecycle.connections(),
    };
    Drained { took: began.elapsed(), cut }
}

/// Long enough for a request that was sent before the client saw us close; far below a second.
const SETTLE: Duration = Duration::from_millis(50);
