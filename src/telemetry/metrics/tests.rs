//! The exposition as scrapers see it.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxheim_config::{Control, Level};
use fluxheim_posture::Outcome;
use fluxheim_posture::handoff::ControlOutcome;

use super::meters::Request;
use super::*;
use crate::telemetry::certificates::{CertificateSample, FileLabels};
use crate::telemetry::servers::{ServerSample, UpstreamSample};

/// A vhost and an upstream that have counted one request.
fn used(metrics: &Metrics) -> (VhostMeters, UpstreamMeters) {
    let (vhost, upstream) = (VhostMeters::new("a.test"), UpstreamMeters::new("app"));
    let request = Request { code: 200, took: Duration::from_millis(3), received: 5, sent: 7 };
    vhost.request(metrics, &request);
    vhost.error(metrics, "upstream_reset");
    upstream.attempt(metrics, Attempt::Connected);
    upstream.connected(metrics, Duration::from_millis(1));
    upstream.answered(metrics, Duration::from_millis(2));
    (vhost, upstream)
}

#[test]
fn exposes_what_was_counted() {
    let metrics = Metrics::new(None);
    metrics.connection(Scheme::Https);
    metrics.handshake("ok");
    metrics.refused("bare_lf");
    metrics.connection_refused("client_limit");
    metrics.upstream_addresses("app", 2);
    let (vhost, upstream) = used(&metrics);
    let text = metrics.expose(&Lifecycle::default());
    for line in [
        "fluxheim_http_requests_total{vhost=\"a.test\",code=\"200\"} 1",
        "fluxheim_http_errors_total{vhost=\"a.test\",reason=\"upstream_reset\"} 1",
        "fluxheim_http_request_duration_seconds_count{vhost=\"a.test\"} 1",
        "fluxheim_http_request_size_bytes_sum{vhost=\"a.test\"} 5",
        "fluxheim_http_received_bytes_total{vhost=\"a.test\"} 5",
        "fluxheim_http_sent_bytes_total{vhost=\"a.test\"} 7",
        "fluxheim_upstream_response_duration_seconds_count{upstream=\"app\"} 1",
        "fluxheim_upstream_connect_duration_seconds_count{upstream=\"app\"} 1",
        "fluxheim_config_reload_success 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
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
    metrics.forget_vhost(&vhost);
    metrics.forget_upstream(&upstream);
    let text = metrics.expose(&Lifecycle::default());
    assert!(!text.contains("a.test") && !text.contains("\"app\""), "{text}");
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

#[test]
fn drops_the_series_of_files_and_certificates_that_are_gone() {
    let metrics = Metrics::new(None);
    let file =
        |name: &str| FileLabels { role: "certificate", name: name.to_owned(), path: format!("/{name}") };
    metrics.files.follow([file("a"), file("b")].into());
    metrics.files.failed(&file("a"));
    metrics.files.taken(&file("b"));
    let labels = "{role=\"certificate\",name=\"a\",path=\"/a\"}";
    let line = |name: &str, value| format!("fluxheim_file_{name}{labels} {value}\n");
    let text = metrics.expose(&Lifecycle::default());
    for line in [line("reload_failed", 1), line("reloads_refused_total", 1)] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("fluxheim_certificate"), "{text}");
    // What a reload has read is good, whatever was there before.
    metrics.files.follow([file("a")].into());
    let text = metrics.expose(&Lifecycle::default());
    assert!(text.contains(&line("reload_failed", 0)) && !text.contains("\"b\""), "{text}");
}

#[test]
fn says_nothing_of_a_storage_for_acme_where_there_is_none() {
    let metrics = Metrics::new(None);
    let without = metrics.expose(&Lifecycle::default());
    assert!(!without.contains("\nfluxheim_acme_storage_up"), "{without}");
    metrics.acme.storage(false);
    let down = metrics.expose(&Lifecycle::default());
    assert!(down.contains("\nfluxheim_acme_storage_up 0\n"), "{down}");
}

#[test]
fn the_documentation_has_every_metric_with_its_labels() {
    let posture = Posture { controls: vec![control()], secrets_off_swap: Outcome::Inherited };
    let metrics = Metrics::new(Some(&posture));
    used(&metrics);
    metrics.connection(Scheme::Http);
    metrics.connection_refused("client_limit");
    metrics.handshake("ok");
    metrics.tls_session(&TlsFacts {
        version: "TLSv1.3",
        cipher: "X",
        group: Some("X25519"),
        sni: None,
        local: None,
        alpn: None,
        resumed: false,
        client: None,
        names: std::sync::Arc::from([]),
    });
    metrics.client_certificate("a.test", "ok");
    metrics.refused("bare_lf");
    metrics.h2_refused("resets");
    metrics.rate_limited("a.test", "client_ip", "enforce");
    metrics.upstream_addresses("app", 1);
    metrics.watch_servers(|| UpstreamSample {
        servers: vec![ServerSample {
            upstream: "app".to_owned(),
            server: "app:80".to_owned(),
            address: "10.0.0.1:80".to_owned(),
            healthy: true,
            ejected: false,
            draining: true,
            in_flight: 1,
        }],
        waiting: vec![("app".to_owned(), 2)],
    });
    let certificate = CertificateSample { name: "a".to_owned(), source: "file", not_before: 1, not_after: 2 };
    metrics.watch_certificates(move || vec![certificate.clone()]);
    let file = FileLabels { role: "certificate", name: "a".to_owned(), path: "/a.pem".to_owned() };
    metrics.files.follow([file.clone()].into());
    metrics.files.taken(&file);
    metrics.files.failed(&file);
    metrics.reload(false);
    metrics.admin_request("status", 200);
    metrics.admin_refused("peer");
    metrics.acme.issued("a.test", "default", 1);
    metrics.acme.failures("a.test", 1);
    metrics.acme.next("a.test", 2);
    metrics.acme.storage(true);
    metrics.spans_lost(SpansLost::QueueFull, 1);
    let text = metrics.expose(&Lifecycle::default());
    let mut exposed: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let labels = rest.split_once("} ").map_or("", |(labels, _)| labels);
        let labels: Vec<_> =
            labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name).collect();
        let name =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let labels: Vec<_> = labels.into_iter().filter(|label| *label != "le").collect();
        exposed.insert(name.to_owned(), labels.join(", "));
    }
    let page = include_str!("../../../docs/metrics.md");
    let documented: BTreeMap<_, _> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name.to_owned(), rest.split(" |").next().unwrap().trim_matches('|').to_owned()))
        .collect();
    assert_eq!(documented, exposed, "docs/metrics.md");
}

fn control() -> ControlOutcome {
    ControlOutcome { control: Control::NoNewPrivs, level: Level::Required, result: Outcome::Enforced }
}

#[test]
fn exposes_native_histograms_as_protobuf() {
    let metrics = Metrics::new(None);
    used(&metrics);
    let families = prometheus_protobuf::encode(&metrics.registry).unwrap();
    let family = families.iter().find(|family| family.name == "fluxheim_http_request_duration_seconds");
    let histogram = family.unwrap().metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.positive_span.len()), (1, 1), "{histogram:?}");
    assert_eq!((histogram.schema, histogram.bucket.len()), (3, SECONDS.len() + 1), "{histogram:?}");
    let bytes = metrics.expose_protobuf(&Lifecycle::default()).unwrap();
    assert!(bytes.windows(13).any(|part| part == b"fluxheim_http"));
}
