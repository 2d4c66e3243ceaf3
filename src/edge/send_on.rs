//! Applies the rewrite rules to the framework's messages.
//!
//! Owns no rule of its own except the client-side timeouts: what to change is decided in `rewrite`.

use std::time::Duration;

use fluxheim_config::Limits;
use http::{StatusCode, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::edge::ctx::Ctx;
use crate::rewrite::{forwarded, hop};

/// Sets how long the client may take, and whether its connection is kept.
pub(super) fn set_timeouts(session: &mut Session, limits: &Limits, draining: bool) {
    session.set_read_timeout(Some(limits.read_timeout));
    session.set_write_timeout(Some(limits.write_timeout));
    let kept = !draining && limits.keepalive_timeout > Duration::ZERO;
    // Whole seconds to the framework, where 0 would mean for ever.
    let seconds = limits.keepalive_timeout.as_secs().max(1);
    if !kept {
        session.set_keepalive(None);
    } else if session.get_keepalive().is_some() {
        // Only where the client's own Connection field has not already ended it.
        session.set_keepalive(Some(seconds));
    }
}

/// What the upstream is told about the client.
pub(super) fn rewrite_request(request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let (Some(conn), Some(admitted)) = (ctx.conn, ctx.admitted()) else { return Ok(()) };
    let hop = forwarded::Hop { peer: conn.peer, scheme: conn.scheme, host: &admitted.host, port: conn.port };
    let edits = forwarded::edits(&request.headers, hop, conn.client, &ctx.live.config.server.trusted_proxies);
    for name in edits.remove {
        request.remove_header(&name);
    }
    for (name, value) in edits.set {
        request.insert_header(name, value)?;
    }
    // RFC 9110 section 7.6.3: a gateway adds itself on the way in.
    request.append_header(header::VIA, VIA)?;
    Ok(())
}

/// Drops what belongs to the connection with the upstream.
pub(super) fn rewrite_response(response: &mut ResponseHeader) {
    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    for name in hop::response_fields_to_drop(&response.headers, switching) {
        response.remove_header(&name);
    }
}

const VIA: &str = "1.1 fluxheim";
