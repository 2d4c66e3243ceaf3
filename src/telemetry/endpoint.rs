//! The operator's listener: `/metrics`, `/livez`, `/readyz`.
//!
//! Owns these three answers. Never shares a listener or a code path with public requests.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::telemetry::{Telemetry, metrics};

/// Serves the three paths to GET and HEAD.
#[derive(Debug)]
pub struct Endpoint(pub Arc<Telemetry>);

#[async_trait]
impl ServeHttp for Endpoint {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let head = request.method == Method::HEAD;
        if request.method != Method::GET && !head {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n", head);
        }
        let lifecycle = &self.0.lifecycle;
        match request.uri.path() {
            "/metrics" => self.metrics(request, head),
            "/livez" => text(StatusCode::OK, "ok\n", head),
            "/readyz" if lifecycle.ready() => text(StatusCode::OK, "ok\n", head),
            "/readyz" if lifecycle.draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n", head),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n", head),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n", head),
        }
    }
}

impl Endpoint {
    /// Native histograms exist in protobuf only; whoever can read that asks for it.
    fn metrics(&self, request: &RequestHeader, head: bool) -> Response<Vec<u8>> {
        let Telemetry { metrics, lifecycle, .. } = &*self.0;
        let accepts = |value: &HeaderValue| {
            value.to_str().is_ok_and(|accepted| accepted.contains("application/vnd.google.protobuf"))
        };
        let protobuf = request.headers.get_all(header::ACCEPT).iter().any(accepts);
        match protobuf.then(|| metrics.expose_protobuf(lifecycle)).flatten() {
            Some(bytes) => reply(StatusCode::OK, metrics::PROTOBUF, bytes, head),
            None => reply(StatusCode::OK, metrics::TEXT, metrics.expose(lifecycle).into_bytes(), head),
        }
    }
}

fn text(status: StatusCode, body: &str, head: bool) -> Response<Vec<u8>> {
    reply(status, "text/plain; charset=utf-8", body.as_bytes().to_vec(), head)
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>, head: bool) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(if head { Vec::new() } else { body });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}
