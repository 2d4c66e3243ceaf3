//! Keys and certificates out of PEM files, and what a file holds in their place.
//!
//! Owns finding blocks and telling what they are; knows nothing of what is in a key or a
//! certificate. A key is decoded from one set of secret pages into another: the TLS library would do
//! it through a buffer that it leaves unwiped. Follows RFC 7468 and RFC 1421.

pub(crate) mod base64;
mod foreign;

use std::io;

use crate::memory::{Keeping, SecretPages};

pub use foreign::Instead;

/// A decoded private key, wiped when dropped.
#[derive(Debug)]
pub struct PemKey {
    form: KeyForm,
    der: SecretPages,
}

/// How the bytes of a key are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// `BEGIN PRIVATE KEY` (RFC 5958)
    Pkcs8,
    /// `BEGIN RSA PRIVATE KEY` (RFC 8017)
    Pkcs1,
    /// `BEGIN EC PRIVATE KEY` (RFC 5915)
    Sec1,
}

/// Why a file gives no key or no certificates; tells nothing of its content but what kind it is.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// No block of a kind that can be used.
    #[error("no BEGIN PRIVATE KEY block{}", but(*.0))]
    NoKey(Instead),
    /// The same for certificates.
    #[error("no BEGIN CERTIFICATE block{}", but(*.0))]
    NoCertificate(Instead),
    /// The same for revocation lists.
    #[error("no BEGIN X509 CRL block{}", but(*.0))]
    NoRevocationList(Instead),
    /// OpenSSL's own form, which holds more than the certificate.
    #[error("a BEGIN TRUSTED CERTIFICATE block, which no other program reads")]
    TrustedCertificate,
    /// A block goes on until the file ends, or until another begins.
    #[error("a block without its END line")]
    Unfinished,
    /// What is between the lines is no base64.
    #[error("a block that is not base64")]
    Base64,
    /// The file has more blocks or certificates than it may.
    #[error("more than {0} {1}")]
    TooMany(usize, &'static str),
    /// The system gives no pages for the key.
    #[error("no memory for the key: {0}")]
    Memory(#[from] io::Error),
}

impl PemKey {
    /// The first private key of a PEM file; other blocks and text around them don't count.
    ///
    /// # Errors
    /// There is none, or it is damaged or encrypted.
    pub fn read(pem: &[u8]) -> Result<Self, PemError> {
        let mut instead = Instead::of_file(pem);
        for block in Blocks::of(pem) {
            let block = block?;
            let Some(form) = form(block.label) else {
                instead = instead.min(Instead::of_label(block.label));
                continue;
            };
            if block.is_encrypted() {
                return Err(PemError::NoKey(Instead::EncryptedKey));
            }
            let text = block.text()?;
            let mut der = SecretPages::zeroed(text.len())?;
            let length = base64::decode(text, &mut der).ok_or(PemError::Base64)?;
            der.truncate(length);
            return Ok(Self { form, der });
        }
        Err(PemError::NoKey(instead))
    }

    /// How the bytes are laid out.
    #[must_use]
    pub const fn form(&self) -> KeyForm {
        self.form
    }

    /// The bytes. Copies made of them are the caller's to wipe.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// In what kind of memory they are.
    #[must_use]
    pub const fn keeping(&self) -> Keeping {
        self.der.keeping()
    }
}

/// The certificates of a PEM chain, in its order, as DER.
///
/// # Errors
/// There is none, one is damaged, or there are more than any chain has.
pub fn certificate_chain(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    certificates(pem, LONGEST_CHAIN)
}

/// The certificates of a PEM file of CAs.
///
/// # Errors
/// There is none, one is damaged, or there are more than any list has.
pub fn ca_certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    certificates(pem, MOST_CAS)
}

/// The revocation lists of a file as DER: one that is DER itself, or PEM.
///
/// # Errors
/// There is none, one is damaged, or there are more than anybody keeps in one file.
pub fn revocation_lists(bytes: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    // A SEQUENCE with a long length (X.690 section 8.1.3.5): no text begins so.
    if bytes.starts_with(&[0x30]) && bytes.get(1).is_some_and(|length| length & 0x80 != 0) {
        return Ok(vec![bytes.to_vec()]);
    }
    let mut found = Vec::new();
    let mut instead = Instead::of_file(bytes);
    for block in Blocks::of(bytes) {
        let block = block?;
        match block.label {
            b"X509 CRL" if found.len() == MOST_LISTS => {
                return Err(PemError::TooMany(MOST_LISTS, "revocation lists"));
            }
            b"X509 CRL" => found.push(public(&block)?),
            other => instead = instead.min(Instead::of_label(other)),
        }
    }
    if found.is_empty() { Err(PemError::NoRevocationList(instead)) } else { Ok(found) }
}

/// The same for a file that may hold other numbers of them.
pub(crate) fn certificates(pem: &[u8], at_most: usize) -> Result<Vec<Vec<u8>>, PemError> {
    let mut found = Vec::new();
    let mut instead = Instead::of_file(pem);
    for block in Blocks::with_room(pem, at_most.saturating_add(MOST_BLOCKS)) {
        let block = block?;
        match block.label {
            // The second: what OpenSSL wrote once, and still reads.
            b"CERTIFICATE" | b"X509 CERTIFICATE" if found.len() == at_most => {
                return Err(PemError::TooMany(at_most, "certificates"));
            }
            b"CERTIFICATE" | b"X509 CERTIFICATE" => found.push(public(&block)?),
            b"TRUSTED CERTIFICATE" => return Err(PemError::TrustedCertificate),
            other => instead = instead.min(Instead::of_label(other)),
        }
    }
    if found.is_empty() { Err(PemError::NoCertificate(instead)) } else { Ok(found) }
}

/// Whether a file that should be public has a private key in it, encrypted or not.
pub(crate) fn holds_a_key(pem: &[u8]) -> bool {
    let is_key = |block: Result<Block<'_>, PemError>| {
        block.is_ok_and(|block| block.label.ends_with(b"PRIVATE KEY") || block.label.ends_with(b"KEY BLOCK"))
    };
    Blocks::of(pem).any(is_key)
}

fn but(instead: Instead) -> String {
    if instead == Instead::Nothing { String::new() } else { format!(", but {instead}") }
}

fn public(block: &Block<'_>) -> Result<Vec<u8>, PemError> {
    let text = block.text()?;
    let mut der = vec![0; text.len()];
    let length = base64::decode(text, &mut der).ok_or(PemError::Base64)?;
    der.truncate(length);
    Ok(der)
}

fn form(label: &[u8]) -> Option<KeyForm> {
    match label {
        b"PRIVATE KEY" => Some(KeyForm::Pkcs8),
        b"RSA PRIVATE KEY" => Some(KeyForm::Pkcs1),
        b"EC PRIVATE KEY" => Some(KeyForm::Sec1),
        _ => None,
    }
}

/// One block, from its BEGIN to the next line of dashes.
struct Block<'a> {
    label: &'a [u8],
    body: &'a [u8],
    /// Whether that line was its END.
    ended: bool,
}

impl<'a> Block<'a> {
    fn text(&self) -> Result<&'a [u8], PemError> {
        if self.ended { Ok(self.body) } else { Err(PemError::Unfinished) }
    }

    /// As OpenSSL's old format has it: in header fields (RFC 1421) before the base64.
    fn is_encrypted(&self) -> bool {
        let fields = self.body.trim_ascii_start();
        fields.starts_with(b"Proc-Type:") || fields.starts_with(b"DEK-Info:")
    }
}

/// The blocks of a file, one after the other; text around them doesn't count.
struct Blocks<'a> {
    rest: &'a [u8],
    most: usize,
    left: usize,
}

impl<'a> Blocks<'a> {
    fn of(pem: &'a [u8]) -> Self {
        Self::with_room(pem, MOST_BLOCKS)
    }

    fn with_room(pem: &'a [u8], most: usize) -> Self {
        Self { rest: pem, most, left: most }
    }

    /// The next line with its end; none at the end of the file.
    fn line(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = self.peek()?;
        self.rest = rest;
        Some(line)
    }

    fn peek(&self) -> Option<(&'a [u8], &'a [u8])> {
        let ends = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let line = self.rest.split_at(ends.map_or(self.rest.len(), |at| at + 1));
        if self.rest.is_empty() { None } else { Some(line) }
    }

    /// What stands before the next line of dashes, and whether that is the END of `label`.
    fn body(&mut self, label: &[u8]) -> (&'a [u8], bool) {
        let from = self.rest;
        while let Some((line, rest)) = self.peek() {
            if line.starts_with(b"-----") {
                let body = from.get(..from.len() - self.rest.len()).unwrap_or_default();
                let ended = labelled(line, b"-----END ") == Some(label);
                if ended {
                    self.rest = rest;
                }
                return (body, ended);
            }
            self.rest = rest;
        }
        (from, false)
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, PemError>;

    fn next(&mut self) -> Option<Self::Item> {
        let label = loop {
            if let Some(label) = labelled(self.line()?, b"-----BEGIN ") {
                break label;
            }
        };
        if self.left == 0 {
            self.rest = &[];
            return Some(Err(PemError::TooMany(self.most, "blocks")));
        }
        self.left -= 1;
        let (body, ended) = self.body(label);
        Some(Ok(Block { label, body, ended }))
    }
}

fn labelled<'a>(line: &'a [u8], opening: &[u8]) -> Option<&'a [u8]> {
    line.trim_ascii_end().strip_prefix(opening)?.strip_suffix(b"-----")
}

/// Public chains have three or four certificates, those of large firms up to six.
const LONGEST_CHAIN: usize = 16;
/// The list that browsers share has about 150.
const MOST_CAS: usize = 1024;
/// One for each CA of a large house.
const MOST_LISTS: usize = 32;
/// A key with its certificates, its parameters and what tools like to add has a dozen.
const MOST_BLOCKS: usize = 64;

#[cfg(test)]
mod tests;
