//! Origins: a real nginx, and a scripted one that keeps what it was sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::flux::wait;
use super::folder;

/// A real nginx that serves a folder.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

impl Nginx {
    /// Serves `files`, (name, content) pairs.
    pub(crate) fn serving(files: &[(&str, &[u8])]) -> Self {
        let dir = folder();
        super::set_mode(dir.path(), 0o755);
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        // nginx can't choose a port itself; a port that was free a moment ago is tried a few times.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(child) = start(&dir, address) {
                return Self { child, address, _dir: dir };
            }
        }
        panic!("nginx does not start");
    }
}

fn start(dir: &TempDir, address: SocketAddr) -> Option<Child> {
    let root = dir.path().display();
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr error; events {{ worker_connections 1024; }}
         http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; keepalive_requests 100000;
         server {{ listen {address}; root {root}; add_header X-Origin nginx; }} }}"
    );
    let path = dir.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let mut child = Command::new("nginx")
        .args(["-p".as_ref(), dir.path().as_os_str(), "-c".as_ref(), path.as_os_str()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("nginx: {error}; install it with: apt-get install -y nginx-light"));
    let up = wait(|| match child.try_wait().unwrap() {
        Some(_) => Some(false),
        None => TcpStream::connect(address).is_ok().then_some(true),
    });
    (up == Some(true)).then_some(child)
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An origin that answers every request with the same bytes and keeps the heads.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    /// Bytes that came after a head and are no head themselves, yet.
    piped: Arc<Mutex<usize>>,
    connections: Arc<Mutex<usize>>,
}

impl Scripted {
    /// Answers with `response` as it stands, keeping connections open.
    pub(crate) fn answering(response: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let piped = Arc::new(Mutex::new(0));
        let (kept, counted, response) = (Arc::clone(&heads), Arc::clone(&connections), response.to_owned());
        let rest = Arc::clone(&piped);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *counted.lock().unwrap() += 1;
                let (kept, rest, response) = (Arc::clone(&kept), Arc::clone(&rest), response.clone());
                std::thread::spawn(move || serve(stream, &kept, &rest, &response));
            }
        });
        Self { address, heads, piped, connections }
    }

    /// The head of the last request, lower-cased.
    pub(crate) fn last_head(&self) -> String {
        wait(|| self.heads.lock().unwrap().last().cloned()).expect("the origin saw no request")
    }

    /// Whether that many bytes beyond heads come in time.
    pub(crate) fn piped(&self, bytes: usize) -> bool {
        wait(|| (self.piped_bytes() >= bytes).then_some(())).is_some()
    }

    pub(crate) fn piped_bytes(&self) -> usize {
        *self.piped.lock().unwrap()
    }

    /// A head by its number, from 0, lower-cased.
    pub(crate) fn head(&self, number: usize) -> String {
        self.heads.lock().unwrap()[number].clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, heads: &Mutex<Vec<String>>, piped: &Mutex<usize>, response: &str) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..read]);
        while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end + 4]).to_ascii_lowercase();
            seen.drain(..end + 4);
            heads.lock().unwrap().push(head);
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
        *piped.lock().unwrap() = seen.len();
    }
}

/// An origin that reads whole requests, by the letter, and keeps them.
pub(crate) struct Strict {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

enum Seen {
    /// In full, lower-cased.
    Request(String),
    Garbage(Vec<u8>),
}

impl Strict {
    /// Answers each request with `response`, once it is complete.
    pub(crate) fn answering(response: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let (mut rest, mut buffer) = (Vec::new(), [0; 4096]);
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        rest.extend_from_slice(&buffer[..read]);
                        while let Some(end) = complete(&rest) {
                            let bytes: Vec<_> = rest.drain(..end.unwrap_or(rest.len())).collect();
                            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                            let seen = end.map_or(Seen::Garbage(bytes), |_| Seen::Request(text));
                            kept.lock().unwrap().push(seen);
                            let _ = stream.write_all(response.as_bytes());
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Every request in full, lower-cased; fails if there was anything else.
    pub(crate) fn requests(&self) -> Vec<String> {
        let (requests, garbage) = self.seen();
        assert!(garbage.is_empty(), "the origin got {garbage:?}");
        requests
    }

    /// The requests in full, lower-cased, and whatever else there was.
    pub(crate) fn seen(&self) -> (Vec<String>, Vec<String>) {
        let (mut requests, mut garbage) = (Vec::new(), Vec::new());
        for seen in self.seen.lock().unwrap().iter() {
            match seen {
                Seen::Request(text) => requests.push(text.clone()),
                Seen::Garbage(bytes) => garbage.push(String::from_utf8_lossy(bytes).into_owned()),
            }
        }
        (requests, garbage)
    }
}

/// Where the first request ends, if it is there whole; `Some(None)` if it is no request.
fn complete(bytes: &[u8]) -> Option<Option<usize>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let values = |name: &str| -> Vec<String> {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value.trim().to_owned()).collect()
    };
    let starts_well = head.lines().next().is_some_and(|line| line.split(' ').count() == 3);
    if !starts_well || head.replace("\r\n", "").contains(['\r', '\n', '\0']) || values("host").len() != 1 {
        return Some(None);
    }
    match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => Some(Some(end)),
        ([length], []) => match length.parse::<usize>() {
            Ok(length) => (bytes.len() >= end + length).then_some(Some(end + length)),
            Err(_) => Some(None),
        },
        ([], [coding]) if coding == "chunked" => chunks(bytes, end),
        _ => Some(None),
    }
}

/// Where the chunked body that starts at `at` ends, as in [`complete`] (RFC 9112 section 7.1).
fn chunks(bytes: &[u8], mut at: usize) -> Option<Option<usize>> {
    loop {
        let rest = bytes.get(at..)?;
        let line = &rest[..rest.windows(2).position(|pair| pair == b"\r\n")?];
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let well = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|_| well && !line.contains(&b'\n')) else { return Some(None) };
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        if bytes.get(at + size..at + size + 2)? != b"\r\n" {
            return Some(None);
        }
        at += size + 2;
    }
    // Trailers, up to the empty line.
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.windows(2).position(|pair| pair == b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(Some(at));
        }
    }
}
