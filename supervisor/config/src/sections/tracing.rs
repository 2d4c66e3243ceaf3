//! `[tracing]`: request ids, trace context, and where spans go.
//!
//! Owns which header a request id may have; makes no id.

use std::time::Duration;

use super::Names;
use crate::flaw::{Flaw, show};
use crate::observing::{Otlp, RequestId, Tracing, Trust};
use crate::schema;
use crate::section::{Read, Section};
use crate::value::{self, duration, ratio};

/// Kinds of trust by name.
pub(crate) const TRUST: [(&str, Trust); 3] =
    [("trusted_proxies", Trust::TrustedProxies), ("always", Trust::Always), ("never", Trust::Never)];

/// What carries the message itself, or is written by us for another end.
const TAKEN: [&str; 18] = [
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "forwarded",
    "host",
    "keep-alive",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "authorization",
    "x-forwarded-for",
];

/// The table.
pub(crate) fn read(section: &Section<'_>, upstreams: &Names) -> Tracing {
    let defaults = Tracing::default();
    Tracing {
        request_id: request_id(&section.table("request_id", &schema::REQUEST_ID)),
        propagate: section.boolean("propagate").or(defaults.propagate),
        trust: trust(section).or(defaults.trust),
        sample_ratio: section.read("sample_ratio", ratio::EXPECTED, ratio::parse).or(defaults.sample_ratio),
        otlp: otlp(&section.table("otlp", &schema::OTLP), upstreams),
    }
}

fn otlp(section: &Section<'_>, upstreams: &Names) -> Option<Otlp> {
    let path = section.read("path", "a path", path).or("/v1/traces".to_owned());
    let service_name = section.read("service_name", "a name", value::name).or("fluxheim".to_owned());
    let interval = section.read("interval", duration::EXPECTED, interval).or(INTERVAL);
    if section.is_empty() {
        return None;
    }
    let upstream =
        section.require("upstream", "the name of one of [[upstreams]]", |text| upstreams.upstream(text))?;
    let upstream = upstreams.resolve(section.run().sink, "upstream", &upstream)?;
    Some(Otlp { upstream, path, service_name, interval })
}

fn path(text: &str) -> Result<String, Flaw> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Flaw::new(format!("{} is not a path", show(text))).help("begin with /, as in \"/v1/traces\""))
}

/// Longer, and a trace would come too late to be looked for; 0 would send each span alone.
fn interval(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if time <= Duration::from_secs(60) {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} is out of range", show(text))).help("choose at most 60s"))
}

/// That of OpenTelemetry's own exporters.
const INTERVAL: Duration = Duration::from_secs(5);

fn request_id(section: &Section<'_>) -> RequestId {
    let defaults = RequestId::default();
    RequestId {
        header: section.read("header", "a header field's name", header).or(defaults.header),
        trust: trust(section).or(defaults.trust),
    }
}

fn trust(section: &Section<'_>) -> Read<Trust> {
    section.read("trust", "a word", |text| value::word(text, &TRUST))
}

/// RFC 9110 section 5.1: a token; of those, what nobody takes for a name is left out.
fn header(text: &str) -> Result<String, Flaw> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        let flaw = Flaw::new(format!("{} is not the name of a header field", show(text)));
        return Err(flaw.help("use 1 to 64 of the characters a-z A-Z 0-9 - _, such as \"X-Request-Id\""));
    }
    if TAKEN.contains(&text.to_ascii_lowercase().as_str()) {
        let flaw = Flaw::new(format!("{} has another meaning", show(text)));
        return Err(flaw.help("choose a name such as \"X-Request-Id\""));
    }
    Ok(text.to_owned())
}
