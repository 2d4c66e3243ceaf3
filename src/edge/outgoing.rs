//! The one door by which every response head leaves: own answers, files, what upstreams say.
//!
//! Owns what is put on each of them alike, whatever made it. The edits themselves are pure functions of
//! `rewrite` and `policy`.

use http::request::Parts;
use http::{HeaderValue, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::edge::ctx::Ctx;
use crate::edge::{attempt, send_on};
use crate::policy::cors::{self, Cors};
use crate::policy::headers::SecurityHeaders;
use crate::types::Scheme;

/// Makes `head` ready to leave; to be called once for each head.
///
/// # Errors
/// A value that can't stand in a header field: an internal error.
pub(super) fn dress(session: &mut Session, head: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    ctx.answers(head.status);
    send_on::fit_to_version(session, head);
    if let Some(identity) = &ctx.identity {
        identity.answer(head, &ctx.live)?;
    }
    if let Some(quota) = &ctx.quota {
        tell_quota(head, ctx, quota)?;
    }
    if !head.status.is_informational() {
        obey_rules(session, head, ctx)?;
    }
    // The operator's own word is the last one.
    send_on::reshape_response(session, head, ctx)
}

/// What the rules of the route ask of its responses.
fn obey_rules(session: &Session, head: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    if let Some(cookie) = attempt::set_cookie(ctx) {
        head.append_header(header::SET_COOKIE, cookie)?;
    }
    let rules = ctx.rules();
    if let Some(cors) = &rules.cors {
        speak_of_origins(session.req_header(), head, cors)?;
    }
    if let (Some(headers), Some(conn)) = (&rules.headers, &ctx.conn) {
        harden(head, headers, conn.scheme)?;
    }
    Ok(())
}

/// Beside those of an upstream: they are lists, and both limits hold.
fn tell_quota(head: &mut ResponseHeader, ctx: &Ctx, quota: &HeaderValue) -> Result<()> {
    let limiter = ctx.live.limiters.of(ctx.vhost, ctx.route);
    if let Some(policy) = limiter.policy.clone() {
        head.append_header("RateLimit-Policy", policy)?;
    }
    head.append_header("RateLimit", quota.clone())?;
    Ok(())
}

/// On errors too: a page's script may know why it got nothing.
fn speak_of_origins(request: &Parts, head: &mut ResponseHeader, cors: &Cors) -> Result<()> {
    for name in &cors::RESPONSE_FIELDS {
        head.remove_header(name);
    }
    let fields = match cors::is_preflight(request) {
        true => cors.preflight(request).unwrap_or_default(),
        false => cors.response(&request.headers),
    };
    for (name, value) in fields {
        head.insert_header(name, value)?;
    }
    if cors.varies() && !cors::varies_by_origin(&head.headers) {
        head.append_header(header::VARY, "Origin")?;
    }
    Ok(())
}

fn harden(head: &mut ResponseHeader, headers: &SecurityHeaders, scheme: Scheme) -> Result<()> {
    for (name, value) in headers.fields(scheme) {
        if headers.is_due(name, &head.headers) {
            head.insert_header(name.clone(), value.clone())?;
        }
    }
    Ok(())
}

/// Sends a head that Fluxheim made itself.
///
/// # Errors
/// The framework's, when the client has gone.
pub(super) async fn write(
    session: &mut Session,
    ctx: &Ctx,
    mut head: ResponseHeader,
    end: bool,
) -> Result<()> {
    dress(session, &mut head, ctx)?;
    session.write_response_header(Box::new(head), end).await
}
