//! The TCP connection to a server, and what it begins with.
//!
//! Owns the socket up to the first byte of TLS or HTTP, and the count of what a kept connection was
//! used for. The time it may take is the framework's to watch.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::tunnel::{Tunnel, TunnelStream};
use crate::wire::proxy::{self, Ends, Form};

/// Makes connections of one kind.
#[derive(Debug, Default)]
pub(super) struct Dial {
    /// A PROXY header, sent first.
    opening: Vec<u8>,
    tunnel: Option<Arc<Tunnel>>,
}

impl Dial {
    /// Each connection begins with a PROXY header for `ends`.
    pub(super) fn announcing(form: Form, ends: Option<Ends>) -> Self {
        Self { opening: proxy::write(form, ends), tunnel: None }
    }

    /// The same, for one that may switch protocols.
    pub(super) fn into(self, tunnel: Arc<Tunnel>) -> Self {
        Self { tunnel: Some(tunnel), ..self }
    }
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(inet) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "an upstream's address is not one of IP");
        };
        let mut tcp = TcpStream::connect(inet).await.map_err(|error| failed(inet, error))?;
        if !self.opening.is_empty() {
            tcp.write_all(&self.opening).await.or_err(ErrorType::ConnectError, "sending the PROXY header")?;
        }
        let mut stream: Stream = match &self.tunnel {
            None => tcp.into(),
            Some(tunnel) => {
                VirtualSocketStream::new(Box::new(TunnelStream::new(tcp, Arc::clone(tunnel)))).into()
            }
        };
        // The one place where the framework lets a connection carry something of ours.
        let response = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(response, Some(Box::new(Kept::new()))));
        Ok(stream)
    }
}

fn failed(address: &std::net::SocketAddr, error: io::Error) -> Box<Error> {
    let etype = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    };
    Error::because(etype, format!("connecting to {address}"), error)
}

/// What a connection was used for.
#[derive(Debug)]
pub(super) struct Kept {
    since: Instant,
    requests: AtomicU32,
}

impl Kept {
    fn new() -> Self {
        Self { since: Instant::now(), requests: AtomicU32::new(0) }
    }

    /// Counts a request; whether the connection should end with it.
    pub(super) fn use_once(&self, most: u32, longest: Duration) -> bool {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1) >= most || self.since.elapsed() >= longest
    }
}
