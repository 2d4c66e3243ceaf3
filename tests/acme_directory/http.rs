//! HTTP/1.1 over TLS, as much as the server needs: a thread a connection, bodies with a length.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::service::Service;

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16, kind: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("Content-Type", kind.to_owned())], body }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string().into_bytes())
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A header, where there is a value.
    pub(super) fn header(&mut self, name: &'static str, value: Option<String>) {
        self.headers.extend(value.map(|value| (name, value)));
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn write(&self, to: &mut impl Write, head: bool) -> std::io::Result<()> {
        let mut text = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        to.write_all(text.as_bytes())?;
        if !head {
            to.write_all(&self.body)?;
        }
        to.flush()
    }
}

/// Answers on `listener` until the service has ended.
pub(super) fn serve(listener: TcpListener, service: Arc<Service>) {
    let (chain, key) = service.web.server();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            if service.ended.load(Ordering::Relaxed) {
                return;
            }
            let (service, config) = (Arc::clone(&service), Arc::clone(&config));
            std::thread::spawn(move || converse(socket, config, &service));
        }
    });
}

/// One connection, as long as it lasts.
fn converse(socket: TcpStream, config: Arc<ServerConfig>, service: &Service) -> Option<()> {
    socket.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let tls = StreamOwned::new(ServerConnection::new(config).ok()?, socket);
    let mut stream = BufReader::new(tls);
    loop {
        let request = read(&mut stream)?;
        if service.ended.load(Ordering::Relaxed) {
            return None;
        }
        let response = service.answer(&request)?;
        response.write(stream.get_mut(), request.method == "HEAD").ok()?;
    }
}

/// The next request, if it is one and not too long.
fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.by_ref().take(16_384).read_line(&mut line).ok().filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: HashMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(Some(0), |text| text.parse().ok())?;
    let mut body = vec![0; (length <= 1 << 20).then_some(length)?];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// RFC 3339, in seconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days; a year begins in March.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
