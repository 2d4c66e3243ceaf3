//! The metrics and their names; docs/metrics.md lists them.
//!
//! Owns registration and exposition. Labels come from the configuration and from fixed lists, never from a
//! request, so one client can't make them grow. Requests count through [`meters`], which
//! resolve their series once.

pub mod acme;
mod labels;
pub mod meters;
mod process;

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use fluxheim_posture::handoff::Posture;
use prometheus_client::encoding::{prometheus_protobuf, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, NativeHistogramConfig};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::certificates::{CertificateSample, Certificates, Files};
use crate::telemetry::lifecycle::Lifecycle;
use crate::telemetry::servers::{Servers, UpstreamSample};
use crate::types::{Scheme, TlsFacts};
use labels::{
    AdminLabels, CLIENT_CERTIFICATES, ControlLabels, ErrorLabels, RateLabels, ReasonLabel, RequestLabels,
    ResultLabel, SchemeLabel, TlsLabels, UpstreamLabel, UpstreamLabels, VhostLabel, VhostResultLabels,
};
pub use labels::{Attempt, SpansLost};
use meters::{UpstreamMeters, VhostMeters};
use process::Process;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    durations: Histograms<VhostLabel>,
    request_sizes: Histograms<VhostLabel>,
    received: Family<VhostLabel, Counter>,
    sent: Family<VhostLabel, Counter>,
    connections: Family<SchemeLabel, Counter>,
    connections_refused: Family<ReasonLabel, Counter>,
    h2_refused: Family<ReasonLabel, Counter>,
    rate_limited: Family<RateLabels, Counter>,
    handshakes: Family<ResultLabel, Counter>,
    client_certificates: Family<VhostResultLabels, Counter>,
    tls_sessions: Family<TlsLabels, Counter>,
    refused: Family<ReasonLabel, Counter>,
    upstream_attempts: Family<UpstreamLabels, Counter>,
    upstream_addresses: Family<UpstreamLabel, Gauge>,
    /// Rate-limit buckets that made room for others while they were not full.
    pub rate_buckets_forgotten: Counter,
    upstream_connects: Histograms<UpstreamLabel>,
    upstream_responses: Histograms<UpstreamLabel>,
    reloads: Family<ResultLabel, Counter>,
    admin_requests: Family<AdminLabels, Counter>,
    admin_refused: Family<ReasonLabel, Counter>,
    reload_success: Gauge,
    reload_time: Gauge<f64, AtomicU64>,
    /// What requests count that no vhost answers for.
    pub no_vhost: VhostMeters,
    /// Spans that a collector has taken.
    pub spans_exported: Counter,
    spans_dropped: Family<ReasonLabel, Counter>,
    /// Failures of accept(2).
    pub accept_errors: Counter,
    /// Access log lines lost because their writer could not keep up.
    pub access_lines_dropped: Counter,
    open_connections: Gauge,
    in_flight: Gauge,
    ready: Gauge,
    servers: Servers,
    certificates: Certificates,
    /// Files that are replaced while the proxy runs.
    pub files: Files,
    pub acme: acme::AcmeMeters,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

impl Metrics {
    /// Registers everything at zero, and what PID 1 found if it started us.
    #[must_use]
    pub(super) fn new(posture: Option<&Posture>) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(seconds),
            request_sizes: Family::new_with_constructor(bytes),
            received: Family::default(),
            sent: Family::default(),
            connections: Family::default(),
            connections_refused: Family::default(),
            h2_refused: Family::default(),
            rate_limited: Family::default(),
            handshakes: Family::default(),
            client_certificates: Family::default(),
            tls_sessions: Family::default(),
            refused: Family::default(),
            upstream_attempts: Family::default(),
            upstream_addresses: Family::default(),
            rate_buckets_forgotten: Counter::default(),
            upstream_connects: Family::new_with_constructor(seconds),
            upstream_responses: Family::new_with_constructor(seconds),
            reloads: Family::default(),
            admin_requests: Family::default(),
            admin_refused: Family::default(),
            reload_success: Gauge::default(),
            reload_time: Gauge::default(),
            no_vhost: VhostMeters::new("-"),
            spans_exported: Counter::default(),
            spans_dropped: Family::default(),
            accept_errors: Counter::default(),
            access_lines_dropped: Counter::default(),
            open_connections: Gauge::default(),
            in_flight: Gauge::default(),
            ready: Gauge::default(),
            servers: Servers::default(),
            certificates: Certificates::default(),
            files: Files::default(),
            acme: acme::AcmeMeters::default(),
        };
        metrics.register_http();
        metrics.register_upstreams();
        metrics.register_rest();
        metrics.registry.register_collector(Box::new(Process::starting_now()));
        metrics.registry.register_collector(Box::new(metrics.certificates.clone()));
        metrics.files.register(metrics.registry.sub_registry_with_prefix(PREFIX));
        metrics.reloaded(true);
        if let Some(posture) = posture {
            metrics.register_posture(posture);
        }
        metrics
    }

    fn register_http(&mut self) {
        let r = self.registry.sub_registry_with_prefix(PREFIX);
        r.register("http_requests", "Requests answered, by vhost and status", self.requests.clone());
        r.register("http_errors", "Requests that failed, by vhost and reason", self.errors.clone());
        r.register_with_unit(
            "http_request_duration",
            "Time from a request's head to the end of its response",
            Unit::Seconds,
            self.durations.clone(),
        );
        r.register_with_unit(
            "http_request_size",
            "Body bytes of a request",
            Unit::Bytes,
            self.request_sizes.clone(),
        );
        r.register_with_unit(
            "http_received",
            "Body bytes of requests, by vhost",
            Unit::Bytes,
            self.received.clone(),
        );
        r.register_with_unit(
            "http_sent",
            "Body bytes of responses, by vhost",
            Unit::Bytes,
            self.sent.clone(),
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
        r.register(
            "tls_client_certificates",
            "Handshakes with vhosts that ask for a client certificate, by vhost and what came of it",
            self.client_certificates.clone(),
        );
        r.register(
            "tls_sessions",
            "TLS sessions agreed on, by version, key exchange, and whether an earlier one was taken up",
            self.tls_sessions.clone(),
        );
    }

    fn register_upstreams(&mut self) {
        let r = self.registry.sub_registry_with_prefix(PREFIX);
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
        self.servers.register(r);
        r.register("upstream_addresses", "Addresses an upstream has now", self.upstream_addresses.clone());
        r.register_with_unit(
            "upstream_connect_duration",
            "Time that a new connection to a server took, TLS included",
            Unit::Seconds,
            self.upstream_connects.clone(),
        );
        r.register_with_unit(
            "upstream_response_duration",
            "Time from asking a server to the head of its response",
            Unit::Seconds,
            self.upstream_responses.clone(),
        );
    }

    fn register_rest(&mut self) {
        let r = self.registry.sub_registry_with_prefix(PREFIX);
        self.acme.register(r);
        r.register(
            "access_log_dropped",
            "Access log lines lost because stdout was not read fast enough",
            self.access_lines_dropped.clone(),
        );
        r.register("spans_exported", "Spans that the collector has taken", self.spans_exported.clone());
        r.register("spans_dropped", "Spans that were lost, by reason", self.spans_dropped.clone());
        r.register("config_reloads", "Reloads of the configuration, by result", self.reloads.clone());
        r.register(
            "config_reload_success",
            "1 if the last reload was taken, 0 if it was refused; 1 at the start",
            self.reload_success.clone(),
        );
        r.register_with_unit(
            "config_reload_timestamp",
            "When the running configuration was taken, since the Unix epoch",
            Unit::Seconds,
            self.reload_time.clone(),
        );
        r.register(
            "admin_requests",
            "Requests on the admin socket, by operation and status",
            self.admin_requests.clone(),
        );
        r.register(
            "admin_connections_refused",
            "Connections to the admin socket that were closed unheard, by reason",
            self.admin_refused.clone(),
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
        let r = self.registry.sub_registry_with_prefix(PREFIX);
        r.register("control", "1 for each hardening control, as judged at the start", controls);
        r.register(
            "secrets_off_swap",
            "1, with whether secrets can reach swap as judged at the start",
            off_swap,
        );
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

    /// Drops the series of a rule that no longer is.
    pub fn forget_rate_limit(&self, vhost: &str, rule: &str, mode: &'static str) {
        let labels = RateLabels { vhost: vhost.to_owned(), rule: rule.to_owned(), mode };
        self.rate_limited.remove(&labels);
    }

    /// One TLS handshake.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&ResultLabel { result }).inc();
    }

    /// What was agreed on in one TLS handshake.
    pub fn tls_session(&self, facts: &TlsFacts) {
        let resumed = if facts.resumed { "yes" } else { "no" };
        let labels = TlsLabels { version: facts.version, group: facts.group.unwrap_or("none"), resumed };
        self.tls_sessions.get_or_create(&labels).inc();
    }

    /// What came of asking a client for its certificate.
    pub fn client_certificate(&self, vhost: &str, result: &'static str) {
        let labels = VhostResultLabels { vhost: vhost.to_owned(), result };
        self.client_certificates.get_or_create(&labels).inc();
    }

    /// One request refused for its framing or its pace.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// One HTTP/2 connection or stream that was ended.
    pub fn h2_refused(&self, reason: &'static str) {
        self.h2_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Spans that no collector will see.
    pub fn spans_lost(&self, lost: SpansLost, count: u64) {
        let reason = match lost {
            SpansLost::QueueFull => "queue_full",
            SpansLost::ExportFailed => "export_failed",
        };
        self.spans_dropped.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// The configuration was replaced, or a new one refused.
    pub fn reload(&self, taken: bool) {
        self.reloads.get_or_create(&ResultLabel { result: if taken { "taken" } else { "refused" } }).inc();
        self.reloaded(taken);
    }

    fn reloaded(&self, taken: bool) {
        self.reload_success.set(i64::from(taken));
        if taken {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.reload_time.set(now.as_secs_f64());
        }
    }

    /// One request on the admin socket.
    pub fn admin_request(&self, operation: &'static str, code: u16) {
        self.admin_requests.get_or_create(&AdminLabels { operation, code }).inc();
    }

    /// One connection to the admin socket that nobody listened to.
    pub fn admin_refused(&self, reason: &'static str) {
        self.admin_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Drops the series of a vhost that no longer is.
    pub fn forget_vhost(&self, meters: &VhostMeters) {
        let label = VhostLabel { vhost: meters.name().to_owned() };
        for code in meters.codes() {
            self.requests.remove(&RequestLabels { vhost: label.vhost.clone(), code });
        }
        for reason in meters.reasons() {
            self.errors.remove(&ErrorLabels { vhost: label.vhost.clone(), reason });
        }
        for result in CLIENT_CERTIFICATES {
            self.client_certificates.remove(&VhostResultLabels { vhost: label.vhost.clone(), result });
        }
        self.durations.remove(&label);
        self.request_sizes.remove(&label);
        self.received.remove(&label);
        self.sent.remove(&label);
    }

    /// Drops the series of an upstream that no longer is.
    pub fn forget_upstream(&self, meters: &UpstreamMeters) {
        let label = UpstreamLabel { upstream: meters.name().to_owned() };
        for attempt in Attempt::ALL {
            let result = attempt.label();
            self.upstream_attempts.remove(&UpstreamLabels { upstream: label.upstream.clone(), result });
        }
        self.upstream_addresses.remove(&label);
        self.upstream_connects.remove(&label);
        self.upstream_responses.remove(&label);
    }

    /// How many addresses an upstream has after a refresh.
    pub fn upstream_addresses(&self, upstream: &str, count: usize) {
        let labels = UpstreamLabel { upstream: upstream.to_owned() };
        self.upstream_addresses.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The exposition as OpenMetrics text, which every scraper reads.
    #[must_use]
    pub fn expose(&self, lifecycle: &Lifecycle) -> String {
        self.look_at(lifecycle);
        let mut out = String::new();
        // Writing into a String can't fail; an empty answer would show up in every scrape.
        let _ = self.servers.fresh(|| text::encode(&mut out, &self.registry));
        out
    }

    /// The exposition as Prometheus protobuf, the only form that has native histograms.
    #[must_use]
    pub fn expose_protobuf(&self, lifecycle: &Lifecycle) -> Option<Vec<u8>> {
        self.look_at(lifecycle);
        self.servers.fresh(|| prometheus_protobuf::encode_to_vec(&self.registry).ok())
    }

    fn look_at(&self, lifecycle: &Lifecycle) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.open_connections.set(gauge(lifecycle.connections()));
        self.in_flight.set(gauge(lifecycle.in_flight()));
        self.ready.set(i64::from(lifecycle.ready()));
    }

    /// Where the gauges of upstream servers come from.
    pub fn watch_servers(&self, source: impl Fn() -> UpstreamSample + Send + Sync + 'static) {
        self.servers.watch(Box::new(source));
    }

    /// Where the dates of certificates come from.
    pub fn watch_certificates(&self, source: impl Fn() -> Vec<CertificateSample> + Send + Sync + 'static) {
        self.certificates.watch(Box::new(source));
    }
}

fn seconds() -> Histogram {
    Histogram::new_classic_and_native(SECONDS, native())
}

fn bytes() -> Histogram {
    Histogram::new_classic_and_native(BYTES, native())
}

/// Buckets that grow by a tenth, as Prometheus recommends, and no more than it takes by default.
fn native() -> NativeHistogramConfig {
    NativeHistogramConfig::default().max_buckets(160)
}

/// What every name of ours begins with.
const PREFIX: &str = "fluxheim";
/// From a cache hit on loopback to the longest default timeout.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// From a request without a body to a large upload.
const BYTES: [f64; 8] = [0.0, 256.0, 1024.0, 16384.0, 131_072.0, 1_048_576.0, 16_777_216.0, 268_435_456.0];

/// Content type of [`Metrics::expose`].
pub const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of [`Metrics::expose_protobuf`].
pub const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

#[cfg(test)]
mod tests;
