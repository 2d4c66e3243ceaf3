//! Answers that need neither an upstream nor a file: `redirect` and `respond`.
//!
//! Owns how they are put together; where a redirect leads is decided in `rewrite`.

use bytes::Bytes;
use fluxheim_config::{Redirect, Respond, RespondBody};
use http::{Method, StatusCode, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::acme::Challenges;
use crate::edge::admit::Admitted;
use crate::edge::ctx::Ctx;
use crate::edge::files::whole;
use crate::edge::respond::{self, Reply};
use crate::edge::shape;
use crate::rewrite::redirect::{location, over_tls};
use crate::rewrite::template::Values;
use crate::types::Scheme;

/// Sends the client where `redirect` leads. The path it speaks of is the rewritten one.
///
/// # Errors
/// The framework's, when the client has gone.
pub(super) async fn redirect(session: &mut Session, ctx: &Ctx, redirect: &Redirect) -> Result<()> {
    let values = shape::values(session, ctx);
    let path = ctx.path().map_or(values.path, |path| path.as_str());
    let to = location(redirect, &Values { path, ..values });
    send(session, ctx, redirect.status, to).await
}

/// Whether the request came in plain text to a vhost that wants TLS.
pub(super) fn wants_tls(session: &Session, ctx: &Ctx) -> bool {
    let vhost = ctx.vhost.and_then(|vhost| ctx.live.config.vhosts.get(vhost));
    vhost.is_some_and(|vhost| vhost.redirect_to_https) && shape::client_scheme(session, ctx) == Scheme::Http
}

/// Sends the client to the same place over TLS, on the port that browsers take.
///
/// # Errors
/// The framework's, when the client has gone.
pub(super) async fn redirect_to_https(session: &mut Session, ctx: &Ctx) -> Result<()> {
    let Some(admitted) = ctx.admitted() else { return Ok(()) };
    let to = over_tls(admitted.host.as_str(), admitted.path.as_str(), session.req_header().uri.query());
    send(session, ctx, 308, to).await
}

/// The answer to a CA that validates a name by HTTP-01 (RFC 8555 section 8.3), if it asks for what is there.
///
/// # Errors
/// Never: the fields are fixed.
pub(super) async fn challenge(
    head: &RequestHeader,
    admitted: &Admitted,
    challenges: Option<&Challenges>,
) -> Result<Option<(ResponseHeader, Bytes)>, Reply> {
    let Some(challenges) = challenges.filter(|_| matches!(head.method, Method::GET | Method::HEAD)) else {
        return Ok(None);
    };
    let Some(token) = admitted.path.as_str().strip_prefix(CHALLENGES) else { return Ok(None) };
    let Some(answer) = challenges.http_answer(token).await else { return Ok(None) };
    let unmade = |_| Reply::internal("the answer to a CA could not be put together");
    let mut head = respond::head(StatusCode::OK).map_err(unmade)?;
    head.insert_header(header::CONTENT_LENGTH, answer.len()).map_err(unmade)?;
    head.insert_header(header::CONTENT_TYPE, "application/octet-stream").map_err(unmade)?;
    Ok(Some((head, Bytes::from(answer))))
}

async fn send(session: &mut Session, ctx: &Ctx, status: u16, to: String) -> Result<()> {
    let mut head = respond::head(known(status))?;
    head.insert_header(header::LOCATION, to)?;
    head.insert_header(header::CONTENT_LENGTH, 0)?;
    respond::finish(session, ctx, head, Bytes::new()).await
}

/// What `respond` answers, ready to be sent.
#[derive(Debug)]
pub struct Fixed {
    status: u16,
    kind: String,
    body: Bytes,
}

impl Fixed {
    /// Reads the file, if the body is in one.
    ///
    /// # Errors
    /// Why it can't be used, in words.
    pub(super) fn new(respond: &Respond) -> std::result::Result<Self, String> {
        let (kind, body) = match &respond.body {
            RespondBody::Text(text) => (None, Bytes::copy_from_slice(text.as_bytes())),
            RespondBody::File(path) => {
                let file =
                    whole::read(path).map_err(|reason| format!("body_file {}: {reason}", path.display()))?;
                (Some(file.kind), file.content.into())
            }
        };
        let kind = respond.content_type.clone().or(kind).unwrap_or_default();
        Ok(Self { status: respond.status, kind, body })
    }
}

/// Answers with a fixed text.
///
/// # Errors
/// The framework's, when the client has gone.
pub(super) async fn fixed(session: &mut Session, ctx: &Ctx, fixed: &Fixed) -> Result<()> {
    let mut head = respond::head(known(fixed.status))?;
    // RFC 9110 section 8.6: 204 has no length either.
    if fixed.status != 204 {
        head.insert_header(header::CONTENT_LENGTH, fixed.body.len())?;
    }
    if !fixed.body.is_empty() {
        head.insert_header(header::CONTENT_TYPE, fixed.kind.as_str())?;
    }
    respond::finish(session, ctx, head, fixed.body.clone()).await
}

/// Where CAs look.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The configuration takes statuses up to 599 only.
fn known(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
