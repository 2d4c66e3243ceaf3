//! A private key out of a PEM file, decoded from one set of secret pages into another.
//!
//! Owns finding the block and undoing its base64; knows nothing of what is in a key. rustls-pki-types
//! decodes the same, but through a buffer that it leaves unwiped. Follows RFC 7468 and RFC 4648.

use std::io;

use fluxheim_trust::{Keeping, SecretPages};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

/// A decoded key, wiped when dropped.
pub(super) struct PrivateKey {
    form: Form,
    der: SecretPages,
}

/// Why a file gives no key; tells nothing of its content.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("no BEGIN PRIVATE KEY block")]
    Absent,
    #[error("its block has no END line")]
    Unfinished,
    #[error("its block is not base64")]
    Base64,
    #[error("no memory for it: {0}")]
    Memory(#[from] io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Pkcs8,
    Pkcs1,
    Sec1,
}

impl PrivateKey {
    /// The first private key of a PEM file; other blocks and text around them don't count.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let (form, text) = block(pem)?;
        let mut der = SecretPages::zeroed(text.len())?;
        let length = decode(text, &mut der).ok_or(KeyError::Base64)?;
        der.truncate(length);
        Ok(Self { form, der })
    }

    pub(super) fn der(&self) -> PrivateKeyDer<'_> {
        let der: &[u8] = &self.der;
        match self.form {
            Form::Pkcs8 => PrivatePkcs8KeyDer::from(der).into(),
            Form::Pkcs1 => PrivatePkcs1KeyDer::from(der).into(),
            Form::Sec1 => PrivateSec1KeyDer::from(der).into(),
        }
    }

    pub(super) const fn keeping(&self) -> Keeping {
        self.der.keeping()
    }
}

/// The form of the first private key and what is between its BEGIN and its END.
fn block(pem: &[u8]) -> Result<(Form, &[u8]), KeyError> {
    let mut found = None;
    let mut at = 0;
    for line in pem.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let start = at;
        at += line.len();
        match found {
            None => found = label(line, b"-----BEGIN ").and_then(form).map(|form| (form, at)),
            Some((expected, from)) if line.starts_with(b"-----") => {
                let ends = label(line, b"-----END ").and_then(form) == Some(expected);
                return if ends { Ok((expected, &pem[from..start])) } else { Err(KeyError::Unfinished) };
            }
            Some(_) => {}
        }
    }
    Err(if found.is_some() { KeyError::Unfinished } else { KeyError::Absent })
}

fn label<'a>(line: &'a [u8], opening: &[u8]) -> Option<&'a [u8]> {
    line.trim_ascii_end().strip_prefix(opening)?.strip_suffix(b"-----")
}

fn form(label: &[u8]) -> Option<Form> {
    match label {
        b"PRIVATE KEY" => Some(Form::Pkcs8),
        b"RSA PRIVATE KEY" => Some(Form::Pkcs1),
        b"EC PRIVATE KEY" => Some(Form::Sec1),
        _ => None,
    }
}

/// Undoes base64, white space ignored, padding optional; how many bytes were written.
fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut bits, mut held) = (0_u32, 0);
    let (mut digits, mut padding, mut written) = (0_usize, 0, 0);
    for &byte in text {
        match byte {
            b'\t'..=b'\r' | b' ' => continue,
            b'=' => padding += 1,
            _ if padding > 0 => return None,
            _ => {
                bits = bits << 6 | digit(byte)?;
                digits += 1;
                held += 6;
            }
        }
        if held >= 8 {
            held -= 8;
            let [.., low] = (bits >> held).to_be_bytes();
            *out.get_mut(written)? = low;
            written += 1;
        }
    }
    let complete = match digits % 4 {
        0 => padding == 0,
        2 => matches!(padding, 0 | 2),
        3 => matches!(padding, 0 | 1),
        _ => false,
    };
    complete.then_some(written)
}

/// The value of a base64 digit, without a branch or a table that depends on it: neither the branch
/// predictor nor the cache learns the key.
fn digit(byte: u8) -> Option<u32> {
    let byte = i32::from(byte);
    // All ones from `low` to `high`, else zero: both differences are negative there and only there.
    let within = |low: u8, high: u8| ((i32::from(low) - 1 - byte) & (byte - i32::from(high) - 1)) >> 8;
    let (upper, lower, number) = (within(b'A', b'Z'), within(b'a', b'z'), within(b'0', b'9'));
    let (plus, slash) = (within(b'+', b'+'), within(b'/', b'/'));
    let value =
        (upper & (byte - 65)) | (lower & (byte - 71)) | (number & (byte + 4)) | (plus & 62) | (slash & 63);
    let known = upper | lower | number | plus | slash;
    if known == 0 { None } else { u32::try_from(value).ok() }
}

#[cfg(test)]
mod tests;
