//! The first bytes of a connection, within a deadline.
//!
//! Owns the wait that the framework leaves open: a client that finishes its handshake and then says
//! nothing would hold its slot, over HTTP/2 for ever. Once enough has come, reads pass untouched, and
//! a drain need not wait for the connection to begin any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::{ALPN, IO, Peek};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::wrapped::passes_on;

use crate::telemetry::lifecycle::OpeningGuard;

/// A stream whose first bytes are awaited.
#[derive(Debug)]
pub(super) struct Opening<S> {
    stream: S,
    /// `None` once enough has come.
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Wait {
    deadline: Pin<Box<Sleep>>,
    missing: usize,
    _counted: OpeningGuard,
}

impl<S: IO> Opening<S> {
    /// Fails reads after `limit` until the client has begun: with a first byte, over HTTP/2 with its
    /// whole preface (RFC 9113 section 3.4).
    pub(super) fn within(stream: S, limit: Duration, counted: OpeningGuard) -> Self {
        let missing = if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) { H2_PREFACE } else { 1 };
        let deadline = Box::pin(tokio::time::sleep(limit));
        Self { stream, wait: Some(Wait { deadline, missing, _counted: counted }) }
    }

    fn count(&mut self, read: usize) {
        let Some(wait) = &mut self.wait else { return };
        wait.missing = wait.missing.saturating_sub(read);
        if wait.missing == 0 {
            self.wait = None;
        }
    }
}

impl<S: IO> AsyncRead for Opening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(done) => {
                self.count(buf.filled().len() - before);
                Poll::Ready(done)
            }
            Poll::Pending => match &mut self.wait {
                Some(wait) => wait.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
                None => Poll::Pending,
            },
        }
    }
}

impl<S: IO> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

passes_on!(Opening);

#[async_trait]
impl<S: IO> Peek for Opening<S> {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buf).await
    }
}

/// Bytes of `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const H2_PREFACE: usize = 24;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::telemetry::lifecycle::Lifecycle;

    #[tokio::test]
    async fn fails_a_read_when_nothing_comes_in_time() {
        let (_client, server) = duplex(64);
        let lifecycle = Arc::new(Lifecycle::default());
        let mut stream = Opening::within(server, Duration::from_millis(20), lifecycle.opening());
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn waits_as_long_as_it_takes_once_the_client_has_begun() {
        let (mut client, server) = duplex(64);
        let lifecycle = Arc::new(Lifecycle::default());
        let mut stream = Opening::within(server, Duration::from_millis(20), lifecycle.opening());
        assert!(tokio::time::timeout(Duration::from_millis(1), lifecycle.no_opening()).await.is_err());
        client.write_all(b"G").await.unwrap();
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.unwrap();
        lifecycle.no_opening().await;
        tokio::time::sleep(Duration::from_millis(40)).await;
        client.write_all(b"E").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"E");
    }
}
