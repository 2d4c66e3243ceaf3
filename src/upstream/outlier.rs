//! Servers that fail requests are left out for a while, then tried by one request, then used again.
//!
//! Owns the rules of ejection (Envoy's outlier detection with a half-open step). Active checks are
//! `health`'s; a server needs to stand well with both.

use super::Pool;
use super::clock::Tick;
use super::endpoint::{Endpoint, Standing};

/// What one attempt says about its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// A response of 5xx that is no gateway's.
    Error,
    /// No connection, no response, or a gateway's error, which then has a `status`.
    Failure {
        status: bool,
    },
}

impl Pool {
    /// Takes the verdict of one attempt; `probe` says whether it was the one try of a half-open server.
    pub(super) fn judge(&self, endpoint: &Endpoint, verdict: Verdict, probe: bool, now: Tick) {
        let Some(rules) = self.config.outlier else { return };
        let over = |row: u32, most: u32| most > 0 && row >= most;
        let reason = match verdict {
            Verdict::Good => {
                endpoint.served(true);
                None
            }
            Verdict::Error => {
                endpoint.served(false);
                over(endpoint.erred(), rules.consecutive_5xx).then_some("5xx responses in a row")
            }
            Verdict::Failure { status } => {
                let erred = if status { endpoint.erred() } else { 0 };
                let failed = over(endpoint.failed(), rules.consecutive_failures);
                (failed || over(erred, rules.consecutive_5xx)).then_some("failed requests in a row")
            }
        };
        if !probe {
            if let Some(reason) = reason {
                self.eject(endpoint, reason, now);
            }
            return;
        }
        let counts = match verdict {
            Verdict::Good => false,
            Verdict::Error => rules.consecutive_5xx > 0,
            Verdict::Failure { status } => {
                rules.consecutive_failures > 0 || status && rules.consecutive_5xx > 0
            }
        };
        match counts {
            true => self.eject(endpoint, "the request that tried it failed", now),
            false => self.readmit(endpoint, now),
        }
    }

    fn eject(&self, endpoint: &Endpoint, reason: &'static str, now: Tick) {
        let Some(rules) = self.config.outlier else { return };
        self.change(now, |table| {
            let again = endpoint.standing(now) == Standing::HalfOpen;
            // Another request may have been first.
            if !again && endpoint.ejected_until().is_some() {
                return;
            }
            let allowed = table.members.len() * usize::from(rules.max_ejected) / 100;
            if !again && table.ejected() >= allowed {
                return;
            }
            let time = endpoint.eject(rules.base_ejection, rules.max_ejection, now);
            let (upstream, server) = (&self.config.name, endpoint.address);
            tracing::warn!(upstream, %server, reason, "server ejected for {time:?}");
        });
    }

    fn readmit(&self, endpoint: &Endpoint, now: Tick) {
        self.change(now, |_| {
            endpoint.readmit(now);
            tracing::info!(upstream = self.config.name, server = %endpoint.address, "ejected server is back");
        });
    }
}
