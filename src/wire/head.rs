//! A request's head: its request line (RFC 9112 section 3) and the order of its lines.
//!
//! Owns how a head is read, line by line and each line once, however it is cut into reads. Fields are
//! judged in `fields`.

use std::ops::Range;

use memchr::memchr;

use super::bytes::{is_target_byte, is_token, is_token_byte};
use super::fields::Fields;
use super::{Body, Bounds, Violation};
use crate::types::Host;

/// What a head says beyond where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// An `Upgrade` in HTTP/1.1: a 101 turns the connection over to another protocol.
    pub upgrade: bool,
    /// `Expect: 100-continue`: the body may wait for an answer.
    pub expects_continue: bool,
    /// Whether a body follows.
    pub body: bool,
}

/// A head that is coming in.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line that is coming in begins, and up to where it was searched for its end.
    line: usize,
    searched: usize,
    /// An empty line came before the request line.
    skipped: bool,
    request: Option<RequestLine>,
    fields: Fields,
}

#[derive(Debug, Clone)]
struct RequestLine {
    method: Range<usize>,
    target: Range<usize>,
    /// In an absolute target.
    authority: Option<Range<usize>>,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

impl Head {
    pub(super) fn request_line<'a>(&self, head: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let line = self.request.as_ref()?;
        Some((head.get(line.method.clone())?, head.get(line.target.clone())?))
    }

    /// `head` is all that has come so far; `None` while the empty line at its end has not.
    pub(super) fn advance(
        &mut self,
        head: &[u8],
        bounds: Bounds,
    ) -> Result<Option<(usize, Facts, Body)>, Violation> {
        self.check_start(head)?;
        while let Some(found) = memchr(b'\n', head.get(self.searched..).unwrap_or_default()) {
            let end = self.searched + found;
            self.check_size(end + 1, bounds)?;
            let line = head.get(self.line..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or(Violation::BareLf)?;
            let at = self.line;
            (self.line, self.searched) = (end + 1, end + 1);
            match &self.request {
                None if line.is_empty() && !self.skipped => {
                    self.skipped = true;
                    self.check_start(head)?;
                }
                None => self.request = Some(request_line(line, at)?),
                Some(request) if line.is_empty() => {
                    let (facts, body) = finish(request, &self.fields, head)?;
                    return Ok(Some((end + 1, facts, body)));
                }
                Some(request) => self.fields.take(line, at, request.version, bounds)?,
            }
        }
        self.searched = head.len();
        self.check_size(head.len(), bounds)?;
        Ok(None)
    }

    /// What can't begin a request is refused at once: a TLS handshake, say, may never send an LF.
    fn check_start(&self, head: &[u8]) -> Result<(), Violation> {
        if self.request.is_some() {
            return Ok(());
        }
        match head.get(self.line) {
            None | Some(b'\r' | b'\n') => Ok(()),
            Some(first) if is_token_byte(*first) => Ok(()),
            Some(_) => Err(Violation::Method),
        }
    }

    const fn check_size(&self, size: usize, bounds: Bounds) -> Result<(), Violation> {
        if size <= bounds.size {
            return Ok(());
        }
        Err(if self.request.is_some() { Violation::HeadTooLarge } else { Violation::TargetTooLong })
    }
}

/// Whether requests with that method are served: TRACE echoes what it was sent, cookies included
/// (RFC 9110 section 9.3.8), and CONNECT makes a tunnel.
#[must_use]
pub fn serves(method: &[u8]) -> bool {
    !matches!(method, b"TRACE" | b"CONNECT")
}

fn request_line(line: &[u8], at: usize) -> Result<RequestLine, Violation> {
    if line.contains(&b'\r') {
        return Err(Violation::BareCr);
    }
    let (method, rest) = split_at_space(line).ok_or(Violation::RequestLine)?;
    if !is_token(method) {
        return Err(if method.is_empty() { Violation::RequestLine } else { Violation::Method });
    }
    let (target, version) = split_at_space(rest).ok_or(Violation::RequestLine)?;
    let version = read_version(version)?;
    if !serves(method) {
        return Err(Violation::MethodNotServed);
    }
    let target_at = at + method.len() + 1;
    let authority = read_target(method, target)?.map(|range| target_at + range.start..target_at + range.end);
    Ok(RequestLine {
        method: at..at + method.len(),
        target: target_at..target_at + target.len(),
        authority,
        version,
    })
}

fn split_at_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = bytes.split_at_checked(memchr(b' ', bytes)?)?;
    Some((before, after.get(1..)?))
}

fn read_version(version: &[u8]) -> Result<Version, Violation> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Violation::Version)
        }
        _ => Err(Violation::RequestLine),
    }
}

/// The place of an absolute target's authority, if it is one (RFC 9112 section 3.2).
fn read_target(method: &[u8], target: &[u8]) -> Result<Option<Range<usize>>, Violation> {
    if !target.iter().all(|byte| is_target_byte(*byte)) {
        return Err(Violation::Target);
    }
    match target {
        [b'/', ..] => Ok(None),
        b"*" if method == b"OPTIONS" => Ok(None),
        _ => absolute(target).map(Some),
    }
}

fn absolute(target: &[u8]) -> Result<Range<usize>, Violation> {
    let has = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            .then_some(scheme.len())
    };
    let start = has(b"http://").or_else(|| has(b"https://")).ok_or(Violation::Target)?;
    let rest = target.get(start..).unwrap_or_default();
    let len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.get(..len).unwrap_or_default();
    if authority.contains(&b'@') {
        return Err(Violation::Userinfo);
    }
    if check_host(authority).is_err() {
        return Err(Violation::Target);
    }
    Ok(start..start + len)
}

/// `Host` as its field and an absolute target have it.
pub(super) fn check_host(authority: &[u8]) -> Result<(), Violation> {
    if authority.contains(&b'@') {
        return Err(Violation::Userinfo);
    }
    let text = str::from_utf8(authority).map_err(|_| Violation::BadHost)?;
    Host::check(text).map_err(|_| Violation::BadHost)?;
    Ok(())
}

/// What only the whole head can tell.
fn finish(request: &RequestLine, fields: &Fields, head: &[u8]) -> Result<(Facts, Body), Violation> {
    check_authority(request, fields, head)?;
    let body = fields.body()?;
    let is_new = request.version == Version::Http11;
    let upgrade = fields.upgrade && is_new;
    let has_body = !matches!(body, Body::None | Body::Sized(0));
    // Where the new protocol would begin, readers disagree (RFC 9110 section 7.8).
    if fields.upgrade && has_body {
        return Err(Violation::UpgradeBody);
    }
    Ok((Facts { upgrade, expects_continue: fields.expects_continue && is_new, body: has_body }, body))
}

fn check_authority(request: &RequestLine, fields: &Fields, head: &[u8]) -> Result<(), Violation> {
    let Some(host) = &fields.host else {
        // HTTP/1.0 knows no Host; whether such a request is served is decided later.
        let is_old = request.version == Version::Http10;
        return if is_old { Ok(()) } else { Err(Violation::NoHost) };
    };
    let Some(authority) = &request.authority else { return Ok(()) };
    // Byte for byte: a client that means one thing writes it once (RFC 9112 section 3.2).
    if head.get(authority.clone()) == head.get(host.clone()) { Ok(()) } else { Err(Violation::HostDiffers) }
}
