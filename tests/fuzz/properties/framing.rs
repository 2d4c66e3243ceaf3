//! Bytes as of an HTTP/1.1 connection: what the framing gate lets pass is, to a strict reader that shares
//! no code with it, exactly those requests; and cutting the bytes in two changes nothing.

use super::{Bounds, Framing, Step, Violation};

const BOUNDS: Bounds = Bounds { size: 4096, fields: 32 };

/// Fails where the two readers see something else; the requests that passed, and what ended them.
pub(crate) fn holds(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Violation>) {
    let outcome = feed(&[bytes]);
    for request in &outcome.0 {
        let text: String = request.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(reference(&text), Some(request.len()), "{:?}", String::from_utf8_lossy(request));
    }
    // Made of the bytes, so that a found input does the same again.
    let cut =
        bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    assert_eq!(feed(&[first, second]), outcome, "cut at {}", first.len());
    outcome
}

fn feed(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Violation>) {
    let (mut framing, mut held) = (Framing::new(BOUNDS), Vec::new());
    let (mut requests, mut current) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            let passed = match framing.advance(&held) {
                Ok(Step::More) => break,
                Ok(Step::Head { len, .. } | Step::Body(len)) => len,
                Err(violation) => return (requests, Some(violation)),
            };
            assert!(passed > 0 && passed <= held.len(), "{passed} of {}", held.len());
            current.extend(held.drain(..passed));
            if framing.awaits_head() {
                requests.push(std::mem::take(&mut current));
            }
        }
    }
    (requests, None)
}

/// How many bytes of `text`, each one a char, the one request in it takes; `None` if it is not well-formed.
fn reference(text: &str) -> Option<usize> {
    let (head, after) = text.strip_prefix("\r\n").unwrap_or(text).split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let parts: Vec<_> = lines.next()?.split(' ').collect();
    let [method, target, version] = parts[..] else { return None };
    if !(is_name(method) && !["TRACE", "CONNECT"].contains(&method) && is_target(target)) {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        fields.push(field(line)?);
    }
    let all = |wanted: &str| {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    match (version, &all("host")[..]) {
        ("HTTP/1.0", []) => {}
        ("HTTP/1.0" | "HTTP/1.1", [host]) if !host.is_empty() => {}
        _ => return None,
    }
    let rest = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => after,
        ([length], []) if length.chars().all(|c| c.is_ascii_digit()) => skip(after, length.parse().ok()?)?,
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => chunks(after)?,
        _ => return None,
    };
    let has_body = rest.len() < after.len();
    (!has_body || all("upgrade").is_empty()).then(|| text.chars().count() - rest.chars().count())
}

fn is_target(text: &str) -> bool {
    let known = text.starts_with('/') || text == "*" || text.to_ascii_lowercase().starts_with("http");
    known && text.chars().all(|c| ('!'..='~').contains(&c) && c != '#')
}

fn field(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    let good = is_name(name) && !value.chars().any(|c| (c < ' ' && c != '\t') || c == '\x7f');
    good.then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
}

fn skip(text: &str, chars: usize) -> Option<&str> {
    let end = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(chars)?;
    text.get(end..)
}

/// What follows a chunked body.
fn chunks(mut rest: &str) -> Option<&str> {
    loop {
        let (line, after) = rest.split_once("\r\n")?;
        let size = line.split(';').next()?;
        let good = (1..=16).contains(&size.len()) && size.chars().all(|c| c.is_ascii_hexdigit());
        if !good || line.contains(['\r', '\n', '\0']) {
            return None;
        }
        rest = after;
        match usize::from_str_radix(size, 16).ok()? {
            0 => break,
            size => rest = skip(rest, size)?.strip_prefix("\r\n")?,
        }
    }
    loop {
        let (line, after) = rest.split_once("\r\n")?;
        rest = after;
        if line.is_empty() {
            return Some(rest);
        }
        field(line)?;
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}
