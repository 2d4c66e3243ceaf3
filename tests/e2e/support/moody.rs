//! An origin whose mood a test can change while it runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it answers from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// With this status, at once.
    Status(u16),
    /// With 200, after a while.
    Slow(Duration),
    /// Takes the request and ends the connection.
    HangsUp,
}

/// Answers with its name; checks of `/health` are counted apart.
pub(crate) struct Moody {
    pub(crate) address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    requests: Arc<AtomicUsize>,
    checks: Arc<AtomicUsize>,
}

impl Moody {
    pub(crate) fn named(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Status(200)));
        let (requests, checks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let origin = Self { address, mood, requests, checks };
        let (mood, counts) =
            (Arc::clone(&origin.mood), [Arc::clone(&origin.requests), Arc::clone(&origin.checks)]);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mood, counts) = (Arc::clone(&mood), counts.clone());
                std::thread::spawn(move || serve(stream, name, &mood, &counts));
            }
        });
        origin
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Requests so far, checks apart.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, name: &str, mood: &Mutex<Mood>, [requests, checks]: &[Arc<AtomicUsize>; 2]) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..read]);
        while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end + 4]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if seen.len() < end + 4 + length {
                break;
            }
            seen.drain(..end + 4 + length);
            let check = head.contains(" /health ");
            if check { checks } else { requests }.fetch_add(1, Ordering::SeqCst);
            let mood = *mood.lock().unwrap();
            let status = match mood {
                Mood::Status(status) => status,
                Mood::Slow(_) if check => 200,
                Mood::Slow(time) => {
                    std::thread::sleep(time);
                    200
                }
                Mood::HangsUp => return,
            };
            let length = name.len();
            let response = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{name}");
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }
}
