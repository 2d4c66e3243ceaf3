//! An answer as it goes out.
//!
//! Owns status, media type and the fields that every answer has; decides nothing.

use std::time::SystemTime;

use http::StatusCode;
use serde::Serialize;

use super::operations::Refusal;
use super::seen::Problem;

/// A status and a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// For the audit line, of what is refused.
    pub(super) detail: Option<String>,
    kind: &'static str,
    allow: Option<&'static str>,
    body: Vec<u8>,
}

impl Answer {
    /// What was asked for.
    pub(super) fn of(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status, detail: None, kind: "application/json", allow: None, body }
            }
            Err(error) => Self::problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), Vec::new()),
        }
    }

    /// Why it is not done.
    pub(super) fn refused(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::problem(status, detail.into(), Vec::new())
    }

    /// There is another method for it.
    pub(super) fn only(method: &'static str) -> Self {
        let detail = format!("this path takes {method} only");
        Self { allow: Some(method), ..Self::refused(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    fn problem(status: StatusCode, detail: String, mistakes: Vec<String>) -> Self {
        let problem = Problem {
            r#type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.clone(),
            mistakes,
        };
        // Strings and a number: nothing that could fail.
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        body.push(b'\n');
        Self { status, detail: Some(detail), kind: "application/problem+json", allow: None, body }
    }

    /// The whole message; to HEAD its head alone (RFC 9110 section 9.3.2).
    pub(super) fn bytes(&self, to_head: bool) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n",
            self.status.as_u16(),
            httpdate::fmt_http_date(SystemTime::now()),
            self.kind,
            self.body.len(),
        );
        if let Some(method) = self.allow {
            head.push_str(&format!("Allow: {method}\r\n"));
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        if !to_head {
            message.extend_from_slice(&self.body);
        }
        message
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound(_) => Self::refused(StatusCode::NOT_FOUND, detail),
            Refusal::Conflict(_) => Self::refused(StatusCode::CONFLICT, detail),
            Refusal::Refused { mistakes, .. } => {
                Self::problem(StatusCode::UNPROCESSABLE_ENTITY, detail, mistakes)
            }
            Refusal::Unavailable(_) => Self::refused(StatusCode::SERVICE_UNAVAILABLE, detail),
            Refusal::Internal(_) => Self::refused(StatusCode::INTERNAL_SERVER_ERROR, detail),
        }
    }
}
