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
use pingora::proxy::Session;

use crate::edge::cause::{CLIENT_GONE, Cause, Failure, Loudness};
use crate::edge::ctx::{ConnInfo, Ctx};
use crate::edge::identity::Identity;
use crate::edge::{failure, respond, spans};
use crate::telemetry::access::AccessLine;
use crate::telemetry::metrics::meters::{Request, VhostMeters};

/// Of a request's head what its access line shows. The copies share the head's memory.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    target: Uri,
    version: Version,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

/// The same, on loan.
pub(super) struct Seen<'a> {
    pub(super) method: &'a Method,
    pub(super) target: Cow<'a, str>,
    pub(super) version: Version,
    pub(super) referer: Option<&'a HeaderValue>,
    pub(super) user_agent: Option<&'a HeaderValue>,
}

impl Asked {
    fn of(session: &Session) -> Self {
        let head = session.req_header();
        Self {
            method: head.method.clone(),
            target: head.uri.clone(),
            version: head.version,
            referer: head.headers.get(header::REFERER).cloned(),
            user_agent: head.headers.get(header::USER_AGENT).cloned(),
        }
    }

    fn seen(&self) -> Seen<'_> {
        let target = match self.target.path_and_query() {
            Some(target) if self.target.scheme().is_none() => target.as_str().into(),
            _ => self.target.to_string().into(),
        };
        Seen {
            method: &self.method,
            target,
            version: self.version,
            referer: self.referer.as_ref(),
            user_agent: self.user_agent.as_ref(),
        }
    }
}

impl<'a> Seen<'a> {
    fn of(session: &'a Session) -> Self {
        let head = session.req_header();
        Self {
            method: &head.method,
            target: String::from_utf8_lossy(head.raw_path()),
            version: head.version,
            referer: head.headers.get(header::REFERER),
            user_agent: head.headers.get(header::USER_AGENT),
        }
    }
}

/// Keeps what [`cut`] would need.
pub(super) fn begin(session: &Session, ctx: &mut Ctx) {
    if ctx.telemetry.access.enabled() {
        ctx.asked = Some(Box::new(Asked::of(session)));
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
        bytes_received: Some(session.body_bytes_read() as u64),
        took: ctx.started.elapsed(),
    };
    tell(ctx, &Seen::of(session), &outcome);
}

/// Logs a request that will never be finished: the process ends, or its task has panicked.
pub(super) fn cut(ctx: &mut Ctx) {
    let Some(asked) = ctx.asked.take() else { return };
    let cause = match (std::thread::panicking(), ctx.is_overdue(), ctx.telemetry.lifecycle.draining()) {
        (false, true, _) => Cause::RequestTimeout,
        (false, false, true) => Cause::DrainTimeout,
        (true, _, _) | (false, false, false) => Cause::Internal,
    };
    ctx.failure = Some(cause.into());
    let status = ctx.answered().unwrap_or(CLIENT_GONE);
    let outcome = Outcome { status, bytes: None, bytes_received: None, took: ctx.started.elapsed() };
    tell(ctx, &asked.seen(), &outcome);
}

pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) bytes: Option<u64>,
    pub(super) bytes_received: Option<u64>,
    pub(super) took: Duration,
}

fn tell(ctx: &Ctx, seen: &Seen<'_>, outcome: &Outcome) {
    let metrics = &ctx.telemetry.metrics;
    let vhost = vhost(ctx);
    let (received, sent) = (outcome.bytes_received.unwrap_or(0), outcome.bytes.unwrap_or(0));
    vhost.request(metrics, &Request { code: outcome.status, took: outcome.took, received, sent });
    if let (Some(proxying), Some(took)) = (ctx.upstream(), ctx.timing.upstream()) {
        proxying.pool.meters.answered(metrics, took);
    }
    if let Some(failure) = &ctx.failure {
        vhost.error(metrics, failure.cause.name());
        say(ctx, vhost.name(), failure);
    }
    spans::record(ctx, seen, outcome);
    if ctx.telemetry.access.enabled() {
        log(ctx, seen, outcome);
    }
}

fn vhost(ctx: &Ctx) -> &VhostMeters {
    ctx.live.meters(ctx.vhost).unwrap_or(&ctx.telemetry.metrics.no_vhost)
}

/// The diagnostic beside the access line.
fn say(ctx: &Ctx, vhost: &str, failure: &Failure) {
    let (error, detail) = (failure.cause.name(), &*failure.detail);
    let request_id = ctx.identity.as_ref().map(Identity::request_id_text);
    let upstream = ctx.upstream().map(|proxying| proxying.pool.config.name.as_str());
    let address = ctx.upstream().and_then(|proxying| proxying.address).map(tracing::field::display);
    match failure.cause.loudness() {
        Loudness::Debug => tracing::debug!(request_id, error, detail, vhost, "request failed"),
        Loudness::Warn => {
            tracing::warn!(
                request_id,
                error,
                detail,
                vhost,
                upstream,
                upstream_address = address,
                "request failed"
            );
        }
        Loudness::Error => {
            tracing::error!(
                request_id,
                error,
                detail,
                vhost,
                upstream,
                upstream_address = address,
                "request failed"
            );
        }
    }
}

fn log(ctx: &Ctx, seen: &Seen<'_>, outcome: &Outcome) {
    let (upstream, timing, span) =
        (ctx.upstream(), &ctx.timing, ctx.identity.as_ref().and_then(|id| id.span));
    let address = |of: fn(&ConnInfo) -> IpAddr| ctx.conn.as_ref().map_or(ConnInfo::UNKNOWN, of).to_string();
    let seconds = |time: Option<Duration>| time.as_ref().map(Duration::as_secs_f64);
    let (trace, span) = (span.map(|span| span.trace_text()), span.map(|span| span.id_text()));
    ctx.telemetry.log(&AccessLine {
        ts: ctx.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        request_id: ctx.identity.as_ref().map_or("", Identity::request_id_text),
        trace_id: trace.as_ref().and_then(|text| std::str::from_utf8(text).ok()),
        span_id: span.as_ref().and_then(|text| std::str::from_utf8(text).ok()),
        client_ip: address(|conn| conn.client.0),
        peer_ip: address(|conn| conn.peer.0),
        scheme: ctx.conn.as_ref().map_or("", |conn| conn.scheme.as_str()),
        protocol: protocol(seen.version),
        tls: ctx.tls.as_deref(),
        client: ctx.client.identity(),
        method: seen.method.as_str(),
        host: ctx.admitted().map_or("", |admitted| admitted.host.as_str()),
        target: Cow::Borrowed(&*seen.target),
        path: ctx.admitted().map(|admitted| admitted.path.as_str()),
        status: outcome.status,
        bytes: outcome.bytes,
        bytes_received: outcome.bytes_received,
        duration: outcome.took.as_secs_f64(),
        queue: seconds(timing.queue(ctx.started)),
        connect: seconds(timing.connect()),
        first_byte: seconds(timing.until_first_byte(ctx.started)),
        vhost: vhost(ctx).name(),
        route: ctx.live.route_name(ctx.vhost, ctx.route),
        upstream: upstream.map(|proxying| proxying.pool.config.name.as_str()),
        upstream_address: upstream.and_then(|proxying| proxying.address),
        attempts: timing.attempts(),
        referer: seen.referer.map(|referer| String::from_utf8_lossy(referer.as_bytes())),
        user_agent: seen.user_agent.map(|agent| String::from_utf8_lossy(agent.as_bytes())),
        error: ctx.failure.as_ref().map(|failure| failure.cause.name()),
        error_detail: ctx.failure.as_ref().map(|failure| &*failure.detail),
    });
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "unknown",
    }
}
