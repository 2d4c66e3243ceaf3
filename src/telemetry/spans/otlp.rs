//! Spans in OTLP's JSON form (OTLP 1.x, "OTLP/HTTP" and "JSON Protobuf Encoding").
//!
//! Owns names and encodings: ids in hexadecimal, 64-bit numbers as strings, kinds as numbers.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{RequestSpan, UpstreamSpan};
use crate::types::VERSION;

/// The body of a request to a collector.
#[must_use]
pub fn export(service: &str, spans: &[Box<RequestSpan>]) -> Vec<u8> {
    let spans: Vec<_> = spans.iter().flat_map(|span| [Some(server(span)), client(span)]).flatten().collect();
    let resource = attributes([("service.name", text(service)), ("service.version", text(VERSION))]);
    let scope = json!({ "name": "fluxheim", "version": VERSION });
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": scope, "spans": spans }],
    }] })
    .to_string()
    .into_bytes()
}

fn server(span: &RequestSpan) -> Value {
    let name =
        span.route.as_ref().map_or_else(|| span.method.clone(), |route| format!("{} {route}", span.method));
    let mut known = vec![
        ("http.request.method", text(&span.method)),
        ("url.scheme", text(span.scheme)),
        ("url.path", text(&span.path)),
        ("server.port", number(span.port.into())),
        ("http.response.status_code", number(span.status.into())),
        ("network.protocol.name", text("http")),
        ("network.protocol.version", text(span.version)),
        ("client.address", text(&span.client)),
        ("network.peer.address", text(&span.peer)),
    ];
    known.extend((!span.host.is_empty()).then(|| ("server.address", text(&span.host))));
    known.extend(span.route.as_ref().map(|route| ("http.route", text(route))));
    known.extend(span.user_agent.as_ref().map(|agent| ("user_agent.original", text(agent))));
    known.extend(error(span.error, span.status));
    let failed = span.status >= 500 || span.error.is_some_and(|_| span.status < 400);
    json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "parentSpanId": span.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
        "flags": SAMPLED,
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.start + span.took),
        "attributes": attributes(known),
        "status": status(failed),
    })
}

fn client(span: &RequestSpan) -> Option<Value> {
    let UpstreamSpan { id, began, upstream, address, status: answered, resends } = span.upstream.as_ref()?;
    let mut known = vec![
        ("http.request.method", text(&span.method)),
        ("url.path", text(&span.path)),
        ("server.address", text(&address.map_or_else(|| upstream.clone(), |at| at.ip().to_string()))),
        ("fluxheim.upstream", text(upstream)),
    ];
    if let Some(address) = address {
        known.push(("server.port", number(address.port().into())));
        known.push(("network.peer.address", text(&address.ip().to_string())));
        known.push(("network.peer.port", number(address.port().into())));
    }
    known.extend(answered.map(|status| ("http.response.status_code", number(status.into()))));
    known.extend((*resends > 0).then(|| ("http.request.resend_count", number((*resends).into()))));
    let failed = span.error.filter(|error| error.starts_with("upstream_"));
    known.extend(error(failed, answered.unwrap_or(0)));
    Some(json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{id:016x}"),
        "parentSpanId": format!("{:016x}", span.id),
        "flags": SAMPLED,
        "name": span.method,
        "kind": CLIENT,
        "startTimeUnixNano": nanos(span.start + *began),
        "endTimeUnixNano": nanos(span.start + span.took),
        "attributes": attributes(known),
        "status": status(failed.is_some() || answered.is_some_and(|status| status >= 400)),
    }))
}

/// `error.type`: our word for it, else the status that is an error.
fn error(word: Option<&'static str>, status: u16) -> Option<(&'static str, Value)> {
    let word = word.map(text).or_else(|| (status >= 500).then(|| text(&status.to_string())))?;
    Some(("error.type", word))
}

fn status(failed: bool) -> Value {
    if failed { json!({ "code": ERROR }) } else { json!({}) }
}

fn attributes(known: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<Value> {
    known.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

fn number(number: u64) -> Value {
    json!({ "intValue": number.to_string() })
}

fn nanos(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since: Duration| since.as_nanos()).to_string()
}

/// SPAN_KIND_SERVER and SPAN_KIND_CLIENT.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// STATUS_CODE_ERROR
const ERROR: u8 = 2;
/// The flag of `traceparent`: only sampled spans come here.
const SAMPLED: u8 = 1;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn request() -> RequestSpan {
        RequestSpan {
            trace: 0xabc,
            id: 1,
            parent: None,
            start: SystemTime::UNIX_EPOCH + Duration::from_secs(2),
            took: Duration::from_millis(3),
            method: "GET".to_owned(),
            scheme: "https",
            host: "a.test".to_owned(),
            port: 8443,
            path: "/x".to_owned(),
            route: Some("/".to_owned()),
            version: "2",
            client: "192.0.2.1".to_owned(),
            peer: "192.0.2.1".to_owned(),
            user_agent: None,
            status: 502,
            error: Some("upstream_reset"),
            upstream: Some(UpstreamSpan {
                id: 2,
                began: Duration::from_millis(1),
                upstream: "app".to_owned(),
                address: None,
                status: None,
                resends: 1,
            }),
        }
    }

    #[test]
    fn encodes_a_request_and_its_attempt_as_server_and_client_spans() {
        let body: Value = serde_json::from_slice(&export("edge", &[Box::new(request())])).unwrap();
        let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans.as_array().unwrap().len(), 2);
        assert_eq!((&spans[0]["name"], &spans[0]["kind"]), (&"GET /".into(), &2.into()));
        assert_eq!(spans[0]["traceId"], "00000000000000000000000000000abc");
        assert_eq!((&spans[1]["parentSpanId"], &spans[1]["kind"]), (&spans[0]["spanId"], &3.into()));
        assert_eq!(spans[0]["startTimeUnixNano"], "2000000000");
        assert_eq!(spans[1]["startTimeUnixNano"], "2001000000");
        assert_eq!(spans[1]["endTimeUnixNano"], "2003000000");
        assert_eq!((&spans[0]["status"]["code"], &spans[1]["status"]["code"]), (&2.into(), &2.into()));
        let has = |span: &Value, key: &str, value: Value| {
            let found = span["attributes"].as_array().unwrap().iter().find(|item| item["key"] == key);
            assert_eq!(found.unwrap_or_else(|| panic!("{key} in {span}"))["value"], value);
        };
        has(&spans[0], "http.response.status_code", json!({ "intValue": "502" }));
        has(&spans[0], "error.type", json!({ "stringValue": "upstream_reset" }));
        has(&spans[1], "http.request.resend_count", json!({ "intValue": "1" }));
    }
}
