//! A connection to a server that may switch protocols: for as long as something moves.
//!
//! Owns its clock, which every byte in either direction sets back, and one turn's delay that the
//! framework needs: its HTTP/1.1 client takes the end of the request's body, when it sees it after the
//! 101, for the end of the new protocol. Before the switch, the clock is the read timeout's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// What a request and its connection both know of the switch.
#[derive(Debug)]
pub struct Tunnel {
    before: Duration,
    after: Duration,
    switched: AtomicBool,
    /// Who waits for bytes by the clock of before.
    reader: Mutex<Option<Waker>>,
}

impl Tunnel {
    pub(super) const fn new(before: Duration, after: Duration) -> Self {
        Self { before, after, switched: AtomicBool::new(false), reader: Mutex::new(None) }
    }

    /// The server has agreed to another protocol.
    pub fn switch(&self) {
        self.switched.store(true, Ordering::Release);
        // A poisoned lock has a waker in it all the same.
        let reader = self.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        reader.into_iter().for_each(Waker::wake);
    }

    fn limit(&self) -> Duration {
        if self.switched.load(Ordering::Acquire) { self.after } else { self.before }
    }

    fn register(&self, waker: &Waker) {
        if !self.switched.load(Ordering::Acquire) {
            *self.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(waker.clone());
        }
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct TunnelStream {
    tcp: TcpStream,
    tunnel: std::sync::Arc<Tunnel>,
    moved: Instant,
    sleep: Pin<Box<Sleep>>,
    /// Whether something was written since the last read.
    asked: bool,
}

impl TunnelStream {
    pub(super) fn new(tcp: TcpStream, tunnel: std::sync::Arc<Tunnel>) -> Self {
        let sleep = Box::pin(tokio::time::sleep(tunnel.limit()));
        Self { tcp, tunnel, moved: Instant::now(), sleep, asked: false }
    }

    /// Nothing to read: for how long may that be?
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before the limit is looked at, so that a switch between the two is not missed.
        self.tunnel.register(cx.waker());
        let end = self.moved + self.tunnel.limit();
        if self.sleep.deadline() != end {
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self) {
        self.moved = Instant::now();
        self.asked = true;
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if std::mem::take(&mut stream.asked) && !stream.tunnel.switched.load(Ordering::Relaxed) {
            // Whoever polls this has more to look at, and shall look there first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut stream.tcp).poll_read(cx, buf);
        if outcome.is_pending() {
            return stream.poll_clock(cx);
        }
        stream.moved = Instant::now();
        outcome
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = ready!(Pin::new(&mut stream.tcp).poll_write(cx, buf))?;
        stream.wrote();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = ready!(Pin::new(&mut stream.tcp).poll_write_vectored(cx, bufs))?;
        stream.wrote();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl VirtualSocket for TunnelStream {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            VirtualSockOpt::KeepAlive(keepalive) => {
                set_tcp_keepalive(&self.tcp, &keepalive).map_err(io::Error::other)
            }
            // What else the framework may ask for some day, it does without elsewhere too.
            _ => Ok(()),
        }
    }
}
