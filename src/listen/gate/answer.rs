//! The answer to a head that never reaches the framework, and the end of its connection.
//!
//! Owns the sending of it, in the form of the framework's answers, and the wait for the client to read
//! it: closing at once, with bytes of the client's unread, would reset the connection and could take the
//! answer with it (RFC 9112 section 9.6).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue};
use pingora::protocols::IO;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use crate::wire::{ALLOW, Violation};

/// An answer on its way.
#[derive(Debug)]
pub(in crate::listen) struct Answer {
    bytes: Vec<u8>,
    sent: usize,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Send,
    Flush,
    End,
    /// Discarding, until the client closes, has sent too much, or takes too long.
    Drain {
        left: usize,
        until: Pin<Box<Sleep>>,
    },
}

impl Answer {
    /// Bytes that end a connection of whichever protocol.
    pub(in crate::listen) const fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0, phase: Phase::Send }
    }

    /// To HEAD, the head alone.
    pub(super) fn new(violation: Violation, to_head: bool, field: &HeaderName, id: &HeaderValue) -> Self {
        let (status, phrase, text) = (violation.status(), violation.phrase(), violation.text());
        let date = httpdate::fmt_http_date(SystemTime::now());
        let allow = if status == 405 { format!("Allow: {ALLOW}\r\n") } else { String::new() };
        let mut answer = format!(
            "HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n{allow}{field}: {id}\r\nConnection: close\r\n\r\n",
            text.len(),
            id = id.to_str().unwrap_or("-"),
        );
        if !to_head {
            answer.push_str(text);
        }
        Self::of(answer.into_bytes())
    }

    /// Ready when the connection can be closed. That the client has gone is no news any more.
    pub(in crate::listen) fn poll<S: IO>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        match self.try_poll(stream, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(()),
        }
    }

    fn try_poll<S: IO>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.phase {
                Phase::Send => match self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
                    Some(rest) => match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        written => self.sent += written,
                    },
                    None => self.phase = Phase::Flush,
                },
                Phase::Flush => {
                    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                    self.phase = Phase::End;
                }
                Phase::End => {
                    ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                    let until = Box::pin(tokio::time::sleep(DRAIN_TIME));
                    self.phase = Phase::Drain { left: DRAIN_BYTES, until };
                }
                Phase::Drain { left, until } => {
                    let mut scratch = [0; 1024];
                    let mut buf = ReadBuf::new(&mut scratch);
                    match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                        Poll::Pending => return until.as_mut().poll(cx).map(Ok),
                        Poll::Ready(read) => read?,
                    }
                    let read = buf.filled().len();
                    if read == 0 || read > *left {
                        return Poll::Ready(Ok(()));
                    }
                    *left -= read;
                }
            }
        }
    }
}

/// What a client may still have been sending: a head as large as is ever allowed, and then some.
const DRAIN_BYTES: usize = 2 << 20;
/// For the answer to arrive and the client to close.
const DRAIN_TIME: Duration = Duration::from_secs(1);
