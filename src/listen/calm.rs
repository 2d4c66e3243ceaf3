//! An HTTP/2 connection whose client stays calm: the stream as the framework reads and writes it.
//!
//! Owns what is done about what `wire::h2` finds in the frames that pass: a flood ends the connection with
//! a GOAWAY, where one may stand; a stream whose body comes too slowly is reset, towards the client and
//! towards the framework, which hears of it as if the client had given it up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::{IO, Peek};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::gate::Terms;
use super::gate::answer::Answer;
use super::wrapped::{passes_on, written_of};
use crate::wire::h2::{self, Allowance, Flood, WINDOW, Watch};

/// A watched HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Calm<S> {
    stream: S,
    terms: Terms,
    watch: Watch,
    /// When what is counted begins anew.
    turn: Instant,
    /// Wakes for it, while a body is awaited.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Frames of ours, to be read by the framework and to be sent to the client.
    inward: BytesMut,
    outward: BytesMut,
    /// Whether part of `inward` or `outward` has gone: the rest must follow before anything else.
    partial: (bool, bool),
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Ending {
    Telling(Box<Answer>),
    Over,
}

impl<S: IO> Calm<S> {
    pub(super) fn new(stream: S, terms: Terms) -> Self {
        let pace = &terms.pace;
        let watch = Watch::new(Allowance {
            resets: pace.h2_resets,
            control_frames: pace.h2_control_frames,
            min_body_rate: pace.min_body_rate,
            // The framework refuses those above its own limit, a moment after they were seen here.
            bodies: usize::try_from(pace.h2_streams)
                .unwrap_or(usize::MAX)
                .saturating_mul(2)
                .max(SPARE_BODIES),
        });
        Self {
            stream,
            terms,
            watch,
            turn: Instant::now() + PERIOD,
            alarm: None,
            inward: BytesMut::new(),
            outward: BytesMut::new(),
            partial: (false, false),
            ending: None,
        }
    }

    fn end(&mut self, flood: Flood) {
        self.terms.telemetry.metrics.h2_refused(flood.name());
        tracing::debug!(peer = %self.terms.peer, %flood, "HTTP/2 connection ended");
        let may_tell = self.watch.may_insert_sent() && !self.partial.1;
        let goodbye = if may_tell { self.watch.calm_down() } else { Vec::new() };
        self.ending = Some(Ending::Telling(Box::new(Answer::of(goodbye))));
    }

    fn begin_anew(&mut self, now: Instant) {
        self.turn = now + PERIOD;
        for stream in self.watch.turn() {
            self.terms.telemetry.metrics.h2_refused(SLOW_BODY);
            tracing::debug!(peer = %self.terms.peer, stream, "HTTP/2 stream reset: its body comes too slowly");
            self.inward.extend_from_slice(&h2::reset(stream));
            self.outward.extend_from_slice(&h2::reset(stream));
        }
    }

    /// Nothing to read now: ready when it is time to look at bodies again.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.watch.awaits_body() {
            self.alarm = None;
            return Poll::Pending;
        }
        let turn = self.turn;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(turn)));
        if alarm.deadline() != turn {
            alarm.as_mut().reset(turn);
        }
        alarm.as_mut().poll(cx)
    }

    /// Hands frames of ours to the framework, between those of the client.
    fn insert(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.inward.is_empty() || !(self.partial.0 || self.watch.may_insert_received()) {
            return false;
        }
        let len = self.inward.len().min(buf.remaining());
        buf.put_slice(self.inward.get(..len).unwrap_or_default());
        self.inward.advance(len);
        self.partial.0 = !self.inward.is_empty();
        true
    }

    /// Sends frames of ours, between those of the framework.
    fn poll_outward(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outward.is_empty() && (self.partial.1 || self.watch.may_insert_sent()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outward))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.outward.advance(written),
            }
            self.partial.1 = !self.outward.is_empty();
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, written: &[u8]) {
        if let Err(flood) = self.watch.sent(written)
            && self.ending.is_none()
        {
            self.end(flood);
        }
    }

    fn may_write(&self) -> io::Result<()> {
        if self.ending.is_some() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<S: IO> AsyncRead for Calm<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let calm = self.get_mut();
        loop {
            match &mut calm.ending {
                Some(Ending::Telling(answer)) => {
                    ready!(answer.poll(&mut calm.stream, cx));
                    calm.ending = Some(Ending::Over);
                }
                Some(Ending::Over) => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                None => {}
            }
            if calm.ending.is_some() {
                continue;
            }
            let now = Instant::now();
            if now >= calm.turn {
                calm.begin_anew(now);
            }
            if calm.insert(buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            match Pin::new(&mut calm.stream).poll_read(cx, buf) {
                Poll::Pending => ready!(calm.poll_alarm(cx)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    match calm.watch.received(buf.filled().get(before..).unwrap_or_default()) {
                        Ok(()) => return Poll::Ready(Ok(())),
                        Err(flood) => {
                            buf.set_filled(before);
                            calm.end(flood);
                        }
                    }
                }
            }
        }
    }
}

impl<S: IO> AsyncWrite for Calm<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let calm = self.get_mut();
        calm.may_write()?;
        ready!(calm.poll_outward(cx))?;
        let written = ready!(Pin::new(&mut calm.stream).poll_write(cx, buf))?;
        calm.wrote(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let calm = self.get_mut();
        calm.may_write()?;
        ready!(calm.poll_outward(cx))?;
        let written = ready!(Pin::new(&mut calm.stream).poll_write_vectored(cx, bufs))?;
        written_of(bufs, written).for_each(|part| calm.wrote(part));
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let calm = self.get_mut();
        if calm.ending.is_none() {
            ready!(calm.poll_outward(cx))?;
        }
        Pin::new(&mut calm.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

passes_on!(Calm);

/// Not passed on: what is looked at here must be counted too.
#[async_trait]
impl<S: IO> Peek for Calm<S> {}

const PERIOD: Duration = Duration::from_secs(WINDOW);
const SPARE_BODIES: usize = 16;
const SLOW_BODY: &str = "slow_body";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::listen::Pace;
    use crate::telemetry::Telemetry;
    use crate::telemetry::access::AccessLog;
    use crate::types::Scheme;
    use crate::wire::Bounds;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const POST: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x03x";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";

    fn pair() -> (Calm<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(1 << 20);
        let pace = Pace {
            bounds: Bounds { size: 1024, fields: 10 },
            header_timeout: Duration::from_secs(2),
            min_body_rate: Some(500),
            h2_resets: 20,
            h2_control_frames: 20,
            h2_streams: 100,
        };
        let telemetry = Arc::new(Telemetry::new(AccessLog::off(), None));
        let peer = ([192, 0, 2, 1], 1).into();
        (Calm::new(server, Terms { pace, telemetry, scheme: Scheme::Https, peer }), client)
    }

    fn counted(calm: &Calm<DuplexStream>, reason: &str) -> bool {
        let telemetry = &calm.terms.telemetry;
        let line = format!("http2_refused_total{{reason=\"{reason}\"}} 1\n");
        telemetry.metrics.expose(&telemetry.lifecycle).contains(&line)
    }

    #[tokio::test]
    async fn ends_a_flood_with_goaway_after_what_was_sent_before() {
        let (mut calm, mut client) = pair();
        client.write_all(&[PREFACE, POST].concat()).await.unwrap();
        calm.read_exact(&mut [0; 34]).await.unwrap();
        calm.write_all(PING).await.unwrap();
        client.write_all(&PING.repeat(21)).await.unwrap();
        let mut bytes = [0; 1024];
        let (read, told) = tokio::join!(async { while calm.read(&mut bytes).await.is_ok() {} }, async {
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.unwrap();
            drop(client);
            told
        });
        let () = read;
        assert_eq!(told, [PING, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x03\0\0\0\x0b"].concat());
        assert!(counted(&calm, "control_frames"));
        assert!(calm.write_all(PING).await.is_err());
    }

    #[tokio::test]
    async fn ends_a_flood_without_a_word_within_a_frame() {
        let (mut calm, mut client) = pair();
        client.write_all(PREFACE).await.unwrap();
        calm.write_all(&PING[..12]).await.unwrap();
        client.write_all(&PING.repeat(21)).await.unwrap();
        AsyncWriteExt::shutdown(&mut client).await.unwrap();
        while calm.read(&mut [0; 1024]).await.is_ok() {}
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, &PING[..12]);
    }

    #[tokio::test(start_paused = true)]
    async fn resets_a_stream_whose_body_trickles_between_frames_of_both_sides() {
        let (mut calm, mut client) = pair();
        client.write_all(&[PREFACE, POST].concat()).await.unwrap();
        calm.read_exact(&mut [0; 34]).await.unwrap();
        // Both sides stop within a frame.
        calm.write_all(&PING[..12]).await.unwrap();
        client.write_all(&PING[..12]).await.unwrap();
        calm.read_exact(&mut [0; 12]).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_secs(60), calm.read_exact(&mut [0; 1])).await;
        assert!(waited.is_err(), "a frame was torn");
        assert!(counted(&calm, "slow_body"));
        client.write_all(&PING[12..]).await.unwrap();
        let mut got = [0; 5 + 13];
        calm.read_exact(&mut got).await.unwrap();
        let reset = h2::reset(3);
        assert_eq!(got.to_vec(), [&PING[12..], &reset].concat());
        calm.flush().await.unwrap();
        calm.write_all(&PING[12..]).await.unwrap();
        calm.flush().await.unwrap();
        drop(calm);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, [PING, &reset].concat());
    }
}
