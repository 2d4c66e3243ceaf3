//! The stream as the framework would read it, against a client at the other end of a pipe.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::telemetry::access::AccessLog;
use crate::wire::Bounds;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const BAD: &[u8] = b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n";
const SWITCH: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

fn pair() -> (Gate<DuplexStream>, DuplexStream) {
    let (client, server) = duplex(1 << 20);
    let terms = Terms {
        pace: Pace {
            bounds: Bounds { size: 1024, fields: 10 },
            header_timeout: Duration::from_secs(2),
            min_body_rate: Some(500),
            h2_resets: 200,
            h2_control_frames: 1000,
            h2_streams: 100,
        },
        telemetry: Arc::new(Telemetry::new(AccessLog::off(), None)),
        scheme: Scheme::Http,
        peer: ([192, 0, 2, 1], 1).into(),
    };
    (Gate::new(server, terms), client)
}

fn refusals(gate: &Gate<DuplexStream>, violation: Violation) -> bool {
    let telemetry = &gate.terms.telemetry;
    let line = format!("refused_total{{reason=\"{}\"}} 1\n", violation.name());
    telemetry.metrics.expose(&telemetry.lifecycle).contains(&line)
}

/// As the framework reads a head.
async fn head(gate: &mut Gate<DuplexStream>) -> Vec<u8> {
    let mut buf = vec![0; 4096];
    let read = gate.read(&mut buf).await.unwrap();
    buf.truncate(read);
    buf
}

/// Whether a read of that many bytes waits.
async fn waits(gate: &mut Gate<DuplexStream>, len: usize) -> bool {
    let mut buf = vec![0; len];
    tokio::time::timeout(Duration::from_millis(50), gate.read(&mut buf)).await.is_err()
}

#[tokio::test]
async fn passes_a_whole_head_where_it_lies() {
    let (mut gate, mut client) = pair();
    client.write_all(GET).await.unwrap();
    assert_eq!(head(&mut gate).await, GET);
    assert_eq!(gate.held.capacity(), 0);
    drop(client);
    assert!(head(&mut gate).await.is_empty());
}

#[tokio::test]
async fn holds_a_head_until_it_is_complete() {
    let (mut gate, mut client) = pair();
    for byte in GET.chunks(1) {
        assert!(gate.held.len() < GET.len() && waits(&mut gate, 4096).await);
        client.write_all(byte).await.unwrap();
    }
    assert_eq!(head(&mut gate).await, GET);
    assert_eq!(gate.held.capacity(), 0);
}

#[tokio::test]
async fn gives_what_it_holds_to_buffers_of_any_size() {
    let (mut gate, mut client) = pair();
    client.write_all(&[b"\r\n", GET, GET].concat()).await.unwrap();
    let mut got = Vec::new();
    for len in [7, 2, 30, 5, 64] {
        let mut buf = vec![0; len];
        let read = gate.read(&mut buf).await.unwrap();
        got.extend_from_slice(&buf[..read]);
    }
    assert_eq!(got, [b"\r\n", GET, GET].concat());
}

#[tokio::test]
async fn keeps_the_next_request_from_a_probe() {
    let (mut gate, mut client) = pair();
    client.write_all(&[GET, GET].concat()).await.unwrap();
    assert_eq!(head(&mut gate).await, GET);
    assert!(waits(&mut gate, 1).await);
    assert_eq!(head(&mut gate).await, GET);
    client.write_all(&GET[..5]).await.unwrap();
    assert!(waits(&mut gate, 1).await && waits(&mut gate, 1).await);
    client.write_all(&GET[5..]).await.unwrap();
    assert_eq!(head(&mut gate).await, GET);
    drop(client);
    assert_eq!(gate.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn answers_a_bad_head_after_the_good_one_and_ends() {
    let (mut gate, mut client) = pair();
    client.write_all(&[GET, BAD, GET].concat()).await.unwrap();
    assert_eq!(head(&mut gate).await, GET);
    assert!(waits(&mut gate, 1).await);
    let (read, answer) = tokio::join!(head(&mut gate), async {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        answer
    });
    assert!(read.is_empty());
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("Connection: close\r\n"));
    assert!(answer.ends_with("\r\n\r\nbad request\n"), "{answer}");
    assert!(refusals(&gate, Violation::SpaceBeforeColon));
    assert!(head(&mut gate).await.is_empty());
}

#[tokio::test]
async fn passes_nothing_of_a_request_that_is_wrong_within_its_first_read() {
    let (mut gate, mut client) = pair();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n")
        .await
        .unwrap();
    AsyncWriteExt::shutdown(&mut client).await.unwrap();
    assert!(head(&mut gate).await.is_empty());
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn fails_the_read_of_a_body_that_turns_out_wrong() {
    let (mut gate, mut client) = pair();
    let start = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    client.write_all(start).await.unwrap();
    assert_eq!(head(&mut gate).await, start);
    client.write_all(b"1\r\nxy").await.unwrap();
    for _ in 0..2 {
        let error = gate.read(&mut [0; 64]).await.unwrap_err();
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Violation>());
        assert_eq!(cause, Some(&Violation::ChunkEnd));
    }
    assert!(refusals(&gate, Violation::ChunkEnd));
}

#[tokio::test]
async fn steps_aside_after_a_switch_of_protocols_only() {
    for (answer, switches) in
        [("HTTP/1.1 101 Switching Protocols\r\n\r\n", true), ("HTTP/1.1 200 OK\r\n\r\n", false)]
    {
        let (mut gate, mut client) = pair();
        client.write_all(&[SWITCH, b"\x00\x01"].concat()).await.unwrap();
        assert_eq!(head(&mut gate).await, SWITCH);
        gate.write_all(answer.as_bytes()).await.unwrap();
        client.write_all(b"\x02").await.unwrap();
        AsyncWriteExt::shutdown(&mut client).await.unwrap();
        let mut got = Vec::new();
        gate.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, if switches { &b"\x00\x01\x02"[..] } else { b"" });
        assert_eq!(refusals(&gate, Violation::Method), !switches);
    }
}

#[tokio::test(start_paused = true)]
async fn ends_a_head_that_takes_too_long() {
    let (mut gate, mut client) = pair();
    client.write_all(&GET[..20]).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(head(&mut gate).await.is_empty());
    assert!(began.elapsed() >= Duration::from_secs(2) && began.elapsed() < Duration::from_secs(4));
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    assert!(refusals(&gate, Violation::SlowHead));
}

#[tokio::test(start_paused = true)]
async fn ends_without_a_word_where_only_a_line_end_came() {
    let (mut gate, mut client) = pair();
    client.write_all(b"\r\n").await.unwrap();
    assert!(head(&mut gate).await.is_empty());
    drop(gate);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty());
}

#[tokio::test(start_paused = true)]
async fn times_a_body_but_not_the_wait_for_a_100() {
    for (expect, due) in [("", true), ("Expect: 100-continue\r\n", false)] {
        let (mut gate, mut client) = pair();
        let start = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{expect}Content-Length: 9\r\n\r\n");
        client.write_all(start.as_bytes()).await.unwrap();
        assert_eq!(head(&mut gate).await, start.as_bytes());
        let mut buf = [0; 9];
        let outcome = tokio::time::timeout(Duration::from_secs(30), gate.read(&mut buf)).await;
        assert_eq!(outcome.is_ok(), due);
        if !due {
            client.write_all(b"x").await.unwrap();
            assert_eq!(gate.read(&mut buf).await.unwrap(), 1);
            assert!(gate.read(&mut buf).await.is_err());
        }
        assert!(refusals(&gate, Violation::SlowBody));
    }
}

#[tokio::test(start_paused = true)]
async fn has_no_clock_between_requests() {
    let (mut gate, mut client) = pair();
    client.write_all(&GET[..9]).await.unwrap();
    assert!(waits(&mut gate, 4096).await && gate.clock.is_some());
    client.write_all(&GET[9..]).await.unwrap();
    assert_eq!(head(&mut gate).await, GET);
    assert!(gate.clock.is_none());
    assert!(waits(&mut gate, 4096).await && gate.clock.is_none());
}
