//! What is answered when something is not as it should be (RFC 7807; RFC 8555, section 6.7).

use serde_json::{Value, json};

use super::http::Response;

/// A problem document.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// The last part of its URN.
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<u64>,
    /// For which identifiers, where it is not for all alike.
    pub(crate) identifiers: Vec<Value>,
    pub(crate) location: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, kind, detail, retry_after: None, identifiers: Vec::new(), location: None }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(403, "unauthorized", detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "malformed", "there is nothing here")
    }

    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(429, "rateLimited", "too many requests of this account lately")
        }
    }

    /// As it stands in a challenge, an order, or the body of an answer.
    pub(super) fn document(&self) -> Value {
        let urn = |kind: &str| format!("urn:ietf:params:acme:error:{kind}");
        let mut document = json!({ "type": urn(self.kind), "detail": self.detail, "status": self.status });
        if self.kind == "badSignatureAlgorithm" {
            document["algorithms"] = json!(["ES256"]);
        }
        if !self.identifiers.is_empty() {
            let part =
                |of: &Value| json!({ "type": urn(self.kind), "detail": self.detail, "identifier": of });
            document["subproblems"] = self.identifiers.iter().map(part).collect();
        }
        document
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let body = problem.document().to_string();
        let mut response = Self::new(problem.status, "application/problem+json", body.into_bytes());
        response.header("Retry-After", problem.retry_after.map(|seconds| seconds.to_string()));
        response.header("Location", problem.location);
        response
    }
}
