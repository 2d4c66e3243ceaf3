//! What comes before TLS and HTTP: a PROXY protocol header, the preface of HTTP/2.
//!
//! Owns the reading of both from a connection, within deadlines; what was read too far is put back. The
//! forms are `wire`'s, and whose word is taken is `door`'s.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pingora::apps::ServerApp;
use tokio::io::AsyncReadExt;

use super::socket::Socket;
use super::{Connection, LAST_OPENINGS, stopping};
use crate::wire::proxy::{self, Ends, Read};

/// Why a connection has no beginning.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Malformed(#[from] proxy::Malformed),
    #[error("closed before the PROXY protocol header was complete")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<A: ServerApp + Send + Sync + 'static> Connection<A> {
    /// The client's address, as its peer has it or a proxy tells it; `None` ends the connection.
    pub(super) async fn begin(
        &self,
        socket: &mut Socket,
        peer: SocketAddr,
        plain: bool,
    ) -> Option<SocketAddr> {
        let mut client = peer;
        if let Some(door) = &self.door {
            let header = self.within(self.manner.pace.header_timeout, announced(socket)).await;
            let failed = match header {
                Some(Ok(Some(ends))) => {
                    client = ends.source;
                    let Some(told) = door.admit_told(client.ip()) else {
                        self.telemetry.metrics.connection_refused("client_limit");
                        return None;
                    };
                    socket.between(ends);
                    if let Some(held) = socket.held() {
                        held.told = Some(told);
                    }
                    None
                }
                Some(Ok(None)) => None,
                Some(Err(failed)) => Some(failed.to_string()),
                None => Some("no whole PROXY protocol header within header_timeout".to_owned()),
            };
            if let Some(reason) = failed {
                tracing::debug!(%peer, reason, "closed");
                self.telemetry.metrics.connection_refused("proxy_protocol");
                return None;
            }
        }
        if self.begins.h2c && plain {
            match self.within(self.manner.patience.opening, preface(socket)).await {
                Some(Ok(true)) => socket.is_h2(),
                Some(Ok(false)) => {}
                Some(Err(_)) | None => return None,
            }
        }
        Some(client)
    }

    /// `None` when that takes too long, or we are stopping and it takes a moment.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            outcome = tokio::time::timeout(limit, work) => outcome.ok(),
            () = async { stopping(&mut shutdown).await; tokio::time::sleep(LAST_OPENINGS).await } => None,
        }
    }
}

/// What the header at the start of a connection tells; it may tell nothing.
async fn announced(socket: &mut Socket) -> Result<Option<Ends>, Failed> {
    let mut held = Vec::new();
    loop {
        let mut piece = [0; 256];
        let read = socket.read(&mut piece).await?;
        if read == 0 {
            return Err(Failed::Closed);
        }
        held.extend_from_slice(piece.get(..read).unwrap_or_default());
        if let Read::Header { len, ends } = proxy::read(&held)? {
            socket.unread(held.split_off(len));
            return Ok(ends);
        }
    }
}

/// Whether the client begins with the preface of HTTP/2; all that was read of it is put back.
async fn preface(socket: &mut Socket) -> io::Result<bool> {
    let mut held = Vec::new();
    loop {
        let mut piece = [0; PREFACE.len()];
        let left = PREFACE.len() - held.len();
        let read = socket.read(piece.get_mut(..left).unwrap_or_default()).await?;
        held.extend_from_slice(piece.get(..read).unwrap_or_default());
        let fits = PREFACE.starts_with(&held);
        if read == 0 || !fits || held.len() == PREFACE.len() {
            socket.unread(held);
            return Ok(read > 0 && fits);
        }
    }
}

/// RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
