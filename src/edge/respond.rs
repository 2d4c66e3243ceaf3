//! Answers that Fluxheim gives itself.
//!
//! Owns how an answer is put together and sent. What is said of each failure is the table of `cause`.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::edge::admit::Refusal;
use crate::edge::cause::{Cause, Failure};
use crate::edge::concurrency::Full;
use crate::edge::ctx::Ctx;
use crate::edge::errors::{self, Told};
use crate::edge::outgoing;
use crate::policy::Denied;
use crate::route::{NoRoute, Routes};
use crate::wire::ALLOW;

/// A short text answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// Shown to the client; says nothing about the inside.
    pub text: &'static str,
    /// For the logs and metrics.
    pub failure: Failure,
    /// For 405 (RFC 9110 section 15.5.6).
    pub allow: Cow<'static, str>,
    /// Seconds until it is worth trying again (RFC 9110 section 10.2.3).
    pub retry_after: Option<u64>,
    /// More fields, such as the challenge of a 401.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Whether the connection ends with it: what the client sent can't be trusted to be framed well.
    pub close: bool,
}

impl Reply {
    /// The answer that the table has for this failure.
    #[must_use]
    pub fn to(failure: impl Into<Failure>) -> Self {
        let failure = failure.into();
        let (status, text) = (failure.status(), failure.cause.text());
        Self {
            status,
            text,
            failure,
            allow: Cow::Borrowed(ALLOW),
            retry_after: None,
            fields: Vec::new(),
            close: false,
        }
    }

    /// With one field more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The same, and the connection ends with it: another handshake may change the answer.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// 429 (RFC 6585 section 4): more requests than the rule of that name allows.
    #[must_use]
    pub fn over_rate(rule: &str, wait: u64) -> Self {
        let reply = Self::to(Failure::with(Cause::RateLimited, format!("over the rate limit {rule}")));
        Self { retry_after: Some(wait.max(1)), ..reply }
    }

    /// 429 to a client that has as many requests as it may. Without a body: over HTTP/2 that would wait for
    /// the client to open a window, and so take what the limit is to keep from it.
    #[must_use]
    pub fn one_too_many() -> Self {
        let why = "the client has as many requests as max_requests_per_client allows";
        let reply = Self::to(Failure::with(Cause::TooManyAtOnce, why));
        Self { text: "", retry_after: Some(1), ..reply }
    }

    /// A fault of our own.
    #[must_use]
    pub fn internal(detail: &'static str) -> Self {
        Self::to(Failure::with(Cause::Internal, detail))
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::to(refusal).closing()
    }
}

impl From<NoRoute> for Reply {
    fn from(no_route: NoRoute) -> Self {
        let reply = Self::to(no_route);
        match no_route {
            NoRoute::EncodedSlash { .. } | NoRoute::EncodedDelims { .. } => reply.closing(),
            NoRoute::UnknownHost | NoRoute::UnknownPath { .. } | NoRoute::OtherMethods { .. } => reply,
        }
    }
}

/// The answer where no route takes a request; with the methods that those for its path take.
#[must_use]
pub fn no_route(routes: &Routes, no_route: NoRoute) -> Reply {
    let mut reply = Reply::from(no_route);
    if let NoRoute::OtherMethods { vhost, group } = no_route {
        reply.allow = Cow::Owned(routes.allow(vhost, group).to_owned());
    }
    reply
}

impl From<Full> for Reply {
    fn from(full: Full) -> Self {
        Self { retry_after: Some(1), ..Self::to(full) }
    }
}

impl From<Denied> for Reply {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Address | Denied::Origin | Denied::Certificate => Self::to(denied),
            Denied::BodyTooLarge { .. } => Self::to(denied).closing(),
        }
    }
}

/// What the client gets for a failure inside the framework; `None` when it is gone.
#[must_use]
pub fn for_failure(failure: &Failure) -> Option<Reply> {
    // As soon as it may be different; there is no telling when.
    let retry_after = (failure.cause.status() == 503).then_some(1);
    failure.cause.is_answered().then(|| Reply { retry_after, ..Reply::to(failure.clone()).closing() })
}

/// The final status that was sent, if one was; 100 and 103 are not (RFC 9110 section 15.2).
#[must_use]
pub fn answered(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS).then_some(status)
}

/// Sends the answer to a failure.
///
/// # Errors
/// The framework's, when the client has gone.
pub async fn send(session: &mut Session, ctx: &Ctx, reply: &Reply) -> Result<()> {
    if reply.close {
        session.set_keepalive(None);
    }
    let mut head = head(reply.status)?;
    let told = Told { status: reply.status, text: Cow::Borrowed(reply.text) };
    let body = errors::tell(&mut head, session.req_header(), ctx, told)?;
    if reply.status == StatusCode::METHOD_NOT_ALLOWED {
        head.insert_header(header::ALLOW, reply.allow.as_ref())?;
    }
    if let Some(seconds) = reply.retry_after {
        head.insert_header(header::RETRY_AFTER, seconds)?;
    }
    for (name, value) in &reply.fields {
        head.append_header(name.clone(), value.clone())?;
    }
    finish(session, ctx, head, body).await
}

/// A response head of our own, dated as RFC 9110 section 6.6.1 asks.
///
/// # Errors
/// Never in practice: the names and values are ours.
pub fn head(status: StatusCode) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header(header::DATE, httpdate::fmt_http_date(SystemTime::now()))?;
    Ok(head)
}

/// Sends a head with its whole body; to HEAD, the head alone.
///
/// # Errors
/// The framework's, when the client has gone.
pub async fn finish(session: &mut Session, ctx: &Ctx, head: ResponseHeader, body: Bytes) -> Result<()> {
    let bodiless = body.is_empty() || session.req_header().method == http::Method::HEAD;
    outgoing::write(session, ctx, head, bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_the_connection_after_a_request_it_could_not_trust() {
        assert!(Reply::from(Refusal::ManyHosts).close);
        assert!(!Reply::from(NoRoute::UnknownHost).close);
    }
}
