//! What a client and an origin saw of one vector, in one word.
//!
//! Owns the words of the table. An origin reads by the letter: what it can't read without doubt is "garbage"
//! to it, and another origin might find a request in there that the proxy never judged.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a connection brought until it was closed, or stayed silent.
pub(crate) struct Answers {
    text: String,
    closed: bool,
}

/// Sends `bytes` and takes what comes.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Answers {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // Whoever refuses early may close before it has read all.
    let _ = stream.write_all(bytes);
    let (mut got, mut buffer, mut heard) = (Vec::new(), [0; 4096], Instant::now());
    let closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(read) => {
                got.extend_from_slice(&buffer[..read]);
                heard = Instant::now();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if heard.elapsed() > SILENCE {
                    break false;
                }
            }
            Err(_) => break true,
        }
    };
    drop(stream);
    if !closed {
        // A proxy that still waited may now send on what it has.
        std::thread::sleep(Duration::from_millis(500));
    }
    Answers { text: String::from_utf8_lossy(&got).to_ascii_lowercase(), closed }
}

/// Long enough that a busy machine answers, short enough for eighty vectors.
const SILENCE: Duration = Duration::from_secs(4);

impl Answers {
    fn statuses(&self) -> Vec<&str> {
        let line = |(at, found): (usize, &str)| self.text.get(at + found.len()..at + found.len() + 3);
        let versions = ["http/1.1 ", "http/1.0 "];
        let mut found: Vec<_> =
            versions.iter().flat_map(|version| self.text.match_indices(version)).collect();
        found.sort_unstable();
        found
            .into_iter()
            .filter_map(line)
            .filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
            .collect()
    }
}

/// What the origin saw meanwhile.
pub(crate) struct Arrived {
    /// Well-formed requests, in full.
    pub(crate) requests: Vec<String>,
    /// How often there was something else.
    pub(crate) garbage: usize,
}

/// The word for it.
pub(crate) fn judge(answers: &Answers, arrived: &Arrived) -> String {
    let statuses = answers.statuses();
    let smuggled = arrived.requests.iter().any(|request| request.contains("/smuggled"));
    // What a proxy takes for a tunnel, it no longer reads.
    let tunnel = smuggled && arrived.requests.iter().any(|request| request.starts_with("connect "));
    let last = arrived.requests.iter().any(|request| request.starts_with("get /last "));
    let spoofed = arrived.requests.iter().any(|request| request.contains("6.6.6.6"));
    let vector = arrived.requests.len() - usize::from(last);
    match (&statuses[..], vector, arrived.garbage) {
        _ if tunnel => "**tunnelled**".to_owned(),
        _ if smuggled => "**smuggled**".to_owned(),
        (_, _, 1..) => "**passed on as is**".to_owned(),
        _ if spoofed => "**spoof passed on**".to_owned(),
        ([], 0, 0) => if answers.closed { "closed" } else { "waits" }.to_owned(),
        ([refused, ..], 0, 0) if !refused.starts_with('2') => (*refused).to_owned(),
        ([status, ..], 0, 0) => format!("{status} by itself"),
        ([status, ..], 1, 0) if status.starts_with('2') && last => "forwarded".to_owned(),
        ([status, ..], 1, 0) if status.starts_with('2') => "forwarded, closed".to_owned(),
        ([status, ..], 1, 0) => format!("{status}, forwarded"),
        ([], 1, 0) => "forwarded, no answer".to_owned(),
        _ => format!("{} with {vector} requests", statuses.join(" ")),
    }
}
