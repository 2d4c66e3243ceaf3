//! What can be seen of the process: lifecycle, metrics, access log, diagnostics.
//!
//! Owns the counters and their exposition. Never on the path of a decision, except that readiness
//! is read from here.

pub mod access;
pub mod diagnostics;
pub mod endpoint;
pub mod lifecycle;
pub mod lines;
pub mod metrics;

use std::sync::Arc;

use fluxheim_posture::handoff::Posture;

use crate::types::Scheme;
use access::AccessLog;
use lifecycle::{ConnectionGuard, Lifecycle};
use metrics::Metrics;

/// Everything a stage needs to be seen.
#[derive(Debug)]
pub struct Telemetry {
    pub lifecycle: Arc<Lifecycle>,
    pub metrics: Metrics,
    pub access: AccessLog,
}

impl Telemetry {
    /// Starts with nothing counted; `posture` is what PID 1 found, if it started us.
    #[must_use]
    pub fn new(access: AccessLog, posture: Option<&Posture>) -> Self {
        let lifecycle = Arc::new(Lifecycle::default());
        Self { metrics: Metrics::new(posture), lifecycle, access }
    }

    /// Counts a client connection until the guard is dropped.
    #[must_use]
    pub fn connection_opened(&self, scheme: Scheme) -> ConnectionGuard {
        self.metrics.connection(scheme);
        self.lifecycle.connection()
    }
}
