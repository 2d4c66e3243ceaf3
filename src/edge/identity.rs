//! What a request is known by: its id, and its span of a trace.
//!
//! Owns where they come from (the request, if its peer is believed, or chance) and where they go. What is
//! well-formed is decided in `rewrite`.

use fluxheim_config::Trust;
use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::edge::live::Live;
use crate::rewrite::trace_context::{self, Span};
use crate::rewrite::{forwarded, request_id};
use crate::telemetry::new_request_id;
use crate::types::PeerIp;

/// Of one request.
#[derive(Debug, Clone)]
pub struct Identity {
    pub request_id: HeaderValue,
    pub span: Option<Span>,
    /// The span of asking an upstream, where spans go anywhere.
    pub client: Option<u64>,
}

/// The id and span that a request of `peer` has.
pub(super) fn identify(head: &RequestHeader, peer: PeerIp, live: &Live) -> Identity {
    let believed = |trust: Trust| match trust {
        Trust::Always => true,
        Trust::Never => false,
        Trust::TrustedProxies => forwarded::is_trusted(peer.0, &live.config.server.trusted_proxies),
    };
    let tracing = &live.config.tracing;
    let sent = only(head, &live.request_id_field).filter(|sent| request_id::well_formed(sent));
    let sent = sent.filter(|_| believed(tracing.request_id.trust)).cloned();
    let span = tracing.propagate.then(|| {
        let sent = only(head, &TRACEPARENT).filter(|_| believed(tracing.trust));
        let continued = sent.and_then(|sent| Span::continuing(sent, rand::random()));
        let ratio = tracing.sample_ratio.millionths();
        continued.unwrap_or_else(|| Span::beginning(rand::random(), rand::random(), ratio))
    });
    let client =
        tracing.otlp.as_ref().and(span).filter(|span| span.sampled).map(|_| rand::random::<u64>().max(1));
    Identity { request_id: sent.unwrap_or_else(new_request_id), span, client }
}

/// The field's value, unless it stands there twice.
fn only<'a>(head: &'a RequestHeader, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = head.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

impl Identity {
    /// Tells the upstream.
    ///
    /// # Errors
    /// Never in practice: the values are well-formed.
    pub(super) fn send_on(&self, request: &mut RequestHeader, live: &Live) -> Result<()> {
        request.insert_header(live.request_id_field.clone(), self.request_id.clone())?;
        let Some(span) = &self.span else { return Ok(()) };
        let state =
            span.parent.and_then(|_| trace_context::tracestate(request.headers.get_all(&TRACESTATE).iter()));
        let parent = Span { id: self.client.unwrap_or(span.id), ..*span };
        request.insert_header(TRACEPARENT, parent.traceparent().as_slice())?;
        match state {
            Some(state) => request.insert_header(TRACESTATE, state)?,
            None => drop(request.remove_header(&TRACESTATE)),
        }
        Ok(())
    }

    /// Tells the client.
    ///
    /// # Errors
    /// Never in practice: the value is well-formed.
    pub(super) fn answer(&self, response: &mut ResponseHeader, live: &Live) -> Result<()> {
        response.insert_header(live.request_id_field.clone(), self.request_id.clone())
    }

    /// The id as logs have it.
    #[must_use]
    pub fn request_id_text(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
