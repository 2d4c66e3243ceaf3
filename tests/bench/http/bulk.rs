//! Clients that read large responses over kept TLS 1.3 connections.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::handshakes::{self, Encrypted};
use crate::stage::Stage;

/// Of one response.
pub(crate) const SIZE: usize = 8 << 20;

/// How much came in a round.
pub(crate) fn mebibytes(stage: &Stage, at: SocketAddr) -> f64 {
    let (config, end) =
        (handshakes::config(stage), Instant::now() + Duration::from_secs(stage.seconds.into()));
    let client = || {
        let (mut tls, mut responses) = (handshakes::connect(&config, at), 0_u32);
        while Instant::now() < end {
            read_one(&mut tls);
            responses += 1;
        }
        responses
    };
    let responses: u32 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    f64::from(responses) * (SIZE >> 20) as f64
}

fn read_one(tls: &mut Encrypted) {
    tls.write_all(b"GET /bulk HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let (mut buffer, mut head, mut body) = (vec![0; 64 << 10], Vec::new(), 0);
    while body < SIZE {
        let read = tls.read(&mut buffer).unwrap();
        assert!(read > 0, "cut off after {body} bytes");
        if body > 0 {
            body += read;
            continue;
        }
        head.extend_from_slice(&buffer[..read]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head[..end]));
            body = head.len() - end - 4;
        }
    }
    assert_eq!(body, SIZE);
}

const CLIENTS: usize = 4;
