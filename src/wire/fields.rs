//! Field lines (RFC 9112 section 5), and what those that frame a body say (section 6).

use std::ops::Range;

use super::bytes::{has_control, is_token, is_token_byte, trimmed};
use super::head::{Version, check_host};
use super::{Body, Bounds, Violation};

/// What the fields of a head have said so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    count: usize,
    pub(super) host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    pub(super) upgrade: bool,
    pub(super) expects_continue: bool,
}

impl Fields {
    /// Takes in the line that begins at `at` in the head, without its CRLF.
    pub(super) fn take(
        &mut self,
        line: &[u8],
        at: usize,
        version: Version,
        bounds: Bounds,
    ) -> Result<(), Violation> {
        self.count += 1;
        if self.count > bounds.fields {
            return Err(Violation::TooManyFields);
        }
        let (name, value) = split(line)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let host = trimmed(value);
                if self.host.is_some() {
                    return Err(Violation::ManyHosts);
                }
                check_host(host)?;
                let spaces = value.len() - value.trim_ascii_start().len();
                let start = at + name.len() + 1 + spaces;
                self.host = Some(start..start + host.len());
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue = trimmed(value).eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = content_length(trimmed(value)).ok_or(Violation::Length)?;
                // Even the same number twice: one of the two was not meant for us (RFC 9110 section 8.6).
                if self.length.replace(length).is_some() {
                    return Err(Violation::ManyLengths);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.code(trimmed(value), version)?,
            _ => {}
        }
        Ok(())
    }

    fn code(&mut self, value: &[u8], version: Version) -> Result<(), Violation> {
        // RFC 9112 section 6.1: its framing is faulty, whatever it says.
        if version == Version::Http10 {
            return Err(Violation::OldCoding);
        }
        if self.chunked {
            return Err(Violation::Coding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(judge_codings(value));
        }
        self.chunked = true;
        Ok(())
    }

    pub(super) const fn body(&self) -> Result<Body, Violation> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Violation::LengthAndCoding),
            (Some(length), false) => Ok(Body::Sized(length)),
            (None, true) => Ok(Body::Chunked),
            (None, false) => Ok(Body::None),
        }
    }
}

/// A coding that we merely don't know is told from a list that makes no sense.
fn judge_codings(value: &[u8]) -> Violation {
    let mut codings = value.split(|byte| *byte == b',').map(trimmed).rev();
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    // Only the last may be "chunked", once, and all are names.
    let last = codings.next().unwrap_or_default();
    let others_known = codings.all(|coding| is_token(coding) && !is_chunked(coding));
    if is_token(last) && others_known { Violation::UnknownCoding } else { Violation::Coding }
}

/// Name and value of a field line.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if let Some(b' ' | b'\t') = line.first() {
        return Err(Violation::Fold);
    }
    let end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(end).unwrap_or((line, b""));
    let value = match rest {
        [b':', value @ ..] if !name.is_empty() => value,
        _ => return Err(judge_name(name, rest)),
    };
    if has_control(value) {
        return Err(if value.contains(&b'\r') { Violation::BareCr } else { Violation::FieldValue });
    }
    Ok((name, value))
}

/// Why `rest` can't follow what is a token so far.
fn judge_name(name: &[u8], rest: &[u8]) -> Violation {
    match rest {
        [b'\r', ..] => Violation::BareCr,
        [b' ' | b'\t', ..] if !name.is_empty() && trimmed(rest).starts_with(b":") => {
            Violation::SpaceBeforeColon
        }
        _ => Violation::FieldName,
    }
}

/// The number that is all of `digits` (RFC 9110 section 8.6); `None` if there is none, or one that no
/// reader could hold.
#[must_use]
pub fn content_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    // Some readers count with a sign.
    i64::try_from(number).is_ok().then_some(number)
}
