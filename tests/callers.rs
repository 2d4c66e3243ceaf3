//! Clients that ask again and again, and hold the proxy to what it promises of a stop.

use std::io::{Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Clients at work, each keeping its connection for as long as the proxy does.
pub(crate) struct Callers {
    threads: Vec<JoinHandle<SystemTime>>,
    seen: Arc<Seen>,
}

/// What they have seen so far.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    lost: Mutex<Vec<Lost>>,
}

/// A request without its answer, and what tells why.
#[derive(Debug)]
#[expect(dead_code, reason = "read by the messages of failing tests")]
pub(crate) struct Lost {
    when: SystemTime,
    from: SocketAddr,
    /// Requests that its connection had carried before.
    before: usize,
    /// Since the request before it was sent, or the connection was begun.
    rested: Duration,
    waited: Duration,
    got: String,
    error: Option<Error>,
}

impl Callers {
    /// Asks for `/small`, whose content is `small`, until nobody listens any more.
    pub(crate) fn start(count: usize, at: SocketAddr) -> Self {
        let seen = Arc::new(Seen::default());
        let caller = |_| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || call(at, &seen))
        };
        Self { threads: (0..count).map(caller).collect(), seen }
    }

    pub(crate) fn answered(&self) -> usize {
        self.seen.answered.load(Ordering::Relaxed)
    }

    /// Waits for all of them; when the last answer was complete, and what was lost.
    pub(crate) fn finish(self) -> (SystemTime, Vec<Lost>) {
        let last = self.threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
        let lost = std::mem::take(&mut *self.seen.lost.lock().unwrap());
        (last, lost)
    }
}

fn call(at: SocketAddr, seen: &Seen) -> SystemTime {
    let mut last = SystemTime::UNIX_EPOCH;
    loop {
        let begun = SystemTime::now();
        // Longer than a SYN's first repetition; nobody answers for a container that has gone.
        let Ok(mut stream) = TcpStream::connect_timeout(&at, Duration::from_secs(2)) else { return last };
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        last = keep_asking(&mut stream, begun, seen).unwrap_or(last);
    }
}

/// Until the connection ends; when the last answer was complete, if there was one.
fn keep_asking(stream: &mut TcpStream, begun: SystemTime, seen: &Seen) -> Option<SystemTime> {
    let (mut last, mut sent_before) = (None, begun);
    for before in 0.. {
        let written = stream.write_all(b"GET /small HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let sent = SystemTime::now();
        let rested = sent.duration_since(sent_before).unwrap_or_default();
        let mut got = Vec::new();
        let read = written.and_then(|()| read_answer(stream, &mut got));
        let (when, got) = (SystemTime::now(), String::from_utf8_lossy(&got).to_ascii_lowercase());
        if !got.ends_with("\r\n\r\nsmall") {
            if !(got.is_empty() && rested >= patience(before)) {
                let (from, error) = (stream.local_addr().unwrap(), read.err());
                let waited = when.duration_since(sent).unwrap_or_default();
                seen.lost.lock().unwrap().push(Lost { when, from, before, rested, waited, got, error });
            }
            return last;
        }
        seen.answered.fetch_add(1, Ordering::Relaxed);
        (last, sent_before) = (Some(when), sent);
        if got.contains("connection: close") {
            return last;
        }
    }
    last
}

/// How long a connection that says nothing is sure of the proxy once it is told to stop. A request that
/// comes later may find it closed, and is to be sent again (RFC 9110 section 9.2.2).
const fn patience(before: usize) -> Duration {
    Duration::from_millis(if before == 0 { 500 } else { 50 })
}

fn read_answer(stream: &mut TcpStream, got: &mut Vec<u8>) -> Result<(), Error> {
    let mut buffer = [0; 2048];
    while !got.ends_with(b"\r\n\r\nsmall") {
        match stream.read(&mut buffer)? {
            0 => break,
            read => got.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(())
}
