//! The end of a request: its access line, its metrics, and a diagnostic where something of ours or
//! behind us is broken.
//!
//! Owns what is said of a request once it is over. Runs once for each request that got a context, also
//! for one that the end of the process cuts off.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Uri, Version, header};
use pingora::Error;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::edge::cause::{CLIENT_GONE, Cause, Failure, Loudness};
use crate::edge::ctx::{ConnInfo, Ctx};
use crate::edge::{failure, respond};
use crate::telemetry::access::AccessLine;

/// Of a request's head what its access line shows. The copies share the head's memory.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    target: Uri,
    version: Version,
    user_agent: Option<HeaderValue>,
}

/// The same, on loan.
struct Seen<'a> {
    method: &'a Method,
    target: Cow<'a, str>,
    version: Version,
    user_agent: Option<&'a HeaderValue>,
}

impl Asked {
    fn of(head: &RequestHeader) -> Self {
        Self {
            method: head.method.clone(),
            target: head.uri.clone(),
            version: head.version,
            user_agent: head.headers.get(header::USER_AGENT).cloned(),
        }
    }

    fn seen(&self) -> Seen<'_> {
        let target = match self.target.path_and_query() {
            Some(target) if self.target.scheme().is_none() => target.as_str().into(),
            _ => self.target.to_string().into(),
        };
        Seen { method: &self.method, target, version: self.version, user_agent: self.user_agent.as_ref() }
    }
}

impl<'a> Seen<'a> {
    fn of(head: &'a RequestHeader) -> Self {
        Self {
            method: &head.method,
            target: String::from_utf8_lossy(head.raw_path()),
            version: head.version,
            user_agent: head.headers.get(header::USER_AGENT),
        }
    }
}

/// Keeps what [`cut`] would need.
pub(super) fn begin(session: &Session, ctx: &mut Ctx) {
    if ctx.telemetry.access.enabled() {
        ctx.asked = Some(Box::new(Asked::of(session.req_header())));
    }
}

/// Counts and logs a finished request.
pub(super) fn finish(session: &Session, error: Option<&Error>, ctx: &mut Ctx) {
    ctx.asked = None;
    if ctx.failure.is_none() {
        ctx.failure = error.map(failure::of);
    }
    let outcome = Outcome {
        // 499, as nginx logs it, when the client left before there was a status.
        status: respond::answered(session).map_or(CLIENT_GONE, |status| status.as_u16()),
        bytes: Some(session.body_bytes_sent() as u64),
        took: ctx.started.elapsed(),
    };
    tell(ctx, &Seen::of(session.req_header()), &outcome);
}

/// Logs a request that will never be finished: the process ends, or its task has panicked.
pub(super) fn cut(ctx: &mut Ctx) {
    let Some(asked) = ctx.asked.take() else { return };
    let cause = match ctx.telemetry.lifecycle.draining() && !std::thread::panicking() {
        true => Cause::DrainTimeout,
        false => Cause::Internal,
    };
    ctx.failure = Some(cause.into());
    let status = ctx.answered().unwrap_or(CLIENT_GONE);
    let outcome = Outcome { status, bytes: None, took: ctx.started.elapsed() };
    tell(ctx, &asked.seen(), &outcome);
}

struct Outcome {
    status: u16,
    bytes: Option<u64>,
    took: Duration,
}

fn tell(ctx: &Ctx, seen: &Seen<'_>, outcome: &Outcome) {
    let vhost = ctx.live.vhost_name(ctx.vhost);
    let metrics = &ctx.telemetry.metrics;
    metrics.request(vhost, outcome.status, outcome.took);
    if let Some(failure) = &ctx.failure {
        metrics.error(vhost, failure.cause.name());
        say(ctx, vhost, failure);
    }
    if ctx.telemetry.access.enabled() && !ctx.telemetry.access.write(&line(ctx, seen, outcome)) {
        metrics.access_lines_dropped.inc();
    }
}

/// The diagnostic beside the access line.
fn say(ctx: &Ctx, vhost: &str, failure: &Failure) {
    let (error, detail) = (failure.cause.name(), &*failure.detail);
    let upstream = ctx.upstream().map(|proxying| proxying.pool.config.name.as_str());
    let address = ctx.upstream().and_then(|proxying| proxying.address).map(tracing::field::display);
    match failure.cause.loudness() {
        Loudness::Debug => tracing::debug!(error, detail, vhost, "request failed"),
        Loudness::Warn => {
            tracing::warn!(error, detail, vhost, upstream, upstream_address = address, "request failed");
        }
        Loudness::Error => {
            tracing::error!(error, detail, vhost, upstream, upstream_address = address, "request failed");
        }
    }
}

fn line<'a>(ctx: &'a Ctx, seen: &'a Seen<'_>, outcome: &Outcome) -> AccessLine<'a> {
    let upstream = ctx.upstream();
    let address = |of: fn(&ConnInfo) -> IpAddr| ctx.conn.as_ref().map_or(ConnInfo::UNKNOWN, of).to_string();
    AccessLine {
        ts: ctx.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        client_ip: address(|conn| conn.client.0),
        peer_ip: address(|conn| conn.peer.0),
        scheme: ctx.conn.as_ref().map_or("", |conn| conn.scheme.as_str()),
        protocol: protocol(seen.version),
        method: seen.method.as_str(),
        host: ctx.admitted().map_or("", |admitted| admitted.host.as_str()),
        target: Cow::Borrowed(&*seen.target),
        status: outcome.status,
        bytes: outcome.bytes,
        duration: outcome.took.as_secs_f64(),
        vhost: ctx.live.vhost_name(ctx.vhost),
        upstream: upstream.map(|proxying| proxying.pool.config.name.as_str()),
        upstream_address: upstream.and_then(|proxying| proxying.address).map(|address| address.to_string()),
        user_agent: seen.user_agent.map(|agent| String::from_utf8_lossy(agent.as_bytes())),
        error: ctx.failure.as_ref().map(|failure| failure.cause.name()),
        error_detail: ctx.failure.as_ref().map(|failure| &*failure.detail),
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "unknown",
    }
}
