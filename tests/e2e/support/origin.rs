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
