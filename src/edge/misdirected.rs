//! Requests for a host on a connection that was made for another one (RFC 9110 section 15.5.20).
//!
//! Owns the judgement. A browser may use one HTTP/2 connection for all hosts of its certificate (RFC 9113
//! section 9.1.1): that is not misdirected. A client that asked for no name has none to compare, and a
//! trusted proxy answers for what it sends on.

use crate::edge::ctx::Ctx;
use crate::types::{Host, TlsFacts};

/// Whether the request for `host` came over a connection that was not made for it.
pub(super) fn is_misdirected(ctx: &Ctx, host: &Host) -> bool {
    let trusted = || {
        let proxies = &ctx.live.config.server.trusted_proxies;
        let peer = ctx.conn.map(|conn| conn.peer.0.to_canonical());
        peer.is_some_and(|peer| proxies.iter().any(|network| network.contains(&peer)))
    };
    ctx.tls.as_deref().is_some_and(|tls| !serves(tls, host) && !trusted())
}

/// Whether a connection like this was made for `host`, as the client sees it.
fn serves(tls: &TlsFacts, host: &Host) -> bool {
    match tls.sni.as_deref() {
        None => true,
        Some(name) => name == host.as_str() || tls.certified_for(host.as_str()),
    }
}
