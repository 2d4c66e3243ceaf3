//! Answers that Fluxheim gives itself, and the one table from errors to them.
//!
//! Owns status, public text and the log's reason for every error. No wildcard arm over our own
//! errors: a new one forces a decision here. Violations of framing, which are mostly answered before a
//! request exists, bring theirs along.

use std::time::SystemTime;

use bytes::Bytes;
use http::{StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::edge::admit::Refusal;
use crate::edge::ctx::Ctx;
use crate::edge::outgoing;
use crate::policy::Denied;
use crate::route::NoRoute;
use crate::wire::{ALLOW, Violation};

/// A short text answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// Shown to the client; says nothing about the inside.
    pub text: &'static str,
    /// For the access log.
    pub reason: String,
    /// For 405 (RFC 9110 section 15.5.6).
    pub allow: &'static str,
    /// Whether the connection ends with it: what the client sent can't be trusted to be framed well.
    pub close: bool,
}

impl Reply {
    fn new(status: StatusCode, text: &'static str, reason: impl ToString) -> Self {
        Self { status, text, reason: reason.to_string(), allow: ALLOW, close: false }
    }

    const fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// A fault of our own.
    #[must_use]
    pub fn internal(reason: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n", reason)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let (status, text) = match refusal {
            Refusal::NoHost | Refusal::ManyHosts | Refusal::BadHost(_) => {
                (StatusCode::BAD_REQUEST, "bad Host\n")
            }
            Refusal::RelativePath | Refusal::UnsafePath => (StatusCode::BAD_REQUEST, "bad request target\n"),
            Refusal::BadLength => (StatusCode::BAD_REQUEST, "bad Content-Length\n"),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
            Refusal::HeaderTooLarge { .. } | Refusal::TooManyFields { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "request header too large\n")
            }
        };
        Self::new(status, text, refusal).closing()
    }
}

impl From<NoRoute> for Reply {
    fn from(no_route: NoRoute) -> Self {
        match no_route {
            NoRoute::UnknownHost => Self::new(StatusCode::MISDIRECTED_REQUEST, "unknown host\n", no_route),
            NoRoute::UnknownPath { .. } => Self::new(StatusCode::NOT_FOUND, "not found\n", no_route),
        }
    }
}

impl From<Denied> for Reply {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::BodyTooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request body too large\n", denied).closing()
            }
        }
    }
}

/// What the client gets for a failure inside the framework; `None` when it is gone.
#[must_use]
pub fn for_error(error: &Error) -> Option<Reply> {
    if let Some(violation) = violation(error) {
        let status = StatusCode::from_u16(violation.status()).unwrap_or(StatusCode::BAD_REQUEST);
        return Some(Reply::new(status, violation.text(), violation).closing());
    }
    let (status, text) = match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(413), _) => (StatusCode::PAYLOAD_TOO_LARGE, "request body too large\n"),
        (ErrorType::HTTPStatus(code), _) => {
            (StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "request failed\n")
        }
        (ErrorType::ReadTimedout, ErrorSource::Downstream) => {
            (StatusCode::REQUEST_TIMEOUT, "request timed out\n")
        }
        (
            ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::ConnectionClosed
            | ErrorType::WriteTimedout,
            ErrorSource::Downstream,
        ) => return None,
        (_, ErrorSource::Downstream) => (StatusCode::BAD_REQUEST, "bad request\n"),
        (
            ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout,
            ErrorSource::Upstream,
        ) => (StatusCode::GATEWAY_TIMEOUT, "upstream timed out\n"),
        (_, ErrorSource::Upstream) => (StatusCode::BAD_GATEWAY, "upstream failed\n"),
        (_, ErrorSource::Internal | ErrorSource::Unset) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
        }
    };
    Some(Reply::new(status, text, error).closing())
}

/// What the gate failed a read of the body with.
fn violation(error: &Error) -> Option<Violation> {
    let io = error.root_cause().downcast_ref::<std::io::Error>()?;
    io.get_ref()?.downcast_ref::<Violation>().copied()
}

/// The final status that was sent, if one was; 100 and 103 are not (RFC 9110 section 15.2).
#[must_use]
pub fn answered(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS).then_some(status)
}

/// Sends a short text answer.
///
/// # Errors
/// The framework's, when the client has gone.
pub async fn send(session: &mut Session, ctx: &Ctx, reply: &Reply) -> Result<()> {
    if reply.close {
        session.set_keepalive(None);
    }
    let mut head = head(reply.status)?;
    head.insert_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")?;
    head.insert_header(header::CONTENT_LENGTH, reply.text.len())?;
    if reply.status == StatusCode::METHOD_NOT_ALLOWED {
        head.insert_header(header::ALLOW, reply.allow)?;
    }
    finish(session, ctx, head, Bytes::from_static(reply.text.as_bytes())).await
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

    fn status(etype: ErrorType, source: ErrorSource) -> Option<u16> {
        let mut error = Error::new(etype);
        error.esource = source;
        for_error(&error).map(|reply| reply.status.as_u16())
    }

    #[test]
    fn tells_whose_fault_a_failure_is() {
        assert_eq!(status(ErrorType::ConnectRefused, ErrorSource::Upstream), Some(502));
        assert_eq!(status(ErrorType::ConnectTimedout, ErrorSource::Upstream), Some(504));
        assert_eq!(status(ErrorType::ReadTimedout, ErrorSource::Upstream), Some(504));
        assert_eq!(status(ErrorType::ReadTimedout, ErrorSource::Downstream), Some(408));
        assert_eq!(status(ErrorType::InvalidHTTPHeader, ErrorSource::Downstream), Some(400));
        assert_eq!(status(ErrorType::ConnectionClosed, ErrorSource::Downstream), None);
        assert_eq!(status(ErrorType::InternalError, ErrorSource::Unset), Some(500));
        assert_eq!(status(ErrorType::HTTPStatus(413), ErrorSource::Downstream), Some(413));
    }

    #[test]
    fn closes_the_connection_after_a_request_it_could_not_trust() {
        assert!(Reply::from(Refusal::ManyHosts).close);
        assert!(!Reply::from(NoRoute::UnknownHost).close);
    }
}
