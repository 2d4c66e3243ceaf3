//! Clients that keep to the rules: each of their requests has to be answered in full.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::site::{RESTARTED, Site};
use crate::support::run;
use crate::tally::{Done, Outcome};
use crate::wire::{Answer, ask, connect, field, pattern, read_head, sum};

/// Many requests on one connection, until the proxy says that it closes it.
pub(crate) fn kept(site: &Site) -> Outcome {
    let mut stream = BufReader::new(connect(site.http)?);
    for done in 0..REQUESTS {
        let answer = get(&mut stream, "a.test", paths(site.turn()), "")?;
        if answer.closes {
            return Ok(Done::answered(done + 1));
        }
    }
    Ok(Done::answered(REQUESTS))
}

/// A connection for one request.
pub(crate) fn closing(site: &Site) -> Outcome {
    let mut stream = BufReader::new(connect(site.http)?);
    get(&mut stream, "a.test", paths(site.turn()), "Connection: close\r\n")?;
    let rest = stream.read(&mut [0]).map_err(|error| format!("no end after close: {error}"))?;
    if rest > 0 { Err("more than an answer".to_owned()) } else { Ok(Done::answered(1)) }
}

fn paths(turn: usize) -> &'static str {
    ["/small", "/medium", "/site/file"][turn % 3]
}

fn get(
    stream: &mut BufReader<impl Read + Write>,
    host: &str,
    path: &str,
    more: &str,
) -> Result<Answer, String> {
    let answer = ask(stream, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"), b"")?;
    let right = if path == "/small" { answer.body == b"small" } else { answer.body == pattern(MEDIUM, 1) };
    if answer.status == 200 && right {
        Ok(answer)
    } else {
        Err(format!("{path}: {}, {} bytes", answer.status, answer.body.len()))
    }
}

/// Many streams on few connections.
pub(crate) fn http2(site: &Site) -> Outcome {
    let url = |path: &str| format!("https://{}{path}", site.https);
    let output = run(
        "h2load",
        "nghttp2-client",
        &["-n", "200", "-c", "2", "-m", "10", "-T", "60", "-N", "60", &url("/small"), &url("/site/file")],
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let right =
        said.contains(" 200 succeeded, 0 failed, 0 errored, 0 timeout") && said.contains(" 200 2xx, 0 3xx");
    if right { Ok(Done::answered(200)) } else { Err(said) }
}

/// A handshake, two requests, a close that is said.
pub(crate) fn encrypted(site: &Site) -> Outcome {
    let mut stream = BufReader::new(handshake(site)?);
    get(&mut stream, "a.test", "/small", "")?;
    get(&mut stream, "a.test", paths(site.turn()), "Connection: close\r\n")?;
    Ok(Done::answered(2))
}

/// The certificate that a new handshake is shown.
pub(crate) fn shown(site: &Site) -> Result<CertificateDer<'static>, String> {
    let mut tls = handshake(site)?;
    tls.conn.complete_io(&mut tls.sock).map_err(|error| error.to_string())?;
    tls.conn.peer_certificates().and_then(<[_]>::first).cloned().ok_or_else(|| "no certificate".to_owned())
}

fn handshake(site: &Site) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(site.certificates()).with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "a.test".try_into().unwrap()).unwrap();
    Ok(StreamOwned::new(client, connect(site.https)?))
}

/// A body with a length or in chunks; the origin says what came.
pub(crate) fn upload(site: &Site) -> Outcome {
    let turn = site.turn();
    let body = pattern(turn * 7919 % (2 * 1024 * 1024) + 1, turn);
    let mut stream = BufReader::new(connect(site.http)?);
    let head = "POST /own/upload HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n";
    let answer = if turn.is_multiple_of(2) {
        ask(&mut stream, &format!("{head}Content-Length: {}\r\n\r\n", body.len()), &body)?
    } else {
        ask(&mut stream, &format!("{head}Transfer-Encoding: chunked\r\n\r\n"), &chunked(&body))?
    };
    let expected = format!("{} {}", body.len(), sum(&body));
    let told = String::from_utf8_lossy(&answer.body);
    if told == expected {
        Ok(Done::answered(1))
    } else {
        Err(format!("{}: {told}, sent {expected}", answer.status))
    }
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + body.len() / 512);
    for chunk in body.chunks(10_007) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Takes a large body a bit at a time.
pub(crate) fn slow_reader(site: &Site) -> Outcome {
    let mut stream = connect(site.http)?;
    let sent = stream.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    sent.map_err(|error| error.to_string())?;
    let mut stream = BufReader::with_capacity(32 * 1024, stream);
    let head = read_head(&mut stream)?;
    let (mut body, mut buffer) = (Vec::new(), [0; 32 * 1024]);
    loop {
        match stream.read(&mut buffer).map_err(|error| format!("{} bytes, then {error}", body.len()))? {
            0 => break,
            read => body.extend_from_slice(&buffer[..read]),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let right = head.starts_with("http/1.1 200") && body == pattern(BIG, 2);
    if right { Ok(Done::answered(1)) } else { Err(format!("{} bytes after {head}", body.len())) }
}

/// An upgraded connection that echoes frames.
///
/// Where an origin answers at once, the framework sometimes takes the end of the request's empty body for the
/// end of the upgraded connection, and closes it before anything has come through
/// (github.com/cloudflare/pingora/issues/946). A client would connect again, and so does this one.
pub(crate) fn websocket(site: &Site) -> Outcome {
    for explained in 0..RECONNECTS {
        if echoes(site, &mut upgraded(site)?)? {
            return Ok(Done { answered: FRAMES, explained });
        }
    }
    Err(format!("closed right after its 101, {RECONNECTS} times in a row"))
}

/// Whether it lived; false if it was closed in an orderly way before the first frame came back.
fn echoes(site: &Site, stream: &mut BufReader<TcpStream>) -> Result<bool, String> {
    for number in 0..FRAMES {
        let turn = site.turn();
        let frame = frame(&pattern(turn * 131 % 32_000, turn));
        let sent = stream.get_mut().write_all(&frame);
        let came = sent.and_then(|()| stream.fill_buf().map(<[u8]>::is_empty));
        match came {
            Ok(true) if number == 0 => return Ok(false),
            // What it closed without reading makes it a reset.
            Err(error) if number == 0 && is_reset(&error) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(format!("frame {number}: {error}")),
        }
        let mut got = vec![0; frame.len()];
        stream.read_exact(&mut got).map_err(|error| format!("frame {number}: {error}"))?;
        if got != frame {
            return Err("another frame came back".to_owned());
        }
    }
    Ok(true)
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
}

/// A connection after its 101.
pub(crate) fn upgraded(site: &Site) -> Result<BufReader<TcpStream>, String> {
    let mut stream = BufReader::new(connect(site.http)?);
    let head = "GET /own/socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.get_mut().write_all(head.as_bytes()).map_err(|error| error.to_string())?;
    let head = read_head(&mut stream)?;
    let right = head.starts_with("http/1.1 101") && field(&head, "upgrade") == Some("websocket");
    if right { Ok(stream) } else { Err(head) }
}

/// A binary frame of a client (RFC 6455 section 5.2), masked with zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | 126];
    frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// What comes of an origin that is killed again and again: an answer, or one that says that there is none.
pub(crate) fn restarted(site: &Site) -> Outcome {
    let head = format!("GET /small HTTP/1.1\r\nHost: {RESTARTED}\r\nConnection: close\r\n\r\n");
    let answer = ask(&mut BufReader::new(connect(site.http)?), &head, b"");
    match answer {
        Ok(answer) if answer.status == 200 && answer.body == b"small" => Ok(Done::answered(1)),
        Ok(answer) if matches!(answer.status, 502..=504) => Ok(Done::explained()),
        Ok(answer) => Err(format!("{answer:?}")),
        // Killed after its head, the origin leaves nothing to say.
        Err(reason) if reason.contains("body of 200") => Ok(Done::explained()),
        Err(reason) => Err(reason),
    }
}

pub(crate) const MEDIUM: usize = 64 * 1024;
pub(crate) const BIG: usize = 8 * 1024 * 1024;
const REQUESTS: usize = 100;
const FRAMES: usize = 30;
const RECONNECTS: usize = 10;
