//! HTTP/1.1 by hand, with every failure as a value.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Connects, with as much patience as any machine needs.
pub(crate) fn connect(at: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE).map_err(|error| format!("connect: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

/// An answer, complete.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) body: Vec<u8>,
}

/// Sends a head and a body, and reads the whole answer.
pub(crate) fn ask<S: Read + Write>(
    stream: &mut BufReader<S>,
    head: &str,
    body: &[u8],
) -> Result<Answer, String> {
    let told =
        |what: &str, error: &dyn std::fmt::Display| format!("{what} of {:?}: {error}", head.lines().next());
    let sent = stream.get_mut().write_all(&[head.as_bytes(), body].concat());
    sent.and_then(|()| stream.get_mut().flush()).map_err(|error| told("sending", &error))?;
    read_answer(stream).map_err(|error| told("the answer", &error))
}

/// Reads a head and what its length says.
pub(crate) fn read_answer(stream: &mut impl BufRead) -> Result<Answer, String> {
    let head = read_head(stream)?;
    let status =
        head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| format!("got {head:?}"))?;
    let closes = field(&head, "connection").is_some_and(|value| value.contains("close"));
    let length: usize = match field(&head, "content-length") {
        Some(length) => length.parse().map_err(|error| format!("{error}: {head:?}"))?,
        None => 0,
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|error| format!("body of {status}: {error}"))?;
    Ok(Answer { status, closes, body })
}

/// A head in lower case, with its empty line.
pub(crate) fn read_head(stream: &mut impl BufRead) -> Result<String, String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = stream.read_line(&mut head).map_err(|error| format!("{error} after {head:?}"))?;
        if read == 0 {
            return Err(format!("the connection ended after {head:?}"));
        }
    }
    Ok(head.to_ascii_lowercase())
}

/// The value of a field of a head in lower case.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| *field == name).map(|(_, value)| value.trim()).next()
}

/// Bytes that tell a mix-up: each place has its own value.
pub(crate) fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + seed * 17) % 251).to_le_bytes()[0]).collect()
}

/// FNV-1a.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A machine that needs longer is no machine to test on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
