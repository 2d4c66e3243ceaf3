//! What is counted and measured of certificates by ACME.
//!
//! Labels are hosts and issuers of the configuration, never of a request.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The series of ACME.
#[derive(Debug, Default)]
pub struct AcmeMeters {
    orders: Family<OrderLabels, Counter>,
    failures: Family<HostLabel, Gauge>,
    issued: Family<HostLabel, Gauge<f64, AtomicU64>>,
    next: Family<HostLabel, Gauge<f64, AtomicU64>>,
    /// Nothing where there is no `[acme]`: 0 would say that its storage is down.
    storage: Family<[(&'static str, &'static str); 0], Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderLabels {
    issuer: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabel {
    host: String,
}

impl AcmeMeters {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("acme_orders", "Attempts at a certificate, by issuer and result", self.orders.clone());
        r.register(
            "acme_failures",
            "Attempts that failed since the last certificate of a host",
            self.failures.clone(),
        );
        r.register_with_unit(
            "acme_issued_timestamp",
            "When this process last got a certificate for a host, since the Unix epoch",
            Unit::Seconds,
            self.issued.clone(),
        );
        r.register_with_unit(
            "acme_next_attempt_timestamp",
            "When something is next due for a host: a renewal, another attempt, or a question to the CA",
            Unit::Seconds,
            self.next.clone(),
        );
        r.register("acme_storage_up", "1 while the storage of [acme] answers", self.storage.clone());
    }

    /// A certificate for `host`.
    pub fn issued(&self, host: &str, issuer: &str, now: u64) {
        self.ended(issuer, "issued");
        self.issued.get_or_create(&label(host)).set(seconds(now));
    }

    /// No certificate from `issuer`.
    pub fn failed(&self, issuer: &str, result: &'static str) {
        self.ended(issuer, result);
    }

    /// Failures of `host` in a row.
    pub fn failures(&self, host: &str, count: u32) {
        self.failures.get_or_create(&label(host)).set(i64::from(count));
    }

    /// When something is due for `host`.
    pub fn next(&self, host: &str, at: u64) {
        self.next.get_or_create(&label(host)).set(seconds(at));
    }

    /// Whether the storage answers.
    pub fn storage(&self, up: bool) {
        self.storage.get_or_create(&[]).set(i64::from(up));
    }

    /// Drops the series of a host that gets no certificate any more.
    pub fn forget(&self, host: &str) {
        self.failures.remove(&label(host));
        self.issued.remove(&label(host));
        self.next.remove(&label(host));
    }

    fn ended(&self, issuer: &str, result: &'static str) {
        self.orders.get_or_create(&OrderLabels { issuer: issuer.to_owned(), result }).inc();
    }
}

fn label(host: &str) -> HostLabel {
    HostLabel { host: host.to_owned() }
}

const fn seconds(at: u64) -> f64 {
    at as f64
}
