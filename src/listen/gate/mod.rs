//! The framing gate: the client's stream as the framework reads it, with only well-framed HTTP/1.1
//! requests in it.
//!
//! Owns what of the stream may pass, one request at a time: a head passes whole, and what is behind a
//! request waits here until the framework comes for the next. The rules are in `wire`. A refused head is
//! answered here, where no response can be in flight; in a body, the read fails with the [`Violation`]
//! and the request's own line answers it. After a 101 the bytes are of another protocol and pass as
//! they are.

pub(super) mod answer;
mod clock;
mod refusal;
mod switch;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::{IO, Peek, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::opening::Opening;
use super::secured::Secured;
use super::socket::Socket;
use super::wrapped::{passes_on, written_of};
use crate::telemetry::{Telemetry, new_request_id};
use crate::types::Scheme;
use crate::wire::{self, Facts, Framing, Step, Violation};
use answer::Answer;
pub use clock::Pace;
use clock::{Clock, Due};
use switch::Switch;

/// What a gate is set up with.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) pace: Pace,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) scheme: Scheme,
    pub(super) peer: SocketAddr,
}

/// A stream of well-framed requests.
#[derive(Debug)]
pub(super) struct Gate<S> {
    stream: S,
    terms: Terms,
    framing: Framing,
    stage: Stage,
    /// Taken from the client and not handed on yet; empty, and without memory, most of the time.
    held: BytesMut,
    /// How many of them may pass.
    cleared: usize,
    /// Whether the rest of them was judged: an incomplete head, which needs more.
    judged: bool,
    /// Of the request that passed last.
    facts: Facts,
    /// Whether anything of its body has come.
    body_begun: bool,
    clock: Option<Box<Clock>>,
}

#[derive(Debug)]
enum Stage {
    Requests,
    /// The last request asked for another protocol; this watches what it is answered.
    Switching(Switch),
    /// Of another protocol, no longer ours to judge.
    Switched,
    Refusing(Box<Answer>),
    Failed(Violation),
    Over,
}

/// What part of some bytes may pass, all of the same request.
enum Judged {
    Pass(usize),
    /// Nothing of this request has passed.
    Refuse(Violation),
    /// Its head has.
    Fail(Violation),
}

impl<S: IO> Gate<S> {
    pub(super) fn new(stream: S, terms: Terms) -> Self {
        let facts = Facts { upgrade: false, expects_continue: false, body: false };
        Self {
            stream,
            framing: Framing::new(terms.pace.bounds),
            terms,
            stage: Stage::Requests,
            held: BytesMut::new(),
            cleared: 0,
            judged: false,
            facts,
            body_begun: false,
            clock: None,
        }
    }

    /// What the bytes behind those that are cleared amount to. What belongs together and is there
    /// already is judged together: of a request that is wrong within its first read, nothing passes.
    fn judge(&mut self, bytes: &[u8]) -> Judged {
        let begins = self.framing.awaits_head();
        let mut pass = 0;
        while let Some(rest) = bytes.get(pass..).filter(|rest| !rest.is_empty()) {
            match self.framing.advance(rest) {
                Ok(Step::More) => break,
                Ok(Step::Head { len, facts }) => {
                    pass += len;
                    self.head_passes(facts);
                }
                Ok(Step::Body(len)) => {
                    pass += len;
                    self.body_begun = true;
                }
                Err(violation) if begins => return Judged::Refuse(violation),
                Err(violation) => return Judged::Fail(violation),
            }
            if self.framing.awaits_head() {
                self.clock = None;
                break;
            }
        }
        Judged::Pass(pass)
    }

    fn head_passes(&mut self, facts: Facts) {
        self.facts = facts;
        self.body_begun = false;
        self.clock = None;
        self.stage = if facts.upgrade { Stage::Switching(Switch::default()) } else { Stage::Requests };
    }

    /// Judges what is held, which begins with bytes that are not cleared.
    fn judge_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        match self.judge(&held) {
            Judged::Pass(pass) => {
                (self.held, self.cleared, self.judged) = (held, pass, true);
            }
            Judged::Refuse(violation) => self.refuse(violation, &held),
            Judged::Fail(violation) => self.fail(violation),
        }
    }

    /// Hands cleared bytes on.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.cleared.min(buf.remaining());
        buf.put_slice(self.held.get(..len).unwrap_or_default());
        self.held.advance(len);
        self.cleared -= len;
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        if self.cleared == 0 {
            self.judged = false;
        }
    }

    fn refuse(&mut self, violation: Violation, held: &[u8]) {
        self.clock = None;
        let line = self.framing.request_line(held);
        let id = new_request_id();
        refusal::tell(&self.terms, violation, line, &id);
        let to_head = line.is_some_and(|(method, _)| method == b"HEAD");
        let answer = Answer::new(violation, to_head, &self.terms.telemetry.request_id.load(), &id);
        self.stage = Stage::Refusing(Box::new(answer));
    }

    fn fail(&mut self, violation: Violation) {
        self.clock = None;
        refusal::count(&self.terms, violation);
        self.stage = Stage::Failed(violation);
    }

    /// The framework looks with one byte whether a client is still there while its request is being
    /// answered; where it comes for a head it brings a whole buffer. Nothing between requests must pass
    /// before that.
    fn is_probed(&self, buf: &ReadBuf<'_>) -> bool {
        self.framing.awaits_head() && buf.remaining() == 1
    }

    /// `None`: what was read is not enough, or there is something to do about it first.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Option<io::Result<()>>> {
        let probed = self.is_probed(buf);
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if outcome.is_pending() {
            return if probed { Poll::Pending } else { self.poll_clock(cx) };
        }
        ready!(outcome)?;
        let read = buf.filled().len() - before;
        if read == 0 {
            return Poll::Ready(Some(Ok(())));
        }
        if let Some(clock) = &mut self.clock {
            clock.took(read);
        }
        if probed || !self.held.is_empty() {
            self.held.extend_from_slice(buf.filled().get(before..).unwrap_or_default());
            buf.set_filled(before);
            self.judged = false;
            return Poll::Ready(None);
        }
        Poll::Ready(self.pass(buf, before).then_some(Ok(())))
    }

    /// Judges what was just read where it lies, and holds the part that may not pass; false if that is
    /// all of it.
    fn pass(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> bool {
        let read = buf.filled().get(before..).unwrap_or_default();
        let pass = match self.judge(read) {
            Judged::Pass(pass) => pass,
            Judged::Refuse(violation) => {
                self.refuse(violation, read);
                buf.set_filled(before);
                return false;
            }
            Judged::Fail(violation) => {
                self.fail(violation);
                buf.set_filled(before);
                return false;
            }
        };
        if let Some(rest) = read.get(pass..).filter(|rest| !rest.is_empty()) {
            self.held.extend_from_slice(rest);
            self.judged = pass == 0;
            buf.set_filled(before + pass);
        }
        pass > 0
    }

    /// Nothing to read now: for how long may that be?
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        let in_head = self.framing.awaits_head();
        let waits = if in_head {
            !self.held.is_empty()
        } else {
            // Before its first byte the client may be waiting for a 100; `read_timeout` bounds that.
            self.terms.pace.min_body_rate.is_some() && (self.body_begun || !self.facts.expects_continue)
        };
        if !waits {
            return Poll::Pending;
        }
        let clock = self.clock.get_or_insert_with(|| Box::new(Clock::start(in_head, &self.terms.pace)));
        match ready!(clock.poll(cx, &self.terms.pace)) {
            Due::Head if wire::is_filler(&self.held) => self.stage = Stage::Over,
            Due::Head => {
                let held = std::mem::take(&mut self.held);
                self.refuse(Violation::SlowHead, &held);
            }
            Due::Body => self.fail(Violation::SlowBody),
        }
        Poll::Ready(None)
    }
}

impl<S> Gate<S> {
    /// Whether a part of a head has come, or is being refused.
    fn is_in_head(&self) -> bool {
        matches!(self.stage, Stage::Refusing(_))
            || (self.framing.awaits_head() && !wire::is_filler(&self.held))
    }
}

/// Whether the stream of a connection has a part of a head in its gate.
pub(super) fn has_begun(stream: &Stream) -> bool {
    let stream = (**stream).as_any();
    let plain = stream.downcast_ref::<Gate<Opening<Socket>>>().map(Gate::is_in_head);
    let secured = || stream.downcast_ref::<Gate<Opening<Secured<Socket>>>>().map(Gate::is_in_head);
    plain.or_else(secured).unwrap_or(false)
}

impl<S: IO> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            match &mut gate.stage {
                Stage::Requests | Stage::Switching(_) => {}
                Stage::Switched if gate.held.is_empty() => {
                    return Pin::new(&mut gate.stream).poll_read(cx, buf);
                }
                Stage::Switched => gate.cleared = gate.held.len(),
                Stage::Refusing(answer) => {
                    ready!(answer.poll(&mut gate.stream, cx));
                    gate.stage = Stage::Over;
                }
                Stage::Failed(violation) => return Poll::Ready(Err(io::Error::other(*violation))),
                Stage::Over => return Poll::Ready(Ok(())),
            }
            if gate.cleared > 0 {
                gate.give(buf);
                return Poll::Ready(Ok(()));
            }
            if matches!(gate.stage, Stage::Over) {
                continue;
            }
            if !gate.held.is_empty() && gate.is_probed(buf) {
                // The next request is there already, so the client is too. It waits its turn.
                return Poll::Pending;
            }
            if !gate.held.is_empty() && !gate.judged {
                gate.judge_held();
                continue;
            }
            if let Some(outcome) = ready!(gate.poll_more(cx, buf)) {
                return Poll::Ready(outcome);
            }
        }
    }
}

impl<S: IO> Gate<S> {
    /// Follows the answer to a request that asked for another protocol.
    fn watch(&mut self, written: &[u8]) {
        let Stage::Switching(switch) = &mut self.stage else { return };
        match switch.follow(written) {
            None => {}
            Some(true) => self.stage = Stage::Switched,
            Some(false) => self.stage = Stage::Requests,
        }
    }
}

impl<S: IO> AsyncWrite for Gate<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = ready!(Pin::new(&mut gate.stream).poll_write(cx, buf))?;
        gate.watch(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = ready!(Pin::new(&mut gate.stream).poll_write_vectored(cx, bufs))?;
        written_of(bufs, written).for_each(|part| gate.watch(part));
        Poll::Ready(Ok(written))
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

passes_on!(Gate);

/// Not passed on: what is looked at here must be judged too.
impl<S: IO> Peek for Gate<S> {}

#[cfg(test)]
mod tests;
