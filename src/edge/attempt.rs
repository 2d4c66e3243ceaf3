//! The attempts at one request: where each goes, and whether another is made.
//!
//! Owns the rules of retries. A request goes out again only where the server can't have acted on it
//! twice: it was never sent, or its method is idempotent (RFC 9110 section 9.2.2) and its body can be
//! replayed; nothing of a response has gone to the client; the configuration wants it, and there is
//! another server, an attempt left and room in the budget.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use fluxheim_config::{Balance, HashBy, RetryOn};
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};

use crate::edge::cause::{Cause, Failure};
use crate::edge::ctx::{Ctx, Proxying};
use crate::edge::{failure, respond};
use crate::rewrite::cookies;
use crate::upstream::clock::Tick;
use crate::upstream::{NoServer, Pool, Turn};

/// What the request asks of its upstream: the key that is hashed, the server it sticks to.
pub(super) fn turn(pool: &Pool, session: &Session, ctx: &Ctx) -> Turn {
    let head = session.req_header();
    let cookie = pool.config.sticky.as_ref().and_then(|it| cookies::value(&head.headers, &it.cookie));
    let turn = |key: Option<&[&[u8]]>| pool.turn(key, cookie, seconds(ctx.began));
    let Balance::Hash(hash) = &pool.config.balance else { return turn(None) };
    match &hash.by {
        HashBy::ClientIp => match ctx.conn.map(|conn| conn.client.0) {
            Some(std::net::IpAddr::V4(ip)) => turn(Some(&[&ip.octets()])),
            Some(std::net::IpAddr::V6(ip)) => turn(Some(&[&ip.octets()])),
            None => turn(None),
        },
        HashBy::Header(name) => match head.headers.get(name.as_str()) {
            Some(value) => turn(Some(&[value.as_bytes()])),
            None => turn(None),
        },
        HashBy::Cookie(name) => match cookies::value(&head.headers, name) {
            Some(value) => turn(Some(&[value.as_bytes()])),
            None => turn(None),
        },
        HashBy::Uri => {
            let path = ctx.admitted().map_or("/", |admitted| admitted.path.as_str());
            let query = head.uri.query().unwrap_or_default();
            turn(Some(&[path.as_bytes(), b"?", query.as_bytes()]))
        }
    }
}

/// The address for the attempt that is due, waited for where there is a queue. `left` is what is left of
/// the request's own time, before and after.
pub(super) async fn next(
    proxying: &mut Proxying,
    left: Option<Duration>,
) -> Result<(SocketAddr, Option<Duration>), NoServer> {
    proxying.lease = None;
    let began = Tick::now();
    let acquired = proxying.pool.acquire(&mut proxying.turn, proxying.resend);
    let lease = match left {
        Some(left) => tokio::time::timeout(left, acquired).await.unwrap_or(Err(NoServer::QueueTimeout))?,
        None => acquired.await?,
    };
    let left = left.map(|left| left.saturating_sub(Tick::now().since(began)));
    if proxying.attempts > 0 {
        // What was read of the body is sent, and so counted, once more.
        proxying.permit.start_over();
    }
    proxying.attempts = proxying.attempts.saturating_add(1);
    let address = lease.address();
    proxying.address = Some(address);
    proxying.lease = Some(lease);
    Ok((address, left))
}

/// What there is to say when no server may be used.
pub(super) fn no_server(why: NoServer) -> Box<Error> {
    let failure = match why {
        NoServer::NoAddress => Cause::UpstreamNoAddress.into(),
        NoServer::Unusable => Cause::UpstreamNoHealthyPeer.into(),
        NoServer::Full | NoServer::QueueFull | NoServer::QueueTimeout => {
            Failure::with(Cause::UpstreamBusy, why.to_string())
        }
    };
    failure::raise(failure, ErrorSource::Upstream)
}

/// There was no connection, so nothing was sent, and any request may have another server.
pub(super) fn not_connected(proxying: &mut Proxying, error: &mut Error) {
    let now = Tick::now();
    if let Some(mut lease) = proxying.lease.take() {
        lease.failed(now);
    }
    let wanted = proxying.pool.config.retry.on.contains(&RetryOn::Connect);
    error.set_retry(wanted && has_left(proxying) && proxying.pool.has_another(&proxying.turn, now));
}

/// The connection failed, or the response is not wanted.
pub(super) fn broken(session: &mut Session, proxying: &mut Proxying, error: &mut Error, reused: bool) {
    let of_server = error.esource() == &ErrorSource::Upstream;
    let refused = std::mem::take(&mut proxying.refused);
    // A kept connection that the server was closing just then (RFC 9112 section 9.3.1): not its fault, and
    // as good as not sent.
    let closing = of_server && reused && matches!(error.retry, RetryType::ReusedOnly);
    // A server may tire of a client that trickles: whoever owes a body can't have its server ejected.
    let owing = !session.as_mut().is_body_done();
    if let Some(mut lease) = proxying.lease.take().filter(|_| of_server && !closing && !refused && !owing) {
        lease.failed(Tick::now());
    }
    let again = match () {
        () if respond::answered(session).is_some() => false,
        () if refused => true,
        () if closing => has_left(proxying) && is_replayable(session),
        () if of_server => {
            kind(error).is_some_and(|kind| proxying.pool.config.retry.on.contains(&kind))
                && may_be_sent_again(session, proxying)
        }
        () => false,
    };
    if closing && again {
        proxying.turn.forgive();
    }
    proxying.resend = again;
    error.set_retry(again);
}

/// The head of a response has come.
///
/// # Errors
/// What makes the framework ask another server, where this response is one to try again after.
pub(super) fn answered(session: &Session, proxying: &mut Proxying, head: &ResponseHeader) -> Result<()> {
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let status = head.status.as_u16();
    if let Some(lease) = &mut proxying.lease {
        lease.answered(status, Tick::now());
    }
    let on = RetryOn::of_status(status);
    if on.is_some_and(|on| proxying.pool.config.retry.on.contains(&on))
        && respond::answered(session).is_none()
        && may_be_sent_again(session, proxying)
    {
        proxying.refused = true;
        let said = format!("the server answered {status}, and another one is asked");
        return Err(failure::raise(Failure::with(Cause::UpstreamClosed, said), ErrorSource::Upstream));
    }
    Ok(())
}

/// The `Set-Cookie` that keeps the client with the server that answered.
pub(super) fn set_cookie(ctx: &Ctx) -> Option<String> {
    let proxying = ctx.upstream()?;
    proxying.pool.set_cookie(&proxying.turn, proxying.lease.as_ref()?, seconds(ctx.began))
}

fn may_be_sent_again(session: &Session, proxying: &Proxying) -> bool {
    let (pool, turn) = (&proxying.pool, &proxying.turn);
    has_left(proxying)
        && is_replayable(session)
        && pool.affords_retry(turn)
        && pool.has_another(turn, Tick::now())
}

fn has_left(proxying: &Proxying) -> bool {
    proxying.attempts < proxying.pool.config.retry.attempts
}

fn is_replayable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}

/// What kind of failure `retry.on` would call it.
fn kind(error: &Error) -> Option<RetryOn> {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Some(RetryOn::Timeout),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => {
            Some(RetryOn::Reset)
        }
        _ => None,
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
