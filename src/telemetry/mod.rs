//! What can be seen of the process: lifecycle, metrics, access log, diagnostics.
//!
//! Owns the counters and their exposition. Never on the path of a decision, except that readiness
//! is read from here.

pub mod access;
pub mod certificates;
pub mod diagnostics;
pub mod endpoint;
pub mod lifecycle;
pub mod lines;
mod mask;
pub mod metrics;
pub mod servers;
pub mod spans;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use fluxheim_config::{Config, Logging, Tracing};
use fluxheim_posture::handoff::Posture;
use http::{HeaderName, HeaderValue};
use tokio::sync::mpsc;

use crate::types::{Scheme, uuid_v7};
use access::{AccessLine, AccessLog, Style};
use lifecycle::{ConnectionGuard, Lifecycle};
use metrics::Metrics;
use spans::{Order, Spans};

/// Everything a stage needs to be seen.
#[derive(Debug)]
pub struct Telemetry {
    pub lifecycle: Arc<Lifecycle>,
    pub metrics: Metrics,
    pub access: AccessLog,
    /// What access lines look like.
    pub style: ArcSwap<Style>,
    /// The field that has a request's id.
    pub request_id: ArcSwap<HeaderName>,
    /// Where spans are handed in.
    pub spans: Spans,
    orders: Mutex<Option<mpsc::Receiver<Order>>>,
}

impl Telemetry {
    /// Starts with nothing counted; `posture` is what PID 1 found, if it started us.
    #[must_use]
    pub fn new(access: AccessLog, posture: Option<&Posture>) -> Self {
        let lifecycle = Arc::new(Lifecycle::default());
        let (spans, orders) = Spans::queue();
        Self {
            metrics: Metrics::new(posture),
            lifecycle,
            access,
            style: ArcSwap::from_pointee(Style::from(&Logging::default())),
            request_id: ArcSwap::from_pointee(HeaderName::from_static("x-request-id")),
            spans,
            orders: Mutex::new(Some(orders)),
        }
    }

    /// The other end of the spans' queue, once.
    #[must_use]
    pub fn take_orders(&self) -> Option<mpsc::Receiver<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// From now on, as this configuration has it.
    pub fn follow(&self, config: &Config) {
        diagnostics::follow(config.logging.level);
        self.access.want(config.logging.access);
        self.style.store(Arc::new(Style::from(&config.logging)));
        self.request_id.store(Arc::new(request_id_field(&config.tracing)));
    }

    /// Hands an access line in, and counts it when it is lost.
    pub fn log(&self, line: &AccessLine<'_>) {
        if !self.access.write(line, &self.style.load()) {
            self.metrics.access_lines_dropped.inc();
        }
    }

    /// Counts a client connection until the guard is dropped.
    #[must_use]
    pub fn connection_opened(&self, scheme: Scheme) -> ConnectionGuard {
        self.metrics.connection(scheme);
        self.lifecycle.connection()
    }
}

/// The field that has a request's id; the configuration has checked its name.
#[must_use]
pub fn request_id_field(tracing: &Tracing) -> HeaderName {
    HeaderName::try_from(&tracing.request_id.header)
        .unwrap_or_else(|_| HeaderName::from_static("x-request-id"))
}

/// A new request id.
#[must_use]
pub fn new_request_id() -> HeaderValue {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    HeaderValue::from_bytes(&uuid_v7(millis, rand::random()))
        .unwrap_or_else(|_| HeaderValue::from_static("-"))
}
