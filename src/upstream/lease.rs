//! One attempt at one server, counted in for as long as it lives.
//!
//! Owns the counting out: the count is exact however a request ends (finished, failed, cancelled, in a
//! panic), because it is this value's end that counts. Carries the verdict on the server, once.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Pool;
use super::clock::Tick;
use super::endpoint::Endpoint;
use super::outlier::Verdict;
use super::shared::Shared;

/// A place at a server.
#[derive(Debug)]
pub struct Lease {
    pub(super) pool: Arc<Pool>,
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) since: Tick,
    pub(super) probe: bool,
    pub(super) retry: bool,
    pub(super) judged: bool,
}

impl Lease {
    /// Where the attempt goes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The head of the response has come.
    pub fn answered(&mut self, status: u16, now: Tick) {
        let verdict = match status {
            502..=504 => Verdict::Failure { status: true },
            500..=599 => Verdict::Error,
            _ => Verdict::Good,
        };
        self.judge(verdict, now);
    }

    /// There was no connection, or no response.
    pub fn failed(&mut self, now: Tick) {
        self.judge(Verdict::Failure { status: false }, now);
    }

    fn judge(&mut self, verdict: Verdict, now: Tick) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        let took = now.since(self.since);
        let took = match verdict {
            Verdict::Good | Verdict::Error => took,
            // A server that fails fast must not look like a fast one.
            Verdict::Failure { .. } => took.max(FAILURE),
        };
        self.endpoint.latency.observe(took, now);
        self.pool.judge(&self.endpoint, verdict, self.probe, now);
        if std::mem::take(&mut self.probe) {
            self.endpoint.release_probe();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.probe {
            // It ended without a verdict: the next request tries.
            self.endpoint.release_probe();
        }
        self.endpoint.leave();
        self.shared.leave(self.retry);
        self.shared.line.wake();
    }
}

/// How slow a failure counts at least.
const FAILURE: std::time::Duration = std::time::Duration::from_secs(1);
