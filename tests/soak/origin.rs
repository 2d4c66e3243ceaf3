//! Origins: one of our own, for what nginx does not do (it reads uploads and says what it got, and echoes
//! upgraded connections), and an nginx that is killed and started again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{folder, set_mode, wait};
use crate::wire::{field, read_head, sum};

/// Serves for as long as the process lives.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                // Ends with the connection, whoever ended it.
                let _ = serve(BufReader::new(stream));
            });
        }
    });
    address
}

fn serve(mut stream: BufReader<TcpStream>) -> Result<(), String> {
    loop {
        let head = read_head(&mut stream)?;
        if field(&head, "upgrade").is_some() {
            return echo(stream);
        }
        let body = body(&mut stream, &head)?;
        let text = format!("{} {}", body.len(), sum(&body));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        stream.get_mut().write_all(answer.as_bytes()).map_err(|error| error.to_string())?;
    }
}

fn body(stream: &mut impl BufRead, head: &str) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    if let Some(length) = field(head, "content-length") {
        let length = length.parse().map_err(|_| "a length that is none".to_owned())?;
        take(stream, length, &mut body)?;
    } else if field(head, "transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).map_err(|error| error.to_string())?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(|error| error.to_string())?;
            take(stream, size, &mut body)?;
            stream.read_exact(&mut [0; 2]).map_err(|error| error.to_string())?;
            if size == 0 {
                break;
            }
        }
    }
    Ok(body)
}

fn take(stream: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> Result<(), String> {
    let before = body.len();
    body.resize(before + length, 0);
    stream.read_exact(&mut body[before..]).map_err(|error| error.to_string())
}

fn echo(mut stream: BufReader<TcpStream>) -> Result<(), String> {
    // Its clients don't look at the accept key; what matters here is what flows afterwards.
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    stream.get_mut().write_all(head).map_err(|error| error.to_string())?;
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(());
        }
        stream.get_mut().write_all(&buffer[..read]).map_err(|error| error.to_string())?;
    }
}

/// An nginx that answers `/small` with `small`, on a port that stays the same.
pub(crate) struct Restarted {
    child: Child,
    pub(crate) address: SocketAddr,
    dir: TempDir,
}

impl Restarted {
    pub(crate) fn start() -> Self {
        let (dir, address) = (folder(), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        set_mode(dir.path(), 0o755);
        let root = dir.path().display();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr error; events {{ worker_connections 1024; }}
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; server {{ listen {address}; location / {{ return 200 small; }} }} }}"
        );
        std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let child = nginx(&dir, address).expect("nginx does not start");
        Self { child, address, dir }
    }

    /// Kills it, leaves its port closed for a moment and starts it again; whether that went well.
    pub(crate) fn restart(&mut self) -> bool {
        self.kill();
        std::thread::sleep(AWAY);
        // Somebody else may have the port for a moment, as the near end of a connection.
        let again = (0..20).find_map(|_| {
            let started = nginx(&self.dir, self.address);
            started.or_else(|| {
                std::thread::sleep(AWAY);
                None
            })
        });
        again.map(|child| self.child = child).is_some()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Started, and listening.
fn nginx(dir: &TempDir, address: SocketAddr) -> Option<Child> {
    let mut child = Command::new("nginx")
        .args(["-p".as_ref(), dir.path().as_os_str(), "-c".as_ref(), "nginx.conf".as_ref()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("nginx: {error}; install it with: apt-get install -y nginx-light"));
    let up = wait(|| match child.try_wait().unwrap() {
        Some(_) => Some(false),
        None => TcpStream::connect(address).is_ok().then_some(true),
    });
    if up == Some(true) {
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

const AWAY: Duration = Duration::from_millis(300);
