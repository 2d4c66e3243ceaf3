//! The span of a finished request, if its trace is sampled and goes anywhere.
//!
//! Owns which of a request's facts a span shows. A query is not one of them.

use std::net::IpAddr;

use http::Version;

use crate::edge::ctx::{ConnInfo, Ctx};
use crate::edge::finish::{Outcome, Seen};
use crate::telemetry::metrics::SpansLost;
use crate::telemetry::spans::{RequestSpan, UpstreamSpan, cut};

/// Hands the span in.
pub(super) fn record(ctx: &Ctx, seen: &Seen<'_>, outcome: &Outcome) {
    if ctx.live.config.tracing.otlp.is_none() {
        return;
    }
    if let Some(span) = request(ctx, seen, outcome)
        && !ctx.telemetry.spans.push(span)
    {
        ctx.telemetry.metrics.spans_lost(SpansLost::QueueFull, 1);
    }
}

fn request(ctx: &Ctx, seen: &Seen<'_>, outcome: &Outcome) -> Option<RequestSpan> {
    let identity = ctx.identity.as_ref()?;
    let span = identity.span.filter(|span| span.sampled)?;
    let address = |of: fn(&ConnInfo) -> IpAddr| ctx.conn.as_ref().map_or(ConnInfo::UNKNOWN, of).to_string();
    let path = ctx.admitted().map_or_else(
        || seen.target.split(['?', '#']).next().unwrap_or_default(),
        |admitted| admitted.path.as_str(),
    );
    Some(RequestSpan {
        trace: span.trace,
        id: span.id,
        parent: span.parent,
        start: ctx.began,
        took: outcome.took,
        method: cut(seen.method.as_str()),
        scheme: ctx.conn.as_ref().map_or("", |conn| conn.scheme.as_str()),
        host: ctx.admitted().map_or_else(String::new, |admitted| admitted.host.as_str().to_owned()),
        port: ctx.conn.as_ref().map_or(0, |conn| conn.port),
        path: cut(path),
        route: ctx.live.route_name(ctx.vhost, ctx.route).map(cut),
        version: version(seen.version),
        client: address(|conn| conn.client.0),
        peer: address(|conn| conn.peer.0),
        user_agent: seen.user_agent.map(|agent| cut(&String::from_utf8_lossy(agent.as_bytes()))),
        status: outcome.status,
        error: ctx.failure.as_ref().map(|failure| failure.cause.name()),
        upstream: identity.client.and_then(|id| attempt(ctx, id)),
    })
}

fn attempt(ctx: &Ctx, id: u64) -> Option<UpstreamSpan> {
    let (proxying, timing) = (ctx.upstream()?, &ctx.timing);
    Some(UpstreamSpan {
        id,
        began: timing.last_attempt()?.saturating_duration_since(ctx.started),
        upstream: proxying.pool.config.name.clone(),
        address: proxying.address,
        status: timing.status(),
        resends: timing.attempts().map_or(0, |attempts| attempts - 1),
    })
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
