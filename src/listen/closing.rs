//! A listener that takes nobody new, so that its backlog can be emptied for good.
//!
//! Owns the way to do it without any privilege. Closing a listener resets everybody whom the kernel has
//! accepted for it, and while it is open, more come: listen(2) has no way back. But it can ask for more
//! time to live than packets have (ip(7), IP_MINTTL; RFC 5082): the kernel then drops every SYN, and
//! still finishes handshakes under way, which it does not measure against the listener. What these lead
//! to asks for as much, until told not to.

use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use tokio::net::{TcpListener, TcpStream};

sockopt_impl!(MinTtl, SetOnly, libc::IPPROTO_IP, libc::IP_MINTTL, libc::c_int);
sockopt_impl!(MinHopCount, SetOnly, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, libc::c_int);

/// Drops every SYN. A client tries it again a second later (RFC 6298 section 2) and then learns that
/// the listener is closed, with nothing lost. One that sends the greatest time to live from the same
/// link still comes through.
pub(super) fn turn_away(listener: &TcpListener) -> std::io::Result<()> {
    let ipv6 = listener.local_addr()?.is_ipv6();
    Ok(if ipv6 { setsockopt(listener, MinHopCount, &255) } else { setsockopt(listener, MinTtl, &255) }?)
}

/// Hears a connection whose handshake ended after the listener had turned away others. What it has
/// sent meanwhile, it sends again.
pub(super) fn hear(stream: &TcpStream) -> std::io::Result<()> {
    let ipv6 = stream.local_addr()?.is_ipv6();
    Ok(if ipv6 { setsockopt(stream, MinHopCount, &0) } else { setsockopt(stream, MinTtl, &0) }?)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream as Client;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    sockopt_impl!(DeferAccept, SetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, libc::c_int);

    async fn keeps_the_backlog_and_takes_nobody_new(address: &str) {
        let listener = TcpListener::bind(address).await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut before = Client::connect(at).unwrap();
        turn_away(&listener).unwrap();
        let after = Client::connect_timeout(&at, Duration::from_millis(200));
        assert_eq!(after.unwrap_err().kind(), ErrorKind::TimedOut);
        before.write_all(b"GET").unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut got = [0; 3];
        served.read_exact(&mut got).await.unwrap();
        served.write_all(b"200").await.unwrap();
        before.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"200");
        assert_eq!(Client::connect(at).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn keeps_the_backlog_and_takes_nobody_new_over_ipv4() {
        keeps_the_backlog_and_takes_nobody_new("127.0.0.1:0").await;
    }

    #[tokio::test]
    async fn keeps_the_backlog_and_takes_nobody_new_over_ipv6() {
        keeps_the_backlog_and_takes_nobody_new("[::1]:0").await;
    }

    /// The kernel is told to finish handshakes with the first bytes only (tcp(7), TCP_DEFER_ACCEPT).
    async fn hears_a_connection_whose_handshake_ends_after(address: &str) {
        let listener = TcpListener::bind(address).await.unwrap();
        setsockopt(&listener, DeferAccept, &5).unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
        turn_away(&listener).unwrap();
        client.write_all(b"GE").unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        client.write_all(b"T").unwrap();
        let mut got = [0; 3];
        let deaf = tokio::time::timeout(Duration::from_millis(100), served.read_exact(&mut got));
        assert!(deaf.await.is_err(), "heard without being told to: this test shows nothing");
        hear(&served).unwrap();
        let mut last = [0; 1];
        tokio::time::timeout(Duration::from_secs(5), served.read_exact(&mut last)).await.unwrap().unwrap();
        assert_eq!(&last, b"T");
    }

    #[tokio::test]
    async fn hears_a_connection_whose_handshake_ends_after_over_ipv4() {
        hears_a_connection_whose_handshake_ends_after("127.0.0.1:0").await;
    }

    #[tokio::test]
    async fn hears_a_connection_whose_handshake_ends_after_over_ipv6() {
        hears_a_connection_whose_handshake_ends_after("[::1]:0").await;
    }
}
