//! One check of one server.
//!
//! Owns the exchange. It takes the way that requests take (TLS, protocol, headers of the connection), on
//! a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use fluxheim_config::{HealthCheck, StatusRange};
use http::{Method, header};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;

use super::grpc;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) check: HealthCheck,
    pub(super) timeout: Duration,
    pub(super) address: SocketAddr,
    pub(super) peer: Box<HttpPeer>,
    /// The server's own name or address.
    pub(super) host: String,
}

impl Probe {
    /// Checks; the error is why the server is not well, in words for the log.
    pub(super) async fn run(self, connector: &Connector) -> Result<(), String> {
        let timeout = self.timeout;
        let exchange = async {
            match &self.check {
                HealthCheck::Tcp => {
                    TcpStream::connect(self.address).await.map(drop).map_err(|error| error.to_string())
                }
                HealthCheck::Http { path, host, expect_status } => {
                    self.http(connector, path, host.as_deref(), expect_status).await
                }
                HealthCheck::Grpc { service, host } => self.grpc(connector, service, host.as_deref()).await,
            }
        };
        let done = tokio::time::timeout(timeout, exchange).await;
        done.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
    }

    async fn http(
        &self,
        connector: &Connector,
        path: &str,
        host: Option<&str>,
        expected: &[StatusRange],
    ) -> Result<(), String> {
        let request = self.request(Method::GET, path, host).map_err(said)?;
        let status = self.status(connector, request).await.map_err(said)?;
        match expected.iter().any(|range| range.has(status)) {
            true => Ok(()),
            false => Err(format!("status {status}")),
        }
    }

    async fn status(&self, connector: &Connector, request: RequestHeader) -> Result<u16, Box<Error>> {
        let (mut session, _) = connector.get_http_session(&*self.peer).await?;
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        let status = final_status(&mut session).await?;
        session.shutdown().await;
        Ok(status)
    }

    async fn grpc(&self, connector: &Connector, service: &str, host: Option<&str>) -> Result<(), String> {
        let mut peer = self.peer.clone();
        // There is no gRPC over HTTP/1.1.
        peer.options.set_http_version(2, 2);
        let mut request = self.request(Method::POST, grpc::PATH, host).map_err(said)?;
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            request.insert_header(name, value).map_err(said)?;
        }
        let (mut session, _) = connector.get_http_session(&*peer).await.map_err(said)?;
        session.write_request_header(Box::new(request)).await.map_err(said)?;
        session.write_request_body(grpc::question(service).into(), true).await.map_err(said)?;
        let status = final_status(&mut session).await.map_err(said)?;
        if status != 200 {
            return Err(format!("status {status}"));
        }
        let mut answer = Vec::new();
        while let Some(bytes) = session.read_response_body().await.map_err(said)? {
            answer.extend_from_slice(&bytes);
            if answer.len() > grpc::LONGEST {
                return Err("its answer is too long for one of grpc.health.v1".to_owned());
            }
        }
        let code = session.response_header().and_then(|head| head.headers.get("grpc-status"));
        let code = code.and_then(|code| code.to_str().ok()).map(str::to_owned);
        session.shutdown().await;
        grpc::judge(&answer, code.as_deref())
    }

    fn request(&self, method: Method, path: &str, host: Option<&str>) -> Result<RequestHeader, Box<Error>> {
        let mut request = RequestHeader::build(method, path.as_bytes(), Some(4))?;
        request.insert_header(header::HOST, host.unwrap_or(&self.host))?;
        request.insert_header(header::USER_AGENT, "fluxheim-health")?;
        Ok(request)
    }
}

/// The status after informational ones (RFC 9110 section 15.2), of which there are few.
async fn final_status(session: &mut HttpSession<()>) -> Result<u16, Box<Error>> {
    for _ in 0..MOST_INFORMATIONAL {
        session.read_response_header().await?;
        let status = session.response_header().map(|head| head.status);
        if let Some(status) = status.filter(|status| !status.is_informational()) {
            return Ok(status.as_u16());
        }
    }
    Error::e_explain(ErrorType::InvalidHTTPHeader, "only informational responses")
}

/// In words that are ours.
#[expect(clippy::boxed_local, reason = "as the framework hands it over")]
fn said(error: Box<Error>) -> String {
    match error.etype() {
        ErrorType::ConnectRefused => "connection refused",
        ErrorType::ConnectTimedout => "no connection in time",
        ErrorType::ConnectNoRoute => "no route to the server",
        ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout | ErrorType::InvalidCert => {
            "the TLS handshake failed"
        }
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => "no answer in time",
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            "the server ended the connection without an answer"
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::H2Error | ErrorType::InvalidH2 => {
            "its answer is no HTTP"
        }
        _ => "no connection",
    }
    .to_owned()
}

const MOST_INFORMATIONAL: usize = 5;
