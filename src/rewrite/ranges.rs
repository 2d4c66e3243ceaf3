//! Range requests: which bytes of a representation are asked for, and how several are sent at once.
//!
//! Owns what a `Range` field comes to, with bounds on how much one request can cost, and the layout of
//! `multipart/byteranges`. Follows RFC 9110 sections 14.1 to 14.6.

use std::ops::Range;

/// What a `Range` field comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// 200: the field is not understood, or asks for more than it is good for.
    Whole,
    /// 206: one range, or several in the order asked; none is empty.
    Parts(Vec<Range<u64>>),
    /// 416
    Unsatisfiable,
}

/// Reads the value of `Range` for a representation of `len` bytes.
///
/// More than [`MOST_PARTS`] ranges, or ranges that come to more bytes than there are, get the whole, as
/// RFC 9110 section 14.2 has it: they cost more than they save (CVE-2011-3192).
#[must_use]
pub fn read(field: &str, len: u64) -> Asked {
    // Range units are case-insensitive (RFC 9110 section 14.1).
    let Some((unit, set)) = field.split_once('=') else { return Asked::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let mut parts = Vec::new();
    let (mut total, mut specs) = (0_u64, 0);
    for spec in set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty()) {
        specs += 1;
        match one(spec, len) {
            _ if specs > MOST_PARTS => return Asked::Whole,
            Spec::Invalid => return Asked::Whole,
            Spec::Beyond => {}
            Spec::Part(part) => {
                total = total.saturating_add(part.end - part.start);
                parts.push(part);
            }
        }
    }
    match (specs, parts.is_empty()) {
        (0, _) => Asked::Whole,
        (_, true) => Asked::Unsatisfiable,
        _ if total > len => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

enum Spec {
    Part(Range<u64>),
    Beyond,
    Invalid,
}

fn one(spec: &str, len: u64) -> Spec {
    let Some((first, last)) = spec.split_once('-') else { return Spec::Invalid };
    match (number(first), number(last)) {
        (None, Some(0)) if first.is_empty() => Spec::Beyond,
        (None, Some(_)) if first.is_empty() && len == 0 => Spec::Beyond,
        (None, Some(suffix)) if first.is_empty() => Spec::Part(len.saturating_sub(suffix)..len),
        (Some(first), Some(last)) if last < first => Spec::Invalid,
        (Some(first), last) if last.is_some() || spec.ends_with('-') => {
            let end = last.map_or(len, |last| last.saturating_add(1).min(len));
            if first < len { Spec::Part(first..end) } else { Spec::Beyond }
        }
        _ => Spec::Invalid,
    }
}

/// Digits only, as `parse` alone would take a sign; a number that is too large stands for the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `Content-Range` of a part.
#[must_use]
pub fn content_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end.saturating_sub(1))
}

/// The body of a response with several parts, apart from the parts themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// What goes before each part, with the part.
    pub parts: Vec<(String, Range<u64>)>,
    /// What goes after the last.
    pub end: String,
}

impl Multipart {
    /// The layout for `parts` of `len` bytes of `content_type`, kept apart by `boundary`.
    #[must_use]
    pub fn new(parts: Vec<Range<u64>>, len: u64, content_type: &str, boundary: &str) -> Self {
        let head = |part: &Range<u64>| {
            let range = content_range(part, len);
            format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n")
        };
        let parts = parts.into_iter().map(|part| (head(&part), part)).collect();
        Self { parts, end: format!("\r\n--{boundary}--\r\n") }
    }

    /// Bytes of the whole body.
    #[must_use]
    pub fn len(&self) -> u64 {
        let parts = self.parts.iter().map(|(head, part)| head.len() as u64 + (part.end - part.start));
        parts.sum::<u64>() + self.end.len() as u64
    }

    /// Never: there is an end at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// More than readers of documents and videos ask for at once.
pub const MOST_PARTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_ranges() {
        let part = |range| Asked::Parts(vec![range]);
        assert_eq!(read("bytes=0-4", 10), part(0..5));
        assert_eq!(read("Bytes=5-", 10), part(5..10));
        assert_eq!(read("bytes=-3", 10), part(7..10));
        assert_eq!(read("bytes=-30", 10), part(0..10));
        assert_eq!(read("bytes=5-99", 10), part(5..10));
        assert_eq!(read("bytes=5-99999999999999999999999", 10), part(5..10));
        assert_eq!(read("bytes= 0-0 , 20-30", 10), part(0..1));
        for beyond in ["bytes=10-", "bytes=-0", "bytes=10-11,12-", "bytes=99999999999999999999-"] {
            assert_eq!(read(beyond, 10), Asked::Unsatisfiable, "{beyond}");
        }
        assert_eq!(read("bytes=-5", 0), Asked::Unsatisfiable);
        for odd in [
            "bytes=5-4",
            "lines=0-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "bytes",
            "bytes=0-1,x",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=-+1",
            "bytes=1- 2",
        ] {
            assert_eq!(read(odd, 10), Asked::Whole, "{odd}");
        }
    }

    #[test]
    fn reads_several_ranges_and_gives_the_whole_for_what_costs_more() {
        assert_eq!(read("bytes=0-1,5-6,-1", 10), Asked::Parts(vec![0..2, 5..7, 9..10]));
        assert_eq!(read("bytes=8-9,0-1", 10), Asked::Parts(vec![8..10, 0..2]));
        assert_eq!(read("bytes=0-9,0-9", 10), Asked::Whole);
        assert_eq!(read("bytes=0-,1-", 10), Asked::Whole);
        let many = |count: u64| {
            let specs: Vec<_> = (0..count).map(|at| format!("{at}-{at}")).collect();
            read(&format!("bytes={}", specs.join(",")), 1000)
        };
        assert!(matches!(many(16), Asked::Parts(parts) if parts.len() == 16));
        assert_eq!(many(17), Asked::Whole);
        assert_eq!(many(500), Asked::Whole);
    }

    #[test]
    fn counts_the_bytes_of_several_parts() {
        let multipart = Multipart::new(vec![0..2, 5..7], 10, "text/plain", "B");
        let text: String = multipart.parts.iter().map(|(head, _)| format!("{head}xx")).collect();
        let text = text + &multipart.end;
        assert_eq!(multipart.len(), text.len() as u64);
        assert_eq!(
            text,
            "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nxx\
             \r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-6/10\r\n\r\nxx\
             \r\n--B--\r\n"
        );
    }
}
