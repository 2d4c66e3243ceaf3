//! The metrics and their names, in the OpenMetrics text format.
//!
//! Owns registration and labels. Labels come from the configuration and from fixed lists, never
//! from a request, so one client can't make them grow.

use std::time::Duration;

use fluxheim_posture::handoff::Posture;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::lifecycle::Lifecycle;
use crate::types::Scheme;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    durations: Family<VhostLabel, Histogram, fn() -> Histogram>,
    connections: Family<SchemeLabel, Counter>,
    connections_refused: Family<ReasonLabel, Counter>,
    h2_refused: Family<ReasonLabel, Counter>,
    rate_limited: Family<RateLabels, Counter>,
    handshakes: Family<ResultLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    upstream_attempts: Family<UpstreamLabels, Counter>,
    upstream_addresses: Family<UpstreamLabel, Gauge>,
    /// Rate-limit buckets that made room for others while they were not full.
    pub rate_buckets_forgotten: Counter,
    /// Failures of accept(2).
    pub accept_errors: Counter,
    /// Access log lines lost because their writer could not keep up.
    pub access_lines_dropped: Counter,
    open_connections: Gauge,
    in_flight: Gauge,
    ready: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    vhost: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    vhost: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VhostLabel {
    vhost: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RateLabels {
    vhost: String,
    rule: String,
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SchemeLabel {
    scheme: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabel {
    upstream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControlLabels {
    name: &'static str,
    level: &'static str,
    result: &'static str,
}

/// What came of one attempt at an upstream server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// A new connection was made.
    Connected,
    /// A kept one was used again.
    Reused,
    /// No connection.
    ConnectFailed,
    /// The connection failed before the response was complete.
    Failed,
    /// No address to try.
    NoAddress,
}

impl Attempt {
    const fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Reused => "reused",
            Self::ConnectFailed => "connect_failed",
            Self::Failed => "failed",
            Self::NoAddress => "no_address",
        }
    }
}

impl Metrics {
    /// Registers everything at zero, and what PID 1 found if it started us.
    #[must_use]
    pub(super) fn new(posture: Option<&Posture>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("fluxheim"),
            requests: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            connections: Family::default(),
            connections_refused: Family::default(),
            h2_refused: Family::default(),
            rate_limited: Family::default(),
            handshakes: Family::default(),
            refused: Family::default(),
            upstream_attempts: Family::default(),
            upstream_addresses: Family::default(),
            rate_buckets_forgotten: Counter::default(),
            accept_errors: Counter::default(),
            access_lines_dropped: Counter::default(),
            open_connections: Gauge::default(),
            in_flight: Gauge::default(),
            ready: Gauge::default(),
        };
        metrics.register_http();
        metrics.register_rest();
        if let Some(posture) = posture {
            metrics.register_posture(posture);
        }
        metrics
    }

    fn register_http(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "Requests answered, by vhost and status", self.requests.clone());
        r.register("http_errors", "Requests that failed, by vhost and reason", self.errors.clone());
        r.register_with_unit(
            "http_request_duration",
            "Time from a request's head to the end of its response",
            Unit::Seconds,
            self.durations.clone(),
        );
        r.register("http_requests_in_flight", "Requests being served", self.in_flight.clone());
        r.register("connections_accepted", "Client connections accepted", self.connections.clone());
        r.register(
            "connections_refused",
            "Client connections closed as soon as they were accepted, by reason",
            self.connections_refused.clone(),
        );
        r.register("connections", "Client connections open", self.open_connections.clone());
        r.register("accept_errors", "Failures of accept(2)", self.accept_errors.clone());
        r.register(
            "http_framing_refused",
            "HTTP/1.1 requests refused for how they were framed or how slowly they came, by reason",
            self.refused.clone(),
        );
        r.register(
            "http2_refused",
            "HTTP/2 connections ended for a flood of something, and streams for a slow body, by reason",
            self.h2_refused.clone(),
        );
        r.register("tls_handshakes", "TLS handshakes, by result", self.handshakes.clone());
    }

    fn register_rest(&mut self) {
        let r = &mut self.registry;
        r.register(
            "rate_limited",
            "Requests over a rate limit, by vhost, rule and whether the rule is enforced or observed",
            self.rate_limited.clone(),
        );
        r.register(
            "rate_limit_buckets_forgotten",
            "Rate-limit buckets that made room for others before they were full: rate_limit_entries is too low",
            self.rate_buckets_forgotten.clone(),
        );
        r.register(
            "upstream_attempts",
            "Attempts at upstream servers, by result",
            self.upstream_attempts.clone(),
        );
        r.register("upstream_addresses", "Addresses an upstream has now", self.upstream_addresses.clone());
        r.register(
            "access_log_dropped",
            "Access log lines lost because stdout was not read fast enough",
            self.access_lines_dropped.clone(),
        );
        r.register("ready", "1 when ready for requests", self.ready.clone());
        let build = Info::new([("version", crate::types::VERSION), ("commit", crate::types::COMMIT)]);
        r.register("build", "Version and commit of this build", build);
    }

    /// These don't change: the judgement is of the start.
    fn register_posture(&mut self, posture: &Posture) {
        let controls = Family::<ControlLabels, Gauge>::default();
        for seen in &posture.controls {
            let (name, level, result) = (seen.control.name(), seen.level.name(), seen.result.name());
            controls.get_or_create(&ControlLabels { name, level, result }).set(1);
        }
        let off_swap = Family::<ResultLabel, Gauge>::default();
        off_swap.get_or_create(&ResultLabel { result: posture.secrets_off_swap.name() }).set(1);
        let r = &mut self.registry;
        r.register("control", "1 for each hardening control, as judged at the start", controls);
        r.register(
            "secrets_off_swap",
            "1, with whether secrets can reach swap as judged at the start",
            off_swap,
        );
    }

    /// One answered request.
    pub fn request(&self, vhost: &str, code: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { vhost: vhost.to_owned(), code }).inc();
        self.durations.get_or_create(&VhostLabel { vhost: vhost.to_owned() }).observe(took.as_secs_f64());
    }

    /// One request that failed.
    pub fn error(&self, vhost: &str, reason: &'static str) {
        self.errors.get_or_create(&ErrorLabels { vhost: vhost.to_owned(), reason }).inc();
    }

    /// One accepted connection.
    pub fn connection(&self, scheme: Scheme) {
        self.connections.get_or_create(&SchemeLabel { scheme: scheme.as_str() }).inc();
    }

    /// One connection closed as soon as it was accepted.
    pub fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// One request over a rate limit.
    pub fn rate_limited(&self, vhost: &str, rule: &str, mode: &'static str) {
        let labels = RateLabels { vhost: vhost.to_owned(), rule: rule.to_owned(), mode };
        self.rate_limited.get_or_create(&labels).inc();
    }

    /// One TLS handshake.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&ResultLabel { result }).inc();
    }

    /// One request refused for its framing or its pace.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// One HTTP/2 connection or stream that was ended.
    pub fn h2_refused(&self, reason: &'static str) {
        self.h2_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// One attempt at an upstream server.
    pub fn attempt(&self, upstream: &str, attempt: Attempt) {
        let labels = UpstreamLabels { upstream: upstream.to_owned(), result: attempt.label() };
        self.upstream_attempts.get_or_create(&labels).inc();
    }

    /// How many addresses an upstream has after a refresh.
    pub fn upstream_addresses(&self, upstream: &str, count: usize) {
        let labels = UpstreamLabel { upstream: upstream.to_owned() };
        self.upstream_addresses.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The exposition text.
    #[must_use]
    pub fn expose(&self, lifecycle: &Lifecycle) -> String {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.open_connections.set(gauge(lifecycle.connections()));
        self.in_flight.set(gauge(lifecycle.in_flight()));
        self.ready.set(i64::from(lifecycle.ready()));
        let mut out = String::new();
        // Writing into a String can't fail; an empty answer would show up in every scrape.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// Seconds; from a cache hit on loopback to the longest default timeout.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Content type of [`Metrics::expose`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use fluxheim_config::{Control, Level};
    use fluxheim_posture::Outcome;
    use fluxheim_posture::handoff::ControlOutcome;

    use super::*;

    #[test]
    fn exposes_what_was_counted() {
        let metrics = Metrics::new(None);
        metrics.request("a.test", 200, Duration::from_millis(3));
        metrics.error("a.test", "upstream_reset");
        metrics.connection(Scheme::Https);
        metrics.handshake("ok");
        metrics.refused("bare_lf");
        metrics.connection_refused("client_limit");
        metrics.attempt("app", Attempt::Connected);
        metrics.upstream_addresses("app", 2);
        let text = metrics.expose(&Lifecycle::default());
        for line in [
            "fluxheim_http_requests_total{vhost=\"a.test\",code=\"200\"} 1",
            "fluxheim_http_errors_total{vhost=\"a.test\",reason=\"upstream_reset\"} 1",
            "fluxheim_http_request_duration_seconds_count{vhost=\"a.test\"} 1",
            "fluxheim_connections_accepted_total{scheme=\"https\"} 1",
            "fluxheim_connections_refused_total{reason=\"client_limit\"} 1",
            "fluxheim_tls_handshakes_total{result=\"ok\"} 1",
            "fluxheim_http_framing_refused_total{reason=\"bare_lf\"} 1",
            "fluxheim_upstream_attempts_total{upstream=\"app\",result=\"connected\"} 1",
            "fluxheim_upstream_addresses{upstream=\"app\"} 2",
            "fluxheim_ready 0",
            "fluxheim_build_info{",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
    #[test]
    fn shows_the_posture_that_was_judged_and_none_where_there_is_none() {
        let of = |control, level, result| ControlOutcome { control, level, result };
        let posture = Posture {
            controls: vec![
                of(Control::NoNewPrivs, Level::Required, Outcome::Enforced),
                of(Control::MemoryLock, Level::BestEffort, Outcome::NotPermitted),
            ],
            secrets_off_swap: Outcome::Inherited,
        };
        let text = Metrics::new(Some(&posture)).expose(&Lifecycle::default());
        for line in [
            "fluxheim_control{name=\"no_new_privs\",level=\"required\",result=\"enforced\"} 1\n",
            "fluxheim_control{name=\"memory_lock\",level=\"best_effort\",result=\"not_permitted\"} 1\n",
            "fluxheim_secrets_off_swap{result=\"inherited\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("fluxheim_control{").count(), 2, "{text}");
        let by_hand = Metrics::new(None).expose(&Lifecycle::default());
        assert!(!by_hand.contains("fluxheim_control") && !by_hand.contains("off_swap"), "{by_hand}");
    }
}
