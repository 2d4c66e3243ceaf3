//! What one vhost and one upstream count, with their series at hand.
//!
//! Owns the handles: a series is looked up, and its labels are made, the first time it counts something;
//! from then on counting takes no lock of a table and no memory. What never counts has no series.

use std::sync::OnceLock;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::{Attempt, ErrorLabels, Metrics, RequestLabels, UpstreamLabel, UpstreamLabels, VhostLabel};

/// A request that is over.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub code: u16,
    pub took: Duration,
    /// Body bytes.
    pub received: u64,
    /// Body bytes.
    pub sent: u64,
}

/// Of a vhost.
#[derive(Debug)]
pub struct VhostMeters {
    name: String,
    by_code: Few<u16>,
    by_reason: Few<&'static str>,
    rest: OnceLock<VhostRest>,
}

#[derive(Debug)]
struct VhostRest {
    durations: Histogram,
    request_sizes: Histogram,
    received: Counter,
    sent: Counter,
}

impl VhostMeters {
    /// Of the vhost of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (by_code, by_reason) = (Few::default(), Few::default());
        Self { name: name.to_owned(), by_code, by_reason, rest: OnceLock::new() }
    }

    /// The vhost's name in labels and logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request that is over.
    pub fn request(&self, metrics: &Metrics, request: &Request) {
        let vhost = || self.name.clone();
        let by_code = |code| metrics.requests.get_or_create_owned(&RequestLabels { vhost: vhost(), code });
        self.by_code.count(request.code, by_code);
        let rest = self.rest.get_or_init(|| {
            let label = VhostLabel { vhost: vhost() };
            VhostRest {
                durations: metrics.durations.get_or_create_owned(&label),
                request_sizes: metrics.request_sizes.get_or_create_owned(&label),
                received: metrics.received.get_or_create_owned(&label),
                sent: metrics.sent.get_or_create_owned(&label),
            }
        });
        rest.durations.observe(request.took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a histogram of sizes needs no exact ones")]
        rest.request_sizes.observe(request.received as f64);
        rest.received.inc_by(request.received);
        rest.sent.inc_by(request.sent);
    }

    /// Counts a request that failed.
    pub fn error(&self, metrics: &Metrics, reason: &'static str) {
        self.by_reason.count(reason, |reason| {
            metrics.errors.get_or_create_owned(&ErrorLabels { vhost: self.name.clone(), reason })
        });
    }

    /// The status codes that have a series.
    pub(super) fn codes(&self) -> Vec<u16> {
        self.by_code.keys()
    }

    /// The reasons that have a series.
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        self.by_reason.keys()
    }
}

/// Of an upstream.
#[derive(Debug)]
pub struct UpstreamMeters {
    name: String,
    attempts: Few<&'static str>,
    connects: OnceLock<Histogram>,
    responses: OnceLock<Histogram>,
}

impl UpstreamMeters {
    /// Of the upstream of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (connects, responses) = (OnceLock::new(), OnceLock::new());
        Self { name: name.to_owned(), attempts: Few::default(), connects, responses }
    }

    /// The upstream's name in labels.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts an attempt at a server.
    pub fn attempt(&self, metrics: &Metrics, attempt: Attempt) {
        self.attempts.count(attempt.label(), |result| {
            let labels = UpstreamLabels { upstream: self.name.clone(), result };
            metrics.upstream_attempts.get_or_create_owned(&labels)
        });
    }

    /// A new connection took that long.
    pub fn connected(&self, metrics: &Metrics, took: Duration) {
        let series = || metrics.upstream_connects.get_or_create_owned(&self.label());
        self.connects.get_or_init(series).observe(took.as_secs_f64());
    }

    /// A server took that long to the head of its response.
    pub fn answered(&self, metrics: &Metrics, took: Duration) {
        let series = || metrics.upstream_responses.get_or_create_owned(&self.label());
        self.responses.get_or_init(series).observe(took.as_secs_f64());
    }

    fn label(&self) -> UpstreamLabel {
        UpstreamLabel { upstream: self.name.clone() }
    }
}

/// Counters by a key that has few values, found by looking at each.
#[derive(Debug)]
struct Few<K>(ArcSwap<Vec<(K, Counter)>>);

impl<K> Default for Few<K> {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(Vec::new()))
    }
}

impl<K: Copy + PartialEq> Few<K> {
    fn count(&self, key: K, series: impl FnOnce(K) -> Counter) {
        if let Some((_, counter)) = self.0.load().iter().find(|(known, _)| *known == key) {
            counter.inc();
            return;
        }
        let counter = series(key);
        counter.inc();
        self.0.rcu(|known| {
            let mut more = Vec::clone(known);
            // Another request may have been here meanwhile, with the same series.
            if !more.iter().any(|(known, _)| *known == key) {
                more.push((key, counter.clone()));
            }
            more
        });
    }

    fn keys(&self) -> Vec<K> {
        self.0.load().iter().map(|(key, _)| *key).collect()
    }
}
