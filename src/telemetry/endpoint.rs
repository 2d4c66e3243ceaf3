//! The operator's listener: `/metrics`, `/livez`, `/readyz`.
//!
//! Owns these three answers. Never shares a listener or a code path with public requests.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
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
            "/metrics" => {
                reply(StatusCode::OK, metrics::CONTENT_TYPE, self.0.metrics.expose(lifecycle), head)
            }
            "/livez" => text(StatusCode::OK, "ok\n", head),
            "/readyz" if lifecycle.ready() => text(StatusCode::OK, "ok\n", head),
            "/readyz" if lifecycle.draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n", head),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n", head),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n", head),
        }
    }
}

fn text(status: StatusCode, body: &str, head: bool) -> Response<Vec<u8>> {
    reply(status, "text/plain; charset=utf-8", body.to_owned(), head)
}

fn reply(status: StatusCode, kind: &'static str, body: String, head: bool) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(if head { Vec::new() } else { body.into_bytes() });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}
