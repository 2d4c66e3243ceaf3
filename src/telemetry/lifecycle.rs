//! Where the process stands: starting, ready, draining; and what is still in flight.
//!
//! Owns the counters that readiness and the drain wait on. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Shared by every stage; cheap to update.
#[derive(Debug, Default)]
pub struct Lifecycle {
    listening: AtomicBool,
    resolved: AtomicBool,
    draining: AtomicBool,
    connections: AtomicU64,
    in_flight: AtomicU64,
    openings: AtomicU64,
    changed: Notify,
}

impl Lifecycle {
    /// The listeners are bound and the certificates loaded.
    pub fn set_listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    /// Every upstream name had its first answer, good or bad.
    pub fn set_resolved(&self) {
        self.resolved.store(true, Ordering::Release);
    }

    /// New work is no longer wanted.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process is on its way out.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether a load balancer should send requests here.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.listening.load(Ordering::Acquire) && self.resolved.load(Ordering::Acquire) && !self.draining()
    }

    /// Client connections open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Requests being served now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts a connection until the guard is dropped.
    #[must_use]
    pub fn connection(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::AcqRel);
        ConnectionGuard(Arc::clone(self))
    }

    /// Counts a request until the guard is dropped.
    #[must_use]
    pub fn request(self: &Arc<Self>) -> RequestGuard {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        RequestGuard(Arc::clone(self))
    }

    /// Counts a connection that has yet to say something until the guard is dropped.
    #[must_use]
    pub fn opening(self: &Arc<Self>) -> OpeningGuard {
        self.openings.fetch_add(1, Ordering::AcqRel);
        OpeningGuard(Arc::clone(self))
    }

    /// Returns when every connection has said something.
    pub async fn no_opening(&self) {
        self.until(|| self.openings.load(Ordering::Acquire) == 0).await;
    }

    /// Returns when no connection and no request is left.
    pub async fn idle(&self) {
        self.until(|| self.connections() == 0 && self.in_flight() == 0).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds() {
                return;
            }
            changed.await;
        }
    }

    fn left(&self, counter: &AtomicU64) {
        if counter.fetch_sub(1, Ordering::AcqRel) == 1 && self.draining() {
            self.changed.notify_waiters();
        }
    }
}

/// An open client connection.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Lifecycle>);

impl ConnectionGuard {
    /// Whether the process that the connection belongs to is on its way out.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.0.draining()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.left(&self.0.connections);
    }
}

/// A connection before its first bytes.
#[derive(Debug)]
pub struct OpeningGuard(Arc<Lifecycle>);

impl Drop for OpeningGuard {
    fn drop(&mut self) {
        self.0.left(&self.0.openings);
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct RequestGuard(Arc<Lifecycle>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.left(&self.0.in_flight);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn is_ready_between_start_and_drain_only() {
        let state = Lifecycle::default();
        assert!(!state.ready());
        state.set_listening();
        assert!(!state.ready());
        state.set_resolved();
        assert!(state.ready());
        state.set_draining();
        assert!(!state.ready());
    }

    #[tokio::test]
    async fn idle_waits_for_the_last_guard() {
        let state = Arc::new(Lifecycle::default());
        state.set_draining();
        let connection = state.connection();
        let request = state.request();
        let waiting = tokio::spawn({
            let state = Arc::clone(&state);
            async move { state.idle().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(request);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(connection);
        waiting.await.unwrap();
    }
}
