//! The framework's peer for one attempt, and whether a failed attempt may be made again.
//!
//! Owns what a request's own facts make of its connection. Picks nothing: the turn was taken when the
//! request was routed.

use std::net::SocketAddr;
use std::time::Duration;

use pingora::Error;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;

use crate::edge::ctx::{ConnInfo, Ctx, Proxying};
use crate::wire::proxy::Ends;

/// The peer for the attempt that is due; `None` when no address is left.
///
/// No wait of it is longer than the time that is `left` to the request.
pub(super) fn next(
    session: &Session,
    conn: Option<ConnInfo>,
    proxying: &mut Proxying,
    left: Option<Duration>,
) -> Option<Box<HttpPeer>> {
    let address = proxying.turn.address(proxying.attempt)?;
    let link = &proxying.pool.link;
    let ends = if link.tells_ends() { ends(session, conn) } else { None };
    if !(link.may_switch() && session.is_upgrade_req()) {
        return Some(link.peer(address, ends, left));
    }
    let (peer, tunnel) = link.tunnel(address, ends, left);
    proxying.tunnel = Some(tunnel);
    Some(peer)
}

/// Between whom the request came: the client as it is known to us, and what it connected to. A client
/// that a trusted proxy told of has no port that is known.
fn ends(session: &Session, conn: Option<ConnInfo>) -> Option<Ends> {
    let inet = |address: &pingora::protocols::l4::socket::SocketAddr| address.as_inet().copied();
    let (peer, destination) = (session.client_addr().and_then(inet)?, session.server_addr().and_then(inet)?);
    let source = match conn {
        Some(conn) if conn.client.0 != conn.peer.0 => SocketAddr::new(conn.client.0, 0),
        _ => peer,
    };
    Some(Ends { source, destination })
}

/// From now on the connection's own clock runs, which sees both directions: one of them may be silent.
pub(super) fn switched(session: &mut Session, ctx: &Ctx) {
    if let Some(tunnel) = ctx.upstream().and_then(|proxying| proxying.tunnel.as_ref()) {
        session.set_read_timeout(None);
        tunnel.switch();
    }
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
