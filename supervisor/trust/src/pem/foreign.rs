//! What a file holds in place of a key or a certificate that can be used.
//!
//! Owns the names of these things, so that an operator reads what is there and not only what isn't.

use std::fmt;

/// What is there instead, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Instead {
    /// PKCS#8 or OpenSSL's old format, with a passphrase.
    EncryptedKey,
    /// The form of ssh-keygen.
    OpenSshKey,
    /// The form of PuTTY.
    PuttyKey,
    /// A DSA key in OpenSSL's old format.
    DsaKey,
    /// A PGP key.
    PgpKey,
    /// Text that begins with a byte order mark, or UTF-16: no line begins with BEGIN then.
    ByteOrderMark,
    /// A key and certificates in one binary file (RFC 7292).
    Pkcs12,
    /// DER, which is what PEM wraps.
    Der,
    /// Certificates in PKCS#7 (RFC 2315).
    Pkcs7,
    /// A private key, where a certificate should be.
    PrivateKey,
    /// A certificate, where a key should be.
    Certificate,
    /// A certificate signing request.
    Request,
    /// A public key.
    PublicKey,
    /// Any other block.
    OtherBlock,
    /// Nothing that is known.
    Nothing,
}

impl Instead {
    /// What the file is, when it has no blocks.
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        match bytes {
            [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Self::ByteOrderMark,
            [b'P', b'u', b'T', b'T', b'Y', b'-', ..] => Self::PuttyKey,
            _ => Self::of_der(bytes).unwrap_or(Self::Nothing),
        }
    }

    /// What one block is, by its label.
    pub(super) fn of_label(label: &[u8]) -> Self {
        match label {
            b"ENCRYPTED PRIVATE KEY" => Self::EncryptedKey,
            b"OPENSSH PRIVATE KEY" => Self::OpenSshKey,
            b"DSA PRIVATE KEY" => Self::DsaKey,
            b"PGP PRIVATE KEY BLOCK" => Self::PgpKey,
            b"PKCS12" => Self::Pkcs12,
            b"PKCS7" | b"CMS" => Self::Pkcs7,
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Self::PrivateKey,
            b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => Self::Certificate,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Self::Request,
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Self::PublicKey,
            _ => Self::OtherBlock,
        }
    }

    /// A SEQUENCE that fills the file. That of PKCS#12 begins with version 3, which no key has.
    fn of_der(bytes: &[u8]) -> Option<Self> {
        let (length, content) = match *bytes {
            [0x30, 0x81, a, ref content @ ..] => (usize::from(a), content),
            [0x30, 0x82, a, b, ref content @ ..] => (usize::from(u16::from_be_bytes([a, b])), content),
            [0x30, a @ 0..=0x7f, ref content @ ..] => (usize::from(a), content),
            _ => return None,
        };
        let kind = if content.starts_with(&[2, 1, 3, 0x30]) { Self::Pkcs12 } else { Self::Der };
        (length == content.len()).then_some(kind)
    }
}

/// With its article, as in "there is an encrypted key".
impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncryptedKey => "an encrypted key",
            Self::OpenSshKey => "a key in the form of OpenSSH",
            Self::PuttyKey => "a key in the form of PuTTY",
            Self::DsaKey => "a DSA key",
            Self::PgpKey => "a PGP key",
            Self::ByteOrderMark => "text with a byte order mark",
            Self::Pkcs12 => "PKCS#12",
            Self::Der => "DER in place of PEM",
            Self::Pkcs7 => "PKCS#7",
            Self::PrivateKey => "a private key",
            Self::Certificate => "a certificate",
            Self::Request => "a certificate signing request",
            Self::PublicKey => "a public key",
            Self::OtherBlock => "another block",
            Self::Nothing => "nothing that is known",
        })
    }
}
