//! The PROXY protocol, versions 1 and 2: who speaks to whom, told by a proxy in front.
//!
//! Owns both forms, read strictly and written. Decides nothing about whose word is taken. Follows
//! HAProxy's `proxy-protocol.txt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// What the bytes at hand amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A header that is not complete.
    More,
    /// The first `len` bytes are one. Without ends, the proxy speaks for itself (a health check).
    Header { len: usize, ends: Option<Ends> },
}

/// Why the bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the connection does not begin with a PROXY protocol header")]
    NoHeader,
    #[error("a PROXY protocol header of version 1 that is malformed")]
    Text,
    #[error("a PROXY protocol header of version 2 that is malformed")]
    Binary,
    #[error("a PROXY protocol header for something else than TCP")]
    NotTcp,
    #[error("a PROXY protocol header with more than {MOST} bytes")]
    TooLong,
    #[error("a PROXY protocol header whose checksum is wrong")]
    Checksum,
}

/// A version to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    Binary,
}

/// Reads the header at the start of a connection.
///
/// # Errors
/// [`Malformed`], as soon as no further byte could mend it.
pub fn read(bytes: &[u8]) -> Result<Read, Malformed> {
    if begins(bytes, SIGNATURE) {
        return if bytes.len() < SIGNATURE.len() { Ok(Read::More) } else { binary(bytes) };
    }
    if begins(bytes, TEXT) {
        return if bytes.len() < TEXT.len() { Ok(Read::More) } else { text(bytes) };
    }
    Err(Malformed::NoHeader)
}

/// Whether one of the two is the start of the other.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let shared = bytes.len().min(with.len());
    bytes.get(..shared) == with.get(..shared)
}

fn text(bytes: &[u8]) -> Result<Read, Malformed> {
    let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        // A CR may be followed by its LF; within the line neither may stand.
        let open = window.strip_suffix(b"\r").unwrap_or(window);
        let hopeless = window.len() == LONGEST_LINE || !open.iter().copied().all(is_plain);
        return if hopeless { Err(Malformed::Text) } else { Ok(Read::More) };
    };
    let line = window.get(TEXT.len()..end).unwrap_or_default();
    let ends = ends_of(line).ok_or(Malformed::Text)?;
    Ok(Read::Header { len: end + 2, ends })
}

/// `None` if the line is malformed.
fn ends_of(line: &[u8]) -> Option<Option<Ends>> {
    if !line.iter().copied().all(is_plain) {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let parts: Vec<_> = line.split(' ').collect();
    let [family, from, to, from_port, to_port] = parts[..] else { return None };
    let (from, to) = match family {
        "TCP4" => (ip::<Ipv4Addr>(from)?, ip::<Ipv4Addr>(to)?),
        "TCP6" => (ip::<Ipv6Addr>(from)?, ip::<Ipv6Addr>(to)?),
        _ => return None,
    };
    let source = SocketAddr::new(from, port(from_port)?);
    Some(Some(Ends { source, destination: SocketAddr::new(to, port(to_port)?) }))
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}

fn ip<T: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<T>().ok().map(Into::into)
}

/// Digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn binary(bytes: &[u8]) -> Result<Read, Malformed> {
    let Some([command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Ok(Read::More);
    };
    let len = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if len > MOST {
        return Err(Malformed::TooLong);
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Binary),
    };
    let size = match family {
        0x11 => 12,
        0x21 => 36,
        // Sockets of a machine have no addresses that mean anything here.
        0x00 | 0x31 => 0,
        0x12 | 0x22 | 0x32 => return Err(Malformed::NotTcp),
        _ => return Err(Malformed::Binary),
    };
    let Some(header) = bytes.get(..len) else { return Ok(Read::More) };
    let body = header.get(FIXED..).unwrap_or_default();
    let ends = if local || size == 0 { None } else { Some(addresses(body, size).ok_or(Malformed::Binary)?) };
    // What follows addresses that are not read can't be told from them.
    if ends.is_some() {
        check_extras(header, FIXED + size)?;
    }
    Ok(Read::Header { len, ends })
}

fn addresses(body: &[u8], size: usize) -> Option<Ends> {
    let block = body.get(..size)?;
    let (ips, ports) = block.split_at_checked(size - 4)?;
    let (from, to) = ips.split_at_checked(ips.len() / 2)?;
    let ip = |bytes: &[u8]| -> Option<IpAddr> {
        match <[u8; 4]>::try_from(bytes) {
            Ok(v4) => Some(v4.into()),
            Err(_) => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        }
    };
    let &[a, b, c, d] = ports else { return None };
    let source = SocketAddr::new(ip(from)?, u16::from_be_bytes([a, b]));
    Some(Ends { source, destination: SocketAddr::new(ip(to)?, u16::from_be_bytes([c, d])) })
}

/// The fields behind the addresses, each with its length, must fill the header; a checksum must fit.
fn check_extras(header: &[u8], from: usize) -> Result<(), Malformed> {
    let mut at = from;
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let [kind, high, low, ..] = rest else { return Err(Malformed::Binary) };
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        let value = rest.get(3..3 + size).ok_or(Malformed::Binary)?;
        if *kind == CRC32C {
            let told = <[u8; 4]>::try_from(value).map_err(|_| Malformed::Binary)?;
            let counted = crc32c(header, at + 3..at + 7);
            if counted != u32::from_be_bytes(told) {
                return Err(Malformed::Checksum);
            }
        }
        at += 3 + size;
    }
    Ok(())
}

/// CRC-32C of `bytes` (RFC 3720 section 12.1), with zeros at `blank`.
fn crc32c(bytes: &[u8], blank: std::ops::Range<usize>) -> u32 {
    let mut crc = u32::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        crc ^= u32::from(if blank.contains(&at) { 0 } else { *byte });
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// The header for a connection made for `ends`, or for our own sake.
#[must_use]
pub fn write(form: Form, ends: Option<Ends>) -> Vec<u8> {
    match (form, ends.map(one_family)) {
        (Form::Text, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (Form::Text, Some(Ends { source, destination })) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
        }
        (Form::Binary, None) => [SIGNATURE, &[0x20, 0, 0, 0]].concat(),
        (Form::Binary, Some(Ends { source, destination })) => {
            let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    [SIGNATURE, &[0x21, 0x11, 0, 12], &from.octets(), &to.octets(), &ports].concat()
                }
                (from, to) => {
                    let [from, to] = [from, to].map(|ip| wide(ip).octets());
                    [SIGNATURE, &[0x21, 0x21, 0, 36], &from, &to, &ports].concat()
                }
            }
        }
    }
}

/// Both ends as IPv4 where both are, else as IPv6.
fn one_family(ends: Ends) -> Ends {
    let narrow = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (source, destination) = (narrow(ends.source), narrow(ends.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return Ends { source, destination };
    }
    let widen = |end: SocketAddr| SocketAddr::new(wide(end.ip()).into(), end.port());
    Ends { source: widen(source), destination: widen(destination) }
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const TEXT: &[u8] = b"PROXY ";
/// With its line end.
const LONGEST_LINE: usize = 107;
/// Of version 2, before the addresses.
const FIXED: usize = 16;
/// A certificate's name and other facts about TLS take some hundred bytes.
pub const MOST: usize = 4096;
const CRC32C: u8 = 0x03;

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
