//! The stage between routing and the target: may this request be served?
//!
//! Owns the order of the questions. What can be judged from values alone is `policy`'s; what has to wait
//! for something (a queue, another server) is waited for here.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::time::Instant;

use crate::edge::cause::Failure;
use crate::edge::ctx::{Ctx, Proven};
use crate::edge::gone::{self, Gone};
use crate::edge::limiters::{Counted, Limiter};
use crate::edge::respond::{self, Reply};
use crate::edge::{consult, deadline, peer, proof};
use crate::policy::cors::{self, Cors};
use crate::policy::tally::Tally;
use crate::policy::{self, Denied, Permit};
use crate::route::Routed;
use crate::telemetry::metrics::meters::VhostMeters;
use crate::types::Client;

/// Why a request goes no further.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is denied, or failed.
    Refused(Reply),
    /// It is denied, in words of another service.
    Denied(Failure, Box<ResponseHeader>, Bytes),
    /// It has its answer, which is no failure.
    Answered(Box<ResponseHeader>, Bytes),
    /// Nobody waits for one any more.
    Gone(Gone),
}

impl<T: Into<Reply>> From<T> for Stop {
    fn from(reply: T) -> Self {
        Self::Refused(reply.into())
    }
}

/// A place among its client's requests, before anything of it is looked at: also of those that are refused,
/// as long as their answers are on the way.
///
/// # Errors
/// The answer where the client has as many as it may.
pub(super) fn enter(ctx: &mut Ctx, clients: &Arc<Tally>) -> Result<(), Reply> {
    let config = &ctx.live.config;
    let Some(conn) = ctx.conn else { return Ok(()) };
    // A proxy that does not tell whom it asks for.
    if config.server.trusted_proxies.iter().any(|network| network.contains(&conn.client.0)) {
        return Ok(());
    }
    let client = Client::of(conn.client.0, config.limits.ipv6_prefix);
    let place = clients.enter(client, config.limits.max_requests_per_client);
    ctx.place = Some(place.ok_or_else(Reply::one_too_many)?);
    Ok(())
}

/// Whether the client may come in at all, by its address. Asked before anything else is answered, so that
/// who may not learns nothing of routes and methods.
///
/// # Errors
/// The answer for a client that may not.
pub(super) fn comes_in(ctx: &Ctx) -> Result<(), Reply> {
    match &ctx.rules().access {
        Some(access) if !ctx.conn.is_some_and(|conn| access.permits(conn.client)) => {
            Err(Denied::Address.into())
        }
        _ => Ok(()),
    }
}

/// Whether the client comes too often. Asked of every request, also of those that are then sent to TLS, are a
/// preflight, or have no route: nobody may look for paths as fast as he likes.
///
/// # Errors
/// The answer for a request over one of the rates.
pub(super) fn in_rate(session: &Session, ctx: &mut Ctx) -> Result<(), Reply> {
    let live = Arc::clone(&ctx.live);
    rate(session, ctx, live.limiters.of(ctx.vhost, ctx.route))
}

/// Asks the rules of the route's policy that [`comes_in`] and [`in_rate`] have not.
///
/// # Errors
/// The answer for a request that one of them denies, or that asked for no more than leave.
pub(super) async fn permit(
    session: &mut Session,
    ctx: &mut Ctx,
    routed: Routed,
) -> Result<(Permit, Proven), Stop> {
    let live = Arc::clone(&ctx.live);
    let (vhost, route) = (Some(routed.vhost()), Some(routed.route()));
    let (rules, limiter) = (live.rules(vhost, route), live.limiters.of(vhost, route));
    if let Some(cors) = &rules.cors
        && cors::is_preflight(session.req_header())
    {
        return Err(preflight(session, cors));
    }
    let mut proven = Proven::new();
    if let Some(basic) = &rules.basic {
        proven.extend(proof::password(session, ctx, basic).await?);
    }
    if let Some(bearer) = &rules.bearer {
        proven.extend(proof::token(session, bearer)?);
    }
    if let Some(forward) = &rules.forward {
        proven.extend(consult::consult(session, ctx, forward).await?);
    }
    concurrency(session, ctx, limiter).await?;
    let declared = ctx.admitted().and_then(|admitted| admitted.declared_body);
    Ok((policy::permit(routed, declared, ctx.policy().limits.max_body_size)?, proven))
}

/// Browsers send no credentials with it (Fetch standard, section 4.8), so it is answered before any are
/// asked for. What it allows is put on the head with the fields of every other response.
fn preflight(session: &Session, cors: &Cors) -> Stop {
    if cors.preflight(session.req_header()).is_none() {
        return Denied::Origin.into();
    }
    match respond::head(StatusCode::NO_CONTENT) {
        Ok(head) => Stop::Answered(Box::new(head), Bytes::new()),
        Err(_) => Reply::internal("a head of our own was refused").into(),
    }
}

/// Sets what a route allows a request in time.
pub(super) fn set_times(session: &mut Session, ctx: &mut Ctx) {
    let limits = ctx.policy().limits;
    let (mut read, mut write) = (limits.read_timeout, limits.write_timeout);
    if let Some(total) = limits.request_timeout {
        let due = Instant::from_std(ctx.started) + total;
        ctx.due = Some(due);
        deadline::set(Some(due));
        // The waits of a connection that may be upgraded are not those of a request.
        if !peer::may_upgrade(session) {
            ctx.hurried = true;
            (read, write) = (read.min(total), write.min(total));
        }
    }
    session.set_read_timeout(Some(read));
    session.set_write_timeout(Some(write));
}

fn client(ctx: &Ctx) -> Option<Client> {
    ctx.conn.map(|conn| Client::of(conn.client.0, ctx.live.config.limits.ipv6_prefix))
}

fn rate(session: &Session, ctx: &mut Ctx, limiter: &Limiter) -> Result<(), Reply> {
    let (Some(client), Some(admitted)) = (client(ctx), ctx.admitted()) else { return Ok(()) };
    let request = Counted { client, path: &admitted.path, headers: &session.req_header().headers };
    let said = ctx.live.limiters.ask(limiter, request);
    ctx.quota = said.field;
    if said.forgotten > 0 {
        ctx.telemetry.metrics.rate_buckets_forgotten.inc_by(said.forgotten);
    }
    let vhost = ctx.live.meters(ctx.vhost).map_or("-", VhostMeters::name);
    for rule in said.observed {
        ctx.telemetry.metrics.rate_limited(vhost, &rule.name, "observe");
    }
    if let Some((rule, _)) = said.denied {
        ctx.telemetry.metrics.rate_limited(vhost, &rule.name, "enforce");
    }
    match said.denied {
        Some((rule, wait)) => Err(Reply::over_rate(&rule.name, wait)),
        None => Ok(()),
    }
}

async fn concurrency(session: &mut Session, ctx: &mut Ctx, limiter: &Limiter) -> Result<(), Stop> {
    let (Some(concurrency), Some(client)) = (&limiter.concurrency, client(ctx)) else { return Ok(()) };
    let entered = gone::unless_gone(session, concurrency.enter(client)).await.map_err(Stop::Gone)?;
    ctx.held = Some(entered?);
    Ok(())
}
