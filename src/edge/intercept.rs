//! Errors of upstreams that are told in our own words.
//!
//! Owns which these are, what is kept of their heads, and what becomes of their bodies: they are read to the end
//! and dropped, so that the connection can be used again. No service is asked for a page, so that none learns
//! a client's credentials by it (CVE-2026-41181).

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::edge::ctx::Ctx;
use crate::edge::errors::{self, Told};
use crate::edge::{outgoing, respond};

/// What takes the place of a body that is still coming.
#[derive(Debug)]
pub(super) struct Instead {
    /// `None` once it was sent.
    body: Option<Bytes>,
    dropped: usize,
}

/// Puts an answer of our own in the place of `response`, where its route asks for that. Whether it has been sent
/// already, as no body will come whose end could bring it.
///
/// # Errors
/// The framework's, when the client has gone.
pub(super) async fn replace(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> Result<bool> {
    if !ctx.policy().errors.intercepts(response.status.as_u16()) || is_grpc(session, &response.headers) {
        return Ok(false);
    }
    let mut head = respond::head(response.status)?;
    for name in KEPT.into_iter().filter(|name| is_kept(name, response.status)) {
        for value in response.headers.get_all(&name) {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    let body = errors::tell(&mut head, session.req_header(), ctx, Told::of(response.status))?;
    let bodiless = session.req_header().method == Method::HEAD;
    if !bodiless && ends_with_its_head(response) {
        respond::finish(session, ctx, head, body).await?;
        return Ok(true);
    }
    ctx.instead = (!bodiless).then_some(Instead { body: Some(body), dropped: 0 });
    *response = head;
    outgoing::dress(session, response, ctx)?;
    Ok(false)
}

/// Drops a piece of what the upstream said; the last one is replaced by what is said instead.
pub(super) fn drop_piece(ctx: &mut Ctx, piece: &mut Option<Bytes>, end: bool) {
    let Some(instead) = &mut ctx.instead else { return };
    instead.dropped = instead.dropped.saturating_add(piece.as_ref().map_or(0, Bytes::len));
    let due = end || instead.dropped > MOST_DROPPED;
    *piece = if due { instead.body.take() } else { None };
}

/// Trailers say how a call went, with any status (the gRPC protocol over HTTP/2, "Responses").
fn is_grpc(session: &Session, response: &HeaderMap) -> bool {
    let grpc = |headers: &HeaderMap| {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/grpc"))
    };
    grpc(&session.req_header().headers) || grpc(response)
}

/// Whether a body need not be waited for: there is none, or it comes over HTTP/2, where one that nobody reads
/// costs its stream and not the connection.
fn ends_with_its_head(response: &ResponseHeader) -> bool {
    let length = response.headers.get(header::CONTENT_LENGTH).map(http::HeaderValue::as_bytes);
    response.version == Version::HTTP_2 || length == Some(b"0")
}

fn is_kept(name: &header::HeaderName, status: StatusCode) -> bool {
    *name != header::CONTENT_RANGE || status == StatusCode::RANGE_NOT_SATISFIABLE
}

/// Without these a client can't act on the status (RFC 9110 sections 11.6.1, 10.2.1, 10.2.3, 15.5.17), or the
/// application loses track of it.
const KEPT: [header::HeaderName; 7] = [
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::ALLOW,
    header::RETRY_AFTER,
    header::CONTENT_RANGE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
];

/// Of a longer body the rest is not waited for, which costs the connection.
const MOST_DROPPED: usize = 256 << 10;
