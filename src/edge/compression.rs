//! Compresses responses on their way out, whoever made them.
//!
//! Owns the one module of the framework's that every response passes, own answers, files and proxied ones
//! alike, and how many responses are compressed at once. What is compressed is decided in
//! `rewrite::compress`. Pingora's own module is not used: it heeds no weights, never flushes, leaves brotli
//! streams without an end and compresses parts of files.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, Module};
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr, Result};

use crate::edge::ctx::Ctx;
use crate::rewrite::compress::{Asked, Decision};
use crate::rewrite::encoder::Encoder;

/// Makes one [`Compressing`] a request.
pub(super) struct Compressor;

impl HttpModuleBuilder for Compressor {
    fn init(&self) -> Module {
        Box::new(Compressing::Idle)
    }

    /// After all others.
    fn order(&self) -> i16 {
        i16::MIN
    }
}

/// Prepares the response of a permitted request, where its route compresses.
pub(super) fn prepare(session: &mut Session, ctx: &Ctx) {
    let Some(settings) = &ctx.policy().compression else { return };
    let asked = Asked::of(session.req_header(), settings.clone());
    if let Some(module) = session.downstream_modules_ctx.get_mut::<Compressing>() {
        *module = Compressing::Asked(Box::new(asked), Pace::Flowing);
    }
}

/// Whether a response with this head would be compressed.
pub(super) fn would(session: &Session, head: &ResponseHeader) -> bool {
    match session.downstream_modules_ctx.get::<Compressing>() {
        Some(Compressing::Asked(asked, _)) => {
            matches!(asked.decide(head.status, &head.headers), Decision::Compress(_))
        }
        _ => false,
    }
}

/// Says that the whole body is at hand, so that nobody has to wait for the rest of a piece.
pub(super) fn at_hand(session: &mut Session) {
    if let Some(Compressing::Asked(_, pace)) = session.downstream_modules_ctx.get_mut::<Compressing>() {
        *pace = Pace::AtHand;
    }
}

/// How a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As somebody else writes it: what is there goes on at once.
    Flowing,
    AtHand,
}

/// The response of one request.
enum Compressing {
    /// Nothing to do, or over.
    Idle,
    Asked(Box<Asked>, Pace),
    Body(Box<Encoder>, Pace, Slot),
}

impl Compressing {
    fn begin(&mut self, response: &mut ResponseHeader, end: bool) -> Result<()> {
        // Another head follows a 100 or 103 (RFC 9110 section 15.2).
        let interim =
            response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS;
        if interim {
            return Ok(());
        }
        let Self::Asked(asked, pace) = std::mem::replace(self, Self::Idle) else { return Ok(()) };
        let mut decision = asked.decide(response.status, &response.headers);
        if let Decision::Compress(coding) = decision {
            if end && !asked.is_head() {
                return Ok(()); // no body at all
            }
            match Slot::take().filter(|_| !asked.is_head()) {
                Some(slot) => {
                    let encoder = Encoder::new(coding, asked.settings.level)
                        .or_err(ErrorType::InternalError, "an encoder")?;
                    *self = Self::Body(Box::new(encoder), pace, slot);
                }
                None if asked.is_head() => {}
                None => decision = Decision::Vary,
            }
        }
        change(response, decision, end)
    }

    fn push(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        let Self::Body(encoder, pace, _) = self else { return Ok(()) };
        let input = body.take().unwrap_or_default();
        let mut out = if input.is_empty() {
            Bytes::new()
        } else {
            let flush = *pace == Pace::Flowing && !end;
            encoder.push(&input, flush).or_err(ErrorType::InternalError, "compressing a response")?
        };
        if end {
            let rest = self.finish()?.unwrap_or_default();
            out = if out.is_empty() { rest } else { [out, rest].concat().into() };
        }
        // An empty chunk would end the body.
        *body = Some(out).filter(|out| !out.is_empty());
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<Bytes>> {
        match std::mem::replace(self, Self::Idle) {
            Self::Body(encoder, ..) => {
                encoder.finish().map(Some).or_err(ErrorType::InternalError, "compressing a response")
            }
            Self::Idle | Self::Asked(..) => Ok(None),
        }
    }
}

fn change(response: &mut ResponseHeader, decision: Decision, end: bool) -> Result<()> {
    if decision == Decision::Leave {
        return Ok(());
    }
    let mut fields: HeaderMap = response.headers.clone();
    decision.apply(&mut fields);
    for name in [header::ETAG, header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::ACCEPT_RANGES] {
        match fields.get(&name) {
            Some(value) => response.insert_header(&name, value)?,
            None => drop(response.remove_header(&name)),
        }
    }
    if fields.get_all(header::VARY).iter().count() > response.headers.get_all(header::VARY).iter().count() {
        response.append_header(header::VARY, HeaderValue::from_static("Accept-Encoding"))?;
    }
    if matches!(decision, Decision::Compress(_)) && !end {
        // HTTP/2 has no such field; the framework drops it there.
        response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

#[async_trait]
impl HttpModule for Compressing {
    async fn response_header_filter(&mut self, response: &mut ResponseHeader, end: bool) -> Result<()> {
        self.begin(response, end)
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        self.push(body, end)
    }

    /// Trailers that nothing announced go: the rest of the body needs their place.
    fn response_trailer_filter(&mut self, _trailers: &mut Option<Box<HeaderMap>>) -> Result<Option<Bytes>> {
        self.finish()
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.finish()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The right to hold an encoder; given back when dropped.
struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        let more = |taken| (taken < MOST).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::AcqRel);
    }
}

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Responses compressed at once, each with one to four mebibytes of memory; others go as they are, which
/// is always right. Without this, slow readers of many streams would decide how much memory there is.
const MOST: usize = 256;
