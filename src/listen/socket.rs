//! A client's TCP connection as the framework reads and writes it.
//!
//! Owns write buffering, so that a response head and a small body leave in one system call, and the
//! wait for the peer to take the last bytes: a process that leaves takes a container's network with it,
//! and what the kernel still had to send. Reads are not buffered: both users above (HTTP/1 parser, TLS)
//! bring their own buffers. While the process drains, a read asks the kernel itself, as a connection
//! that seems idle is closed. Judges nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use pingora::protocols::l4::ext::get_tcp_info;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use super::Held;
use crate::wire::proxy::Ends;

/// How slowly a peer may take what is written to it.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    /// For how long nothing at all.
    pub patience: Duration,
    /// Bytes a second, on average over ten seconds and more of waiting for it; `None` asks for none.
    pub min_rate: Option<u64>,
}

#[derive(Debug)]
struct Stall {
    sleep: Pin<Box<Sleep>>,
    since: Instant,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    /// Allocated by the first write and freed by the flush, so idle connections hold none.
    pending: Vec<u8>,
    /// Bytes of `pending` that are already sent.
    sent: usize,
    accepted: SystemTime,
    digest: Arc<SocketDigest>,
    patience: Taking,
    /// Since when the peer takes nothing.
    stalled: Option<Stall>,
    /// What it has taken in the time for which it was waited for.
    taken: u64,
    waited: Duration,
    held: Option<Held>,
    /// Bytes that were read before anything was known of what they are; read again first.
    early: Vec<u8>,
    /// Whether the client speaks HTTP/2 without having agreed on it.
    h2: bool,
}

impl Socket {
    /// Wraps a connection that was accepted from `peer` at `accepted`; a write that makes less progress
    /// than `patience` asks for fails. The framework times bodies only, not heads and flushes.
    #[must_use]
    pub(super) fn new(
        tcp: TcpStream,
        peer: std::net::SocketAddr,
        accepted: SystemTime,
        patience: Taking,
        held: Option<Held>,
    ) -> Self {
        let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
        // Known now; asked later, a client that has gone would have no address any more.
        let _ = digest.peer_addr.set(Some(peer.into()));
        let digest = Arc::new(digest);
        Self {
            tcp,
            pending: Vec::new(),
            sent: 0,
            accepted,
            digest,
            patience,
            stalled: None,
            taken: 0,
            waited: Duration::ZERO,
            held,
            early: Vec::new(),
            h2: false,
        }
    }

    /// Between whom the connection is, as a proxy in front tells it.
    pub(super) fn between(&mut self, ends: Ends) {
        let digest = SocketDigest::from_raw_fd(self.tcp.as_raw_fd());
        let _ = digest.peer_addr.set(Some(ends.source.into()));
        let _ = digest.local_addr.set(Some(ends.destination.into()));
        self.digest = Arc::new(digest);
    }

    /// Puts back what was read last.
    pub(super) fn unread(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.early);
        self.early = bytes;
    }

    /// The client begins with the preface of HTTP/2.
    pub(super) const fn is_h2(&mut self) {
        self.h2 = true;
    }

    /// What the connection takes up.
    pub(super) const fn held(&mut self) -> Option<&mut Held> {
        self.held.as_mut()
    }

    fn read_early(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.early.len().min(buf.remaining());
        let rest = self.early.split_off(len);
        buf.put_slice(&self.early);
        self.early = rest;
    }

    /// Passes a write's outcome on, unless it has been pending for too long, or too often.
    fn timed(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = outcome {
            return Poll::Ready(outcome.and_then(|written| self.took(written)));
        }
        let patience = self.patience.patience;
        let stalled = self.stalled.get_or_insert_with(|| Stall {
            sleep: Box::pin(tokio::time::sleep(patience)),
            since: Instant::now(),
        });
        stalled.sleep.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The peer made room for so much. Only the time in which there was none counts.
    fn took(&mut self, written: usize) -> io::Result<usize> {
        self.waited += self.stalled.take().map_or(Duration::ZERO, |stall| stall.since.elapsed());
        if self.waited.is_zero() {
            return Ok(written);
        }
        self.taken = self.taken.saturating_add(written as u64);
        if self.waited < WINDOW {
            return Ok(written);
        }
        let least = self.patience.min_rate.map_or(0, |rate| rate.saturating_mul(self.waited.as_secs()));
        if self.taken < least {
            return Err(io::ErrorKind::TimedOut.into());
        }
        (self.taken, self.waited) = (0, Duration::ZERO);
        Ok(written)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.pending.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let outcome = Pin::new(&mut self.tcp).poll_write(cx, rest);
            match ready!(self.timed(cx, outcome))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.sent = 0;
        self.pending = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Reads past the runtime, which learns of bytes only when it next asks for events: whoever closes
    /// an idle connection now must not find out later that a request had come.
    fn read_now(&self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match recv(self.tcp.as_raw_fd(), buf.initialize_unfilled(), MsgFlags::MSG_DONTWAIT) {
            Ok(read) => {
                buf.advance(read);
                Poll::Ready(Ok(()))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Poll::Pending,
            Err(errno) => Poll::Ready(Err(errno.into())),
        }
    }

    fn fits(&self, more: usize) -> bool {
        self.pending.len() + more <= BUFFER
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(BUFFER);
        }
        self.pending.extend_from_slice(bytes);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(held) = self.held.take().filter(|_| has_unsent(&self.tcp)) else { return };
        // Without a runtime or a descriptor to wait with, the kernel is left to it.
        let (Ok(runtime), Ok(fd)) = (Handle::try_current(), self.tcp.as_fd().try_clone_to_owned()) else {
            return;
        };
        runtime.spawn(linger(fd.into(), held, self.patience.patience));
    }
}

/// Ends the stream and waits until the peer has all of it, or takes nothing for `patience`.
async fn linger(tcp: std::net::TcpStream, held: Held, patience: Duration) {
    // As closing would, but the socket stays to be asked.
    let _ = tcp.shutdown(std::net::Shutdown::Write);
    let (mut left, mut waited) = (usize::MAX, Duration::ZERO);
    while has_unsent(&tcp) && waited < patience {
        let now = unsent(&tcp);
        waited = if now < left { Duration::ZERO } else { waited + LINGER_STEP };
        left = now;
        tokio::time::sleep(LINGER_STEP).await;
    }
    drop(held);
}

fn has_unsent(tcp: &impl AsRawFd) -> bool {
    unsent(tcp) > 0
}

/// Segments that the peer has not acknowledged, and bytes that it has not been sent; only their sum's
/// course matters (tcp(7), TCP_INFO). Nothing when the connection is gone: of one that was reset, the kernel
/// goes on to count what it will never send.
fn unsent(tcp: &impl AsRawFd) -> usize {
    get_tcp_info(tcp.as_raw_fd()).ok().filter(|info| info.tcpi_state != TCP_CLOSE).map_or(0, |info| {
        usize::try_from(info.tcpi_unacked).unwrap_or(0)
            + usize::try_from(info.tcpi_notsent_bytes).unwrap_or(0)
    })
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            self.read_early(buf);
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if outcome.is_pending() && self.held.as_ref().is_some_and(|held| held.counted.draining()) {
            self.read_now(buf)
        } else {
            outcome
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.fits(buf.len()) {
            ready!(self.poll_send(cx))?;
        }
        if buf.len() >= BUFFER {
            let outcome = Pin::new(&mut self.tcp).poll_write(cx, buf);
            return self.timed(cx, outcome);
        }
        self.keep(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        if !self.fits(total) {
            ready!(self.poll_send(cx))?;
        }
        if total >= BUFFER {
            let outcome = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
            return self.timed(cx, outcome);
        }
        bufs.iter().for_each(|buf| self.keep(buf));
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Socket {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody left to tell.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Socket {
    fn id(&self) -> i32 {
        self.tcp.as_raw_fd()
    }
}

impl Ssl for Socket {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.h2.then_some(ALPN::H2)
    }
}

impl Peek for Socket {}

impl GetTimingDigest for Socket {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Socket {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

/// Over which, at the least, the rate is taken at which a peer makes room.
const WINDOW: Duration = Duration::from_secs(10);

/// A state of `tcpi_state` (the kernel's include/net/tcp_states.h).
const TCP_CLOSE: u8 = 7;

/// Between two looks at what the peer has taken.
const LINGER_STEP: Duration = Duration::from_millis(20);

/// A response head with a small body fits; anything as large as this goes out directly.
const BUFFER: usize = 4096;

#[cfg(test)]
mod tests;
