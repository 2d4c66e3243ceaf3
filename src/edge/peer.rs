//! The framework's peer for one attempt, and whether a failed attempt may be made again.
//!
//! Owns the mapping from our upstream settings to the framework's. Picks nothing: the turn was taken
//! when the request was routed.

use std::time::Duration;

use pingora::Error;
use pingora::proxy::Session;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::edge::ctx::Proxying;

/// The peer for the attempt that is due; `None` when no address is left.
///
/// No wait of it is longer than the time that is `left` to the request.
pub(super) fn next(proxying: &Proxying, left: Option<Duration>) -> Option<Box<HttpPeer>> {
    let address = proxying.turn.address(proxying.attempt)?;
    let upstream = &proxying.pool.config;
    let mut peer = HttpPeer::new(address, false, String::new());
    let within = |time: Duration| Some(left.map_or(time, |left| time.min(left)));
    peer.options.connection_timeout = within(upstream.connect_timeout);
    peer.options.total_connection_timeout = within(upstream.connect_timeout);
    peer.options.read_timeout = within(upstream.read_timeout);
    peer.options.write_timeout = within(upstream.write_timeout);
    peer.options.idle_timeout = Some(upstream.keepalive_timeout);
    // Hop-by-hop fields go, a WebSocket upgrade stays, nominating protected fields is refused.
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::standard();
    Some(Box::new(peer))
}

/// A request goes out again only if the server can't have acted on it twice: the method is
/// idempotent (RFC 9110 section 9.2.2), its body can be replayed, and the connection was a kept one
/// that may have been closing already.
pub(super) fn judge_retry(session: &Session, mut error: Box<Error>, client_reused: bool) -> Box<Error> {
    let replayable =
        session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
    if replayable {
        error.retry.decide_reuse(client_reused);
    } else {
        error.set_retry(false);
    }
    error
}
