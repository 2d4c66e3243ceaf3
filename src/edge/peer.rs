//! The framework's peer for one attempt.
//!
//! Owns what a request's own facts make of its connection. Picks nothing: that is `attempt`'s.

use std::net::SocketAddr;
use std::time::Duration;

use http::header;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;

use crate::edge::ctx::{ConnInfo, Ctx, Proxying};
use crate::wire::proxy::Ends;

/// The peer at `address`. No wait of it is longer than the time that is `left` to the request.
pub(super) fn at(
    address: SocketAddr,
    session: &Session,
    conn: Option<ConnInfo>,
    proxying: &mut Proxying,
    left: Option<Duration>,
) -> Box<HttpPeer> {
    let link = &proxying.pool.link;
    let ends = if link.tells_ends() { ends(session, conn) } else { None };
    if !(link.may_switch() && may_upgrade(session)) {
        return link.peer(address, ends, left);
    }
    let (peer, tunnel) = link.tunnel(address, ends, left);
    proxying.tunnel = Some(tunnel);
    peer
}

/// Whether the connection may become another protocol's: only this one is asked of upstreams (RFC 6455 section
/// 4.1), other `Upgrade` fields are not passed on.
pub(super) fn may_upgrade(session: &Session) -> bool {
    let asked = session.req_header().headers.get(header::UPGRADE);
    session.is_upgrade_req()
        && asked.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
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
