//! What a request asks for, its body read.
//!
//! Owns the bodies' shapes: a key that is not known is an error, as in the configuration, and where none belongs
//! there must be none.

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::operations::Reason;
use super::request::Request;
use super::routes::{Endpoint, Operation};
use super::seen::ServerState;

/// One operation, ready to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Status,
    Upstreams,
    SetServer { upstream: String, server: String, state: ServerState },
    Reload,
    Drain,
    Posture,
    Certificates,
    Renew(String),
    Revoke(String, Reason),
    Rollover(Option<String>),
    Deactivate(Option<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    state: ServerState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Reason,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    issuer: Option<String>,
}

impl Call {
    pub(super) fn read(
        endpoint: &Endpoint,
        names: Vec<String>,
        request: &Request,
        body: &[u8],
    ) -> Result<Self, Answer> {
        let mut names = names.into_iter();
        // As many as the endpoint's path has, which `routes` has seen to.
        let mut name = || names.next().unwrap_or_default();
        let body = Body { request, body };
        Ok(match endpoint.operation {
            Operation::Status => body.none(Self::Status)?,
            Operation::Upstreams => body.none(Self::Upstreams)?,
            Operation::Reload => body.none(Self::Reload)?,
            Operation::Drain => body.none(Self::Drain)?,
            Operation::Posture => body.none(Self::Posture)?,
            Operation::Certificates => body.none(Self::Certificates)?,
            Operation::Renew => body.none(Self::Renew(name()))?,
            Operation::SetServer => {
                let State { state } = body.json()?;
                Self::SetServer { upstream: name(), server: name(), state }
            }
            Operation::Revoke => Self::Revoke(name(), body.json_or_none::<Why>()?.reason),
            Operation::Rollover => Self::Rollover(body.json_or_none::<Whose>()?.issuer),
            Operation::Deactivate => Self::Deactivate(body.json_or_none::<Whose>()?.issuer),
        })
    }
}

struct Body<'a> {
    request: &'a Request,
    body: &'a [u8],
}

impl Body<'_> {
    fn none(&self, call: Call) -> Result<Call, Answer> {
        if self.body.is_empty() {
            return Ok(call);
        }
        Err(Answer::refused(StatusCode::BAD_REQUEST, "this operation takes no body"))
    }

    fn json_or_none<T: DeserializeOwned + Default>(&self) -> Result<T, Answer> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Answer> {
        if !self.request.json {
            let detail = "the body must be JSON: send it with Content-Type: application/json";
            return Err(Answer::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        // Of an array, a list of the values would be taken too.
        if !self.body.trim_ascii_start().starts_with(b"{") {
            return Err(Answer::refused(StatusCode::BAD_REQUEST, "the body must be a JSON object"));
        }
        serde_json::from_slice(self.body)
            .map_err(|error| Answer::refused(StatusCode::BAD_REQUEST, format!("the body: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::routes;
    use super::*;

    fn call(path: &str, json: bool, body: &str) -> Result<Call, u16> {
        let request = Request { method: "POST".into(), path: path.into(), length: body.len(), json };
        let (endpoint, names) = routes::find("POST", path).unwrap();
        Call::read(endpoint, names, &request, body.as_bytes()).map_err(|answer| answer.status.as_u16())
    }

    #[test]
    fn reads_each_body_strictly() {
        let server = "/v1/upstreams/app/servers/a:80";
        let set = |state| Call::SetServer { upstream: "app".into(), server: "a:80".into(), state };
        assert_eq!(call(server, true, r#"{"state":"drain"}"#), Ok(set(ServerState::Drain)));
        assert_eq!(call(server, true, r#"{"state":"ready"}"#), Ok(set(ServerState::Ready)));
        for bad in [
            r#"{"state":"maint"}"#,
            r#"{"state":"drain","state":"ready"}"#,
            r#"{"state":"drain","x":1}"#,
            r#"{"State":"drain"}"#,
            r#"["drain"]"#,
            r#"{"state":"drain"} {}"#,
            "{",
            "",
        ] {
            assert_eq!(call(server, true, bad), Err(400), "{bad}");
        }
        assert_eq!(call(server, false, r#"{"state":"drain"}"#), Err(415));
        let revoke = "/v1/certs/a/revoke";
        assert_eq!(call(revoke, false, ""), Ok(Call::Revoke("a".into(), Reason::Unspecified)));
        let told = call(revoke, true, r#"{"reason":"key_compromise"}"#);
        assert_eq!(told, Ok(Call::Revoke("a".into(), Reason::KeyCompromise)));
        assert_eq!(
            call("/v1/acme/rollover", true, r#"{"issuer":"le"}"#),
            Ok(Call::Rollover(Some("le".into())))
        );
        assert_eq!(call("/v1/reload", false, ""), Ok(Call::Reload));
        assert_eq!(call("/v1/reload", true, "{}"), Err(400));
    }
}
