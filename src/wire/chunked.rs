//! A chunked body (RFC 9112 section 7.1), byte by byte: each that passes is right where it stands.

use super::bytes::{is_control, is_token_byte};
use super::{Bounds, Violation};

/// A chunked body that is coming in.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// Bytes that extensions may still take, over all chunks.
    extensions: usize,
    /// Bytes and fields that trailers may still take.
    trailers: Bounds,
    name: Name,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// In a chunk's size, of which so many digits have come.
    Size {
        value: u64,
        digits: u8,
    },
    /// In the extensions of a chunk of that size.
    Extension {
        size: u64,
        at: Extension,
    },
    /// Before the LF of a size's line.
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer, or of the empty line that ends all.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
}

/// `;name`, `;name=token` or `;name="quoted"` (RFC 9112 section 7.1.1), without the spaces that senders
/// must not send.
#[derive(Debug, Clone, Copy)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Token,
    Quoted,
    Escaped,
    End,
}

impl Chunks {
    pub(super) const fn new(bounds: Bounds) -> Self {
        let at = At::Size { value: 0, digits: 0 };
        Self { at, extensions: MAX_EXTENSIONS, trailers: bounds, name: Name::new() }
    }

    /// How many bytes belong to the body, and whether it ends after them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Violation> {
        let mut done = 0;
        while let Some(byte) = bytes.get(done) {
            if let At::Data { left } = self.at {
                let taken = ((bytes.len() - done) as u64).min(left);
                self.at = if taken == left { At::DataCr } else { At::Data { left: left - taken } };
                // No more than were given, so it fits.
                done += usize::try_from(taken).unwrap_or(bytes.len());
                continue;
            }
            done += 1;
            if matches!((self.at, byte), (At::LastLf, b'\n')) {
                return Ok((done, true));
            }
            self.at = self.next(*byte)?;
        }
        Ok((done, false))
    }

    fn next(&mut self, byte: u8) -> Result<At, Violation> {
        match self.at {
            At::Size { value, digits } => in_size(value, digits, byte),
            At::Extension { size, at } => self.in_extension(size, at, byte),
            At::SizeLf { size: 0 } if byte == b'\n' => Ok(At::Trailer),
            At::SizeLf { size } if byte == b'\n' => Ok(At::Data { left: size }),
            At::SizeLf { .. } => Err(Violation::BareCr),
            // `advance` passes data as a whole; a size of zero has none.
            At::Data { .. } | At::DataCr => {
                if byte == b'\r' {
                    Ok(At::DataLf)
                } else {
                    Err(Violation::ChunkEnd)
                }
            }
            At::DataLf if byte == b'\n' => Ok(At::Size { value: 0, digits: 0 }),
            At::DataLf => Err(Violation::ChunkEnd),
            At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerLf => self.in_trailer(byte),
            At::LastLf => Err(Violation::BareCr),
        }
    }

    fn in_extension(&mut self, size: u64, at: Extension, byte: u8) -> Result<At, Violation> {
        self.extensions = self.extensions.checked_sub(1).ok_or(Violation::ChunkExtension)?;
        let next = match (at, byte) {
            (Extension::NameStart | Extension::Name, _) if is_token_byte(byte) => Extension::Name,
            (Extension::Name, b'=') => Extension::ValueStart,
            (Extension::ValueStart | Extension::Token, _) if is_token_byte(byte) => Extension::Token,
            (Extension::ValueStart, b'"') => Extension::Quoted,
            (Extension::Quoted, b'"') => Extension::End,
            (Extension::Quoted, b'\\') => Extension::Escaped,
            (Extension::Quoted | Extension::Escaped, _) if !is_control(byte) => Extension::Quoted,
            (Extension::Name | Extension::Token | Extension::End, b';') => Extension::NameStart,
            (Extension::Name | Extension::Token | Extension::End, b'\r') => return Ok(At::SizeLf { size }),
            (_, b'\n') => return Err(Violation::BareLf),
            _ => return Err(Violation::ChunkExtension),
        };
        Ok(At::Extension { size, at: next })
    }

    fn in_trailer(&mut self, byte: u8) -> Result<At, Violation> {
        self.trailers.size = self.trailers.size.checked_sub(1).ok_or(Violation::Trailer)?;
        match (self.at, byte) {
            (At::Trailer, b'\r') => Ok(At::LastLf),
            (At::Trailer, _) if is_token_byte(byte) => {
                self.trailers.fields = self.trailers.fields.checked_sub(1).ok_or(Violation::Trailer)?;
                self.name = Name::new();
                self.name.push(byte);
                Ok(At::TrailerName)
            }
            (At::TrailerName, _) if is_token_byte(byte) => {
                self.name.push(byte);
                Ok(At::TrailerName)
            }
            (At::TrailerName, b':') if !self.name.frames_or_routes() => Ok(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) if !is_control(byte) => Ok(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::Trailer),
            (At::TrailerLf, _) => Err(Violation::BareCr),
            (_, b'\n') => Err(Violation::BareLf),
            _ => Err(Violation::Trailer),
        }
    }
}

fn in_size(value: u64, digits: u8, byte: u8) -> Result<At, Violation> {
    let digit = char::from(byte).to_digit(16);
    match (digit, byte) {
        (Some(digit), _) if digits < MAX_DIGITS => {
            let value = (value << 4) | u64::from(digit);
            // Some readers count with a sign, and add the line's end.
            if value > MAX_CHUNK {
                return Err(Violation::ChunkSize);
            }
            Ok(At::Size { value, digits: digits + 1 })
        }
        (None, b'\r') if digits > 0 => Ok(At::SizeLf { size: value }),
        (None, b';') if digits > 0 => Ok(At::Extension { size: value, at: Extension::NameStart }),
        (None, b'\n') => Err(Violation::BareLf),
        _ => Err(Violation::ChunkSize),
    }
}

/// A trailer's name, as far as it matters.
#[derive(Debug, Clone, Copy)]
struct Name {
    bytes: [u8; 17],
    len: usize,
}

impl Name {
    const fn new() -> Self {
        Self { bytes: [0; 17], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte.to_ascii_lowercase();
        }
        self.len = self.len.saturating_add(1);
    }

    /// Fields that must not come after the body they are about (RFC 9110 section 6.5.1).
    fn frames_or_routes(&self) -> bool {
        matches!(
            self.bytes.get(..self.len),
            Some(
                b"content-length"
                    | b"transfer-encoding"
                    | b"host"
                    | b"trailer"
                    | b"connection"
                    | b"upgrade"
                    | b"te"
            )
        )
    }
}

/// As many as a 64-bit number needs.
const MAX_DIGITS: u8 = 16;
const MAX_CHUNK: u64 = i64::MAX as u64 - 2;
/// No client that is known needs any; a body made of them would be one without counted bytes.
const MAX_EXTENSIONS: usize = 1024;
