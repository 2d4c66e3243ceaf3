//! A listener that takes nobody new, so that its backlog can be emptied for good.
//!
//! Owns the filter that does it (socket(7), SO_ATTACH_FILTER). Closing a listener resets everybody
//! whom the kernel has accepted for it, and while it is open, more come: listen(2) has no way back.
//! Handshakes under way are finished, and what they lead to has no SYN to lose.

use std::io;

use socket2::{SockFilter, SockRef};
use tokio::net::TcpListener;

/// Drops every SYN. A client tries it again a second later (RFC 6298 section 2) and then learns that
/// the listener is closed, with nothing lost. Needs no privilege.
pub(super) fn turn_away(listener: &TcpListener) -> io::Result<()> {
    // linux/bpf_common.h; the offset counts from the TCP header (RFC 9293 section 3.1).
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn keeps_the_backlog_and_takes_nobody_new(address: &str) {
        let listener = TcpListener::bind(address).await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut before = TcpStream::connect(at).unwrap();
        turn_away(&listener).unwrap();
        let after = TcpStream::connect_timeout(&at, Duration::from_millis(200));
        assert_eq!(after.unwrap_err().kind(), io::ErrorKind::TimedOut);
        before.write_all(b"GET").unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        let mut got = [0; 3];
        served.read_exact(&mut got).await.unwrap();
        drop(listener);
        served.write_all(b"200").await.unwrap();
        before.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"200");
        let closed = TcpStream::connect(at).unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn keeps_the_backlog_and_takes_nobody_new_over_ipv4() {
        keeps_the_backlog_and_takes_nobody_new("127.0.0.1:0").await;
    }

    #[tokio::test]
    async fn keeps_the_backlog_and_takes_nobody_new_over_ipv6() {
        keeps_the_backlog_and_takes_nobody_new("[::1]:0").await;
    }
}
