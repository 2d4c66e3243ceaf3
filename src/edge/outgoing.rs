//! The one door by which every response head leaves: own answers, files, what upstreams say.
//!
//! Owns what is put on each of them alike, whatever made it. The edits themselves are pure functions of
//! `rewrite` and `policy`.

use http::HeaderValue;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::edge::ctx::Ctx;
use crate::edge::send_on;

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
    Ok(())
}

/// Beside those of an upstream: they are lists, and both limits hold.
fn tell_quota(head: &mut ResponseHeader, ctx: &Ctx, quota: &HeaderValue) -> Result<()> {
    let limiter = ctx.live.limiters.of(ctx.vhost, ctx.route);
    if let Some(policy) = limiter.and_then(|limiter| limiter.policy.clone()) {
        head.append_header("RateLimit-Policy", policy)?;
    }
    head.append_header("RateLimit", quota.clone())?;
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
