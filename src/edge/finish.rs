//! The end of a request: its access line and its metrics.
//!
//! Owns what is said of a request once it is over. Runs once for each request that got a context;
//! heads the framework could not parse never do, and are not logged.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{Version, header};
use pingora::Error;
use pingora::proxy::Session;

use crate::edge::ctx::{ConnInfo, Ctx};
use crate::edge::respond;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessLine;

/// Counts and logs a finished request.
pub(super) fn finish(session: &Session, error: Option<&Error>, ctx: &Ctx, telemetry: &Telemetry) {
    let took = ctx.started.elapsed();
    let status = status(session);
    let vhost = ctx.live.vhost_name(ctx.vhost);
    telemetry.metrics.request(vhost, status, took);
    if !telemetry.access.enabled() {
        return;
    }
    let reason = ctx.error.clone().or_else(|| error.map(ToString::to_string));
    let line = line(session, ctx, Outcome { status, took, reason });
    if !telemetry.access.write(&line) {
        telemetry.metrics.access_lines_dropped.inc();
    }
}

struct Outcome {
    status: u16,
    took: Duration,
    reason: Option<String>,
}

/// The status sent; 499, as nginx logs it, when the client left before there was one.
fn status(session: &Session) -> u16 {
    respond::answered(session).map_or(CLIENT_GONE, |status| status.as_u16())
}

fn line<'a>(session: &'a Session, ctx: &'a Ctx, outcome: Outcome) -> AccessLine<'a> {
    let head = session.req_header();
    let upstream = ctx.upstream();
    let address = |of: fn(&ConnInfo) -> IpAddr| ctx.conn.as_ref().map_or(ConnInfo::UNKNOWN, of).to_string();
    AccessLine {
        ts: ctx.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        client_ip: address(|conn| conn.client.0),
        peer_ip: address(|conn| conn.peer.0),
        scheme: ctx.conn.as_ref().map_or("", |conn| conn.scheme.as_str()),
        protocol: protocol(head.version),
        method: head.method.as_str(),
        host: ctx.admitted().map_or("", |admitted| admitted.host.as_str()),
        target: String::from_utf8_lossy(head.raw_path()),
        status: outcome.status,
        bytes: session.body_bytes_sent() as u64,
        duration: outcome.took.as_secs_f64(),
        vhost: ctx.live.vhost_name(ctx.vhost),
        upstream: upstream.map(|proxying| proxying.pool.config.name.as_str()),
        upstream_address: upstream.and_then(|proxying| proxying.address).map(|address| address.to_string()),
        user_agent: head
            .headers
            .get(header::USER_AGENT)
            .map(|agent| String::from_utf8_lossy(agent.as_bytes())),
        error: outcome.reason,
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

/// nginx's own status for it; not registered with IANA and never sent.
const CLIENT_GONE: u16 = 499;
