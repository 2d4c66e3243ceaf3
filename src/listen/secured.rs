//! A client connection inside its TLS session, as the framework reads and writes it.
//!
//! Owns what the framework asks of a stream beside its bytes, and passes on what is known of the handshake.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::tls::told;
use crate::types::TlsFacts;

/// A connection whose handshake is over.
#[derive(Debug)]
pub(super) struct Secured<S> {
    tls: TlsStream<S>,
    facts: Arc<TlsFacts>,
    told: Option<Arc<ProxyDigest>>,
}

impl<S> Secured<S> {
    pub(super) fn new(tls: TlsStream<S>, facts: Arc<TlsFacts>) -> Self {
        let told = told::tell(&facts);
        Self { tls, facts, told }
    }

    /// What is known of the handshake.
    pub(super) const fn facts(&self) -> &Arc<TlsFacts> {
        &self.facts
    }
}

impl<S: IO> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl<S: IO> AsyncWrite for Secured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: IO> Shutdown for Secured<S> {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody left to tell.
        let _ = AsyncWriteExt::shutdown(&mut self.tls).await;
    }
}

impl<S: IO> UniqueID for Secured<S> {
    fn id(&self) -> UniqueIDType {
        self.tls.get_ref().0.id()
    }
}

impl<S: IO> Ssl for Secured<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        let TlsFacts { cipher, version, .. } = *self.facts;
        Some(Arc::new(SslDigest::new(cipher, version, None, None, Vec::new())))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.facts.alpn {
            Some("h2") => Some(ALPN::H2),
            Some(_) => Some(ALPN::H1),
            None => None,
        }
    }
}

impl<S: IO> GetTimingDigest for Secured<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.tls.get_ref().0.get_timing_digest()
    }
}

impl<S: IO> GetProxyDigest for Secured<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.told.clone()
    }
}

impl<S: IO> GetSocketDigest for Secured<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.tls.get_ref().0.get_socket_digest()
    }
}

impl<S: IO> Peek for Secured<S> {}
