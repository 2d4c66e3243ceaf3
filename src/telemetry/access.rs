//! The access log: one JSON line a request.
//!
//! Owns the line's fields. What is lost to a slow reader is for the caller to count.

use std::borrow::Cow;

use serde::Serialize;

use crate::telemetry::lines::Lines;

/// One request as the log has it. Field names are a contract with log pipelines.
#[derive(Debug, Serialize)]
pub struct AccessLine<'a> {
    /// Seconds since the Unix epoch, when the request's head was read.
    pub ts: f64,
    pub client_ip: String,
    pub peer_ip: String,
    pub scheme: &'static str,
    pub protocol: &'static str,
    pub method: &'a str,
    pub host: &'a str,
    /// Path and query as received.
    pub target: Cow<'a, str>,
    pub status: u16,
    /// Body bytes sent to the client, where they were counted to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Seconds from the request's head to the end of the response.
    pub duration: f64,
    pub vhost: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
    /// Why it failed, when it did: a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The same in words, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<&'a str>,
}

/// Where requests are logged, if anywhere.
#[derive(Debug)]
pub struct AccessLog(Option<Lines>);

impl AccessLog {
    /// A log that takes nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// A log of these lines.
    #[must_use]
    pub const fn to(lines: Lines) -> Self {
        Self(Some(lines))
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a line in; false when it was lost.
    #[must_use]
    pub fn write(&self, line: &AccessLine<'_>) -> bool {
        let Some(lines) = &self.0 else { return true };
        let mut bytes = Vec::with_capacity(LINE_GUESS);
        if serde_json::to_writer(&mut bytes, line).is_err() {
            return false;
        }
        bytes.push(b'\n');
        lines.push(&bytes)
    }
}

/// A typical line fits.
const LINE_GUESS: usize = 384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::lines::tests::Kept;

    fn line(target: &str) -> AccessLine<'_> {
        AccessLine {
            ts: 1.5,
            client_ip: "192.0.2.1".to_owned(),
            peer_ip: "192.0.2.1".to_owned(),
            scheme: "https",
            protocol: "HTTP/2.0",
            method: "GET",
            host: "a.test",
            target: target.into(),
            status: 200,
            bytes: Some(3),
            duration: 0.25,
            vhost: "a.test",
            upstream: None,
            upstream_address: None,
            user_agent: None,
            error: None,
            error_detail: None,
        }
    }

    #[test]
    fn writes_each_line_as_json_with_hostile_bytes_escaped() {
        let out = Kept::default();
        let (log, writer) = Lines::start("test", out.clone()).unwrap();
        let log = AccessLog::to(log);
        assert!(log.write(&line("/a\"\n{}")));
        assert!(log.write(&line("/b")));
        writer.finish();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["target"], "/a\"\n{}");
        assert_eq!(lines[0]["status"], 200);
        assert!(lines[0].get("error").is_none());
    }
}
