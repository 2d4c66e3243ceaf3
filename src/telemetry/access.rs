//! The access log: a line a request.
//!
//! Owns the line's fields and which of them are wanted; how it is written is in `json` and `text`.
//! What is lost to a slow reader is for the caller to count.

mod json;
mod text;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use fluxheim_config::{LogField, LogFields, LogFormat, LogQuery, Logging};

use crate::telemetry::lines::Lines;
use crate::telemetry::mask;
use crate::types::{ClientIdentity, TlsFacts};

/// One request as the log has it.
#[derive(Debug, Default)]
pub struct AccessLine<'a> {
    /// Seconds since the Unix epoch, when the request's head was read.
    pub ts: f64,
    pub request_id: &'a str,
    pub trace_id: Option<&'a str>,
    pub span_id: Option<&'a str>,
    pub client_ip: String,
    pub peer_ip: String,
    pub scheme: &'static str,
    pub protocol: &'static str,
    pub tls: Option<&'a TlsFacts>,
    /// Who the client is by its certificate.
    pub client: Option<&'a ClientIdentity>,
    pub method: &'a str,
    pub host: &'a str,
    /// As received; masked when it is written.
    pub target: Cow<'a, str>,
    /// The path by which requests are left out, once it is known.
    pub path: Option<&'a str>,
    pub status: u16,
    /// Body bytes sent to the client, where they were counted to the end.
    pub bytes: Option<u64>,
    /// Body bytes read from the client, likewise.
    pub bytes_received: Option<u64>,
    /// Seconds, from the request's head to the end of the response.
    pub duration: f64,
    /// Seconds until it was permitted.
    pub queue: Option<f64>,
    /// Seconds that the last connection to the upstream took.
    pub connect: Option<f64>,
    /// Seconds until the head of the upstream's response.
    pub first_byte: Option<f64>,
    pub vhost: &'a str,
    pub route: Option<&'a str>,
    pub upstream: Option<&'a str>,
    pub upstream_address: Option<SocketAddr>,
    pub attempts: Option<u32>,
    /// Masked when it is written.
    pub referer: Option<Cow<'a, str>>,
    pub user_agent: Option<Cow<'a, str>>,
    /// Why it failed, when it did: a stable word.
    pub error: Option<&'static str>,
    /// The same in words, for people.
    pub error_detail: Option<&'a str>,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Count(u64),
    Seconds(f64),
}

impl AccessLine<'_> {
    /// The value of `field`; `None` where it does not apply.
    fn value(&self, field: LogField, query: LogQuery) -> Option<Value<'_>> {
        fn lent<'b>(text: &'b str) -> Option<Value<'b>> {
            Some(Value::Text(Cow::Borrowed(text)))
        }
        match field {
            LogField::Ts => Some(Value::Seconds(self.ts)),
            LogField::RequestId => lent(self.request_id),
            LogField::TraceId => self.trace_id.and_then(lent),
            LogField::SpanId => self.span_id.and_then(lent),
            LogField::ClientIp => lent(&self.client_ip),
            LogField::PeerIp => lent(&self.peer_ip),
            LogField::Scheme => lent(self.scheme),
            LogField::Protocol => lent(self.protocol),
            LogField::TlsVersion => self.tls.map(|tls| tls.version).and_then(lent),
            LogField::TlsCipher => self.tls.map(|tls| tls.cipher).and_then(lent),
            LogField::TlsGroup => self.tls.and_then(|tls| tls.group).and_then(lent),
            LogField::TlsSni => self.tls.and_then(|tls| tls.sni.as_deref()).and_then(lent),
            LogField::TlsResumed => self.tls.filter(|tls| tls.resumed).and_then(|_| lent("yes")),
            LogField::ClientCertSubject => self.client.map(|client| client.subject.as_str()).and_then(lent),
            LogField::ClientCertFingerprint => {
                self.client.map(|client| Value::Text(client.fingerprint_text().into()))
            }
            LogField::Method => lent(self.method),
            LogField::Host => lent(self.host),
            LogField::Target => Some(Value::Text(mask::url(&self.target, query))),
            LogField::Status => Some(Value::Count(u64::from(self.status))),
            LogField::Bytes => self.bytes.map(Value::Count),
            LogField::BytesReceived => self.bytes_received.map(Value::Count),
            LogField::Duration => Some(Value::Seconds(self.duration)),
            LogField::Queue => self.queue.map(Value::Seconds),
            LogField::Connect => self.connect.map(Value::Seconds),
            LogField::FirstByte => self.first_byte.map(Value::Seconds),
            LogField::Vhost => lent(self.vhost),
            LogField::Route => self.route.and_then(lent),
            LogField::Upstream => self.upstream.and_then(lent),
            LogField::UpstreamAddress => {
                self.upstream_address.map(|address| Value::Text(address.to_string().into()))
            }
            LogField::Attempts => self.attempts.map(|attempts| Value::Count(u64::from(attempts))),
            LogField::Referer => self.referer.as_deref().map(|url| Value::Text(mask::url(url, query))),
            LogField::UserAgent => self.user_agent.as_deref().and_then(lent),
            LogField::Error => self.error.and_then(lent),
            LogField::ErrorDetail => self.error_detail.and_then(lent),
        }
    }
}

/// What lines look like and which requests have one; a reload replaces it.
#[derive(Debug, Clone)]
pub struct Style {
    format: LogFormat,
    fields: LogFields,
    query: LogQuery,
    skip_paths: Vec<String>,
}

impl From<&Logging> for Style {
    fn from(logging: &Logging) -> Self {
        Self {
            format: logging.format,
            fields: logging.fields,
            query: logging.query,
            skip_paths: logging.skip_paths.clone(),
        }
    }
}

impl Style {
    /// Whether the line is one that nobody wants to see.
    fn skips(&self, line: &AccessLine<'_>) -> bool {
        !self.skip_paths.is_empty()
            && line.status < 400
            && line.error.is_none()
            && line.path.is_some_and(|path| self.skip_paths.iter().any(|skipped| skipped == path))
    }

    fn write(&self, line: &AccessLine<'_>) -> Option<Vec<u8>> {
        let mut bytes = match self.format {
            LogFormat::Json => json::write(line, self.fields, self.query)?,
            LogFormat::Text => text::write(line, self.fields, self.query).into_bytes(),
        };
        bytes.push(b'\n');
        Some(bytes)
    }
}

/// Where requests are logged, if anywhere.
#[derive(Debug)]
pub struct AccessLog {
    lines: Option<Lines>,
    wanted: AtomicBool,
}

impl AccessLog {
    /// A log that takes nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self { lines: None, wanted: AtomicBool::new(false) }
    }

    /// A log of these lines.
    #[must_use]
    pub const fn to(lines: Lines) -> Self {
        Self { lines: Some(lines), wanted: AtomicBool::new(true) }
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.lines.is_some() && self.wanted.load(Ordering::Relaxed)
    }

    /// From now on, whether they are.
    pub(super) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Hands a line in; false when it was lost.
    #[must_use]
    pub fn write(&self, line: &AccessLine<'_>, style: &Style) -> bool {
        let Some(lines) = self.lines.as_ref().filter(|_| self.enabled()) else { return true };
        style.skips(line) || style.write(line).is_some_and(|bytes| lines.push(&bytes))
    }
}

#[cfg(test)]
mod tests;
