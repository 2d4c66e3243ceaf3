//! What is said of a request that never became one: its count and its access line.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

use super::Terms;
use crate::telemetry::access::AccessLine;
use crate::telemetry::metrics::meters::Request;
use crate::wire::Violation;

/// Counts and logs a request that the framework never sees.
pub(super) fn tell(terms: &Terms, violation: Violation, line: Option<(&[u8], &[u8])>, id: &HeaderValue) {
    count(terms, violation);
    let took = if violation == Violation::SlowHead { terms.pace.header_timeout } else { Duration::ZERO };
    let telemetry = &terms.telemetry;
    let request = Request { code: violation.status(), took, received: 0, sent: 0 };
    telemetry.metrics.no_vhost.request(&telemetry.metrics, &request);
    telemetry.metrics.no_vhost.error(&telemetry.metrics, violation.name());
    if !telemetry.access.enabled() {
        return;
    }
    let (method, target) = line.unwrap_or_default();
    let peer = terms.peer.ip().to_canonical().to_string();
    telemetry.log(&AccessLine {
        ts: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        request_id: id.to_str().unwrap_or_default(),
        client_ip: peer.clone(),
        peer_ip: peer,
        scheme: terms.scheme.as_str(),
        protocol: "HTTP/1.1",
        method: &String::from_utf8_lossy(method),
        target: String::from_utf8_lossy(target),
        status: violation.status(),
        bytes: Some(0),
        duration: took.as_secs_f64(),
        vhost: telemetry.metrics.no_vhost.name(),
        error: Some(violation.name()),
        error_detail: Some(violation.explanation()),
        ..AccessLine::default()
    });
}

/// Counts a refusal of which the request itself will tell the rest.
pub(super) fn count(terms: &Terms, violation: Violation) {
    terms.telemetry.metrics.refused(violation.name());
}
