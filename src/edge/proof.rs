//! Who asks: passwords and tokens of a request, judged by the rules of its route.
//!
//! Owns the answers to those that are not good; the rules themselves are `policy`'s.

use std::time::SystemTime;

use http::{HeaderValue, header};
use pingora::proxy::Session;

use crate::edge::cause::{Cause, Failure};
use crate::edge::ctx::{Ctx, Proven};
use crate::edge::passwords::Judged;
use crate::edge::respond::Reply;
use crate::policy::basic::{Basic, Credentials};
use crate::policy::jwt::{Bearer, TokenError};
use crate::types::Client;

/// Who asks, by name and password.
pub(super) async fn password(session: &Session, ctx: &Ctx, basic: &Basic) -> Result<Proven, Reply> {
    let unauthorized =
        |cause: Cause| Reply::to(cause).with(header::WWW_AUTHENTICATE, basic.challenge.clone());
    let credentials =
        Credentials::of(&session.req_header().headers).ok_or_else(|| unauthorized(Cause::NoCredentials))?;
    let conn = ctx.conn.ok_or_else(|| Reply::internal("a request without a connection"))?;
    // A whole /64 is one client here, even where requests are counted apart: hashing is dear.
    let client = Client::of(conn.client.0, ctx.live.config.limits.ipv6_prefix.min(64));
    let user = HeaderValue::from_str(credentials.user());
    match ctx.live.passwords().judge(&basic.users.users(), credentials, client).await {
        Judged::Fits => {}
        Judged::Wrong => return Err(unauthorized(Cause::WrongPassword)),
        Judged::Busy => {
            let again = HeaderValue::from_static("1");
            return Err(Reply::to(Cause::PasswordsBusy).with(header::RETRY_AFTER, again));
        }
    }
    let Some(name) = basic.user_header.clone() else { return Ok(Proven::new()) };
    let user = user.map_err(|_| Reply::internal("a user's name that no header field can hold"))?;
    Ok(vec![(name, user)])
}

/// Who asks, by a signed token.
pub(super) fn token(session: &Session, bearer: &Bearer) -> Result<Proven, Reply> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    bearer.judge(&session.req_header().headers, now.as_secs_f64()).map_err(|error| {
        let cause = match error {
            TokenError::Missing => Cause::NoCredentials,
            TokenError::Claims => Cause::ClaimsDenied,
            TokenError::NoKeys => Cause::NoKeys,
            TokenError::TooLong
            | TokenError::Malformed
            | TokenError::Type
            | TokenError::Critical
            | TokenError::Algorithm
            | TokenError::UnknownKey
            | TokenError::Signature
            | TokenError::NoExpiry
            | TokenError::Expired
            | TokenError::NotYet
            | TokenError::Issuer
            | TokenError::Audience
            | TokenError::Unsendable => Cause::InvalidToken,
        };
        let reply = Reply::to(Failure::with(cause, error.to_string()));
        match bearer.challenge(error) {
            Some(challenge) => reply.with(header::WWW_AUTHENTICATE, challenge),
            None => reply,
        }
    })
}
