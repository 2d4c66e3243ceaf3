use std::io::Write;

use super::*;
use crate::listen::door::Admission;
use crate::telemetry::lifecycle::Lifecycle;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

async fn pair() -> (Socket, TcpStream) {
    pair_of(None).await
}

async fn pair_of(held: Option<Held>) -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (tcp, peer) = listener.accept().await.unwrap();
    let patience = Taking { patience: Duration::from_millis(200), min_rate: None };
    (Socket::new(tcp, peer, SystemTime::UNIX_EPOCH, patience, held), client)
}

#[tokio::test]
async fn sends_small_writes_on_flush_and_frees_the_buffer() {
    let (mut socket, mut client) = pair().await;
    socket.write_all(b"head ").await.unwrap();
    socket.write_all(b"body").await.unwrap();
    assert_eq!(socket.pending, b"head body");
    socket.flush().await.unwrap();
    assert_eq!(socket.pending.capacity(), 0);
    let mut got = [0; 9];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"head body");
}

/// One thread that never waits: the runtime does not hear of the bytes in between.
#[tokio::test]
async fn reads_what_the_runtime_has_not_heard_of_while_draining() {
    let lifecycle = Arc::new(Lifecycle::default());
    let held = Held { counted: lifecycle.connection(), told: None, _admission: Admission::sample().await };
    let (mut socket, client) = pair_of(Some(held)).await;
    let mut client = client.into_std().unwrap();
    let mut read = || {
        let (mut bytes, mut cx) = ([0; 8], Context::from_waker(std::task::Waker::noop()));
        let mut buf = ReadBuf::new(&mut bytes);
        let outcome = Pin::new(&mut socket).poll_read(&mut cx, &mut buf);
        outcome.map(|outcome| outcome.map(|()| buf.filled().to_vec()).unwrap())
    };
    assert_eq!(read(), Poll::Pending);
    client.write_all(b"GET").unwrap();
    assert_eq!(read(), Poll::Pending, "the runtime knows already: this test shows nothing");
    lifecycle.set_draining();
    assert_eq!(read(), Poll::Ready(b"GET".to_vec()));
    assert_eq!(read(), Poll::Pending);
}

#[tokio::test]
async fn fails_a_write_that_the_peer_takes_nothing_of() {
    let (mut socket, _client) = pair().await;
    let error = loop {
        if let Err(error) = socket.write_all(&[b'x'; 65536]).await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn fails_a_write_that_the_peer_takes_too_slowly() {
    let (mut socket, _client) = pair().await;
    socket.patience.min_rate = Some(500);
    let waits = |socket: &mut Socket, time| {
        let since = Instant::now().checked_sub(Duration::from_secs(time)).unwrap();
        socket.stalled = Some(Stall { sleep: Box::pin(tokio::time::sleep(LONG)), since });
    };
    waits(&mut socket, 6);
    assert!(socket.took(2999).is_ok(), "not ten seconds yet");
    assert!(socket.took(1 << 20).is_ok(), "what went without a wait counts for it");
    waits(&mut socket, 6);
    assert!(socket.took(1).is_ok());
    assert!(socket.took(1).is_ok() && socket.waited.is_zero(), "a new stretch begins with a wait");
    waits(&mut socket, 6);
    assert!(socket.took(2000).is_ok());
    waits(&mut socket, 6);
    assert_eq!(socket.took(2000).unwrap_err().kind(), io::ErrorKind::TimedOut);
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn waits_no_longer_for_a_peer_that_has_reset_the_connection() {
    let lifecycle = Arc::new(Lifecycle::default());
    let held = Held { counted: lifecycle.connection(), told: None, _admission: Admission::sample().await };
    let (mut socket, client) = pair_of(Some(held)).await;
    socket.patience.patience = Duration::from_secs(3600);
    let full = async { while socket.write_all(&[b'x'; 65536]).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_millis(200), full).await.is_err());
    assert!(has_unsent(&socket.tcp));
    // With bytes that it has not read, leaving is a reset.
    drop(client);
    drop(socket);
    let gone = async {
        while lifecycle.connections() > 0 {
            tokio::time::sleep(LINGER_STEP).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("still held");
}

#[tokio::test]
async fn keeps_the_order_of_small_and_large_writes() {
    let (mut socket, mut client) = pair().await;
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        let mut rest = sent.as_slice();
        let mut step = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(step.min(rest.len()));
            socket.write_all(now).await.unwrap();
            rest = later;
            step = step * 3 % 9973 + 1;
        }
        socket.flush().await.unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    writer.await.unwrap();
    assert!(got == expected);
}
