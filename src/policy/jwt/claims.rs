//! What a token says.
//!
//! Owns how claims are read: a claim of the wrong type is never taken for one that is not there.

use http::HeaderValue;
use serde_json::{Map, Value};

/// The claims of a token whose signature was good.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice(bytes).ok()? {
            Value::Object(claims) => Some(Self(claims)),
            _ => None,
        }
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.0.get("iss")?.as_str()
    }

    /// Seconds since 1970 (RFC 7519 section 2); `None` for what is no number, `Some(None)` for nothing.
    pub(super) fn time(&self, claim: &str) -> Option<Option<f64>> {
        match self.0.get(claim) {
            None => Some(None),
            Some(value) => value.as_f64().filter(|seconds| seconds.is_finite()).map(Some),
        }
    }

    /// Whether `aud` names one of `audiences`.
    pub(super) fn is_for(&self, audiences: &[String]) -> bool {
        let is_one = |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|a| a == text));
        match self.0.get("aud") {
            Some(Value::Array(values)) => values.iter().any(is_one),
            Some(value) => is_one(value),
            None => false,
        }
    }

    /// Whether the claim has, or has among others, one of `values`.
    pub(super) fn has(&self, claim: &str, values: &[String]) -> bool {
        let is_one = |text: &str| values.iter().any(|value| value == text);
        match self.find(claim) {
            // RFC 8693 section 4.2: scopes in one string.
            Some(Value::String(text)) if claim == "scope" => text.split(' ').any(is_one),
            Some(Value::Array(items)) => items.iter().filter_map(scalar).any(|text| is_one(&text)),
            Some(value) => scalar(value).is_some_and(|text| is_one(&text)),
            None => false,
        }
    }

    /// The claim as a header field holds it; `None` where there is none, `Some(None)` where a field would
    /// say something else: a list with a comma inside an item, a line break, an object.
    pub(super) fn told(&self, claim: &str) -> Option<Option<HeaderValue>> {
        let text = match self.find(claim)? {
            Value::Null => return None,
            Value::Array(items) => {
                let texts: Option<Vec<_>> = items.iter().map(scalar).collect();
                texts
                    .filter(|texts| !texts.iter().any(|text| text.contains(',')))
                    .map(|texts| texts.join(","))
            }
            value => scalar(value),
        };
        let sendable = |text: &String| !text.is_empty() && text.trim() == text;
        Some(text.filter(sendable).and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()))
    }

    /// By its name, or by a JSON pointer (RFC 6901) if it starts with a slash.
    fn find(&self, claim: &str) -> Option<&Value> {
        let Some(way) = claim.strip_prefix('/') else { return self.0.get(claim) };
        let mut parts = way.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
        let first = self.0.get(&parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }
}

/// What is one word: a string, a number, true or false.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
