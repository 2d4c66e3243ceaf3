//! What a client's certificate says, out of its DER.
//!
//! Owns reading it; whether it is good is `client_auth`'s to say. Follows RFC 5280 and, for names in
//! words, RFC 4514.

use std::fmt::Write;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::types::{ClientIdentity, San, hex_text};

/// The version of X.509 that a certificate is of, from 1; `None` when it can't be read.
pub(super) fn version(certificate: &[u8]) -> Option<u32> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    parsed.version().0.checked_add(1)
}

/// Whom a chain, the client's own certificate first, stands for; `None` when that can't be read.
pub(super) fn read(chain: &[CertificateDer<'_>]) -> Option<ClientIdentity> {
    let leaf = chain.first()?;
    let (rest, parsed) = X509Certificate::from_der(leaf).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let names = parsed.subject_alternative_name().ok()?;
    let names = names.map(|names| names.value.general_names.iter().map(san).collect::<Option<Vec<_>>>());
    let sans = match names {
        Some(names) => names?.into_iter().flatten().collect(),
        None => Vec::new(),
    };
    let validity = parsed.validity();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, leaf).as_ref());
    Some(ClientIdentity {
        subject: name(parsed.subject()),
        issuer: name(parsed.issuer()),
        serial: hex_text(parsed.raw_serial()),
        fingerprint,
        sans,
        chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// `Some(None)` is of a kind that nobody asks for; `None` is malformed, and then so is the certificate.
fn san(name: &GeneralName<'_>) -> Option<Option<San>> {
    // An IA5String, and here without what would end a line or a string of those who read it elsewhere.
    let text = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~')).then(|| text.to_owned());
    Some(match name {
        GeneralName::DNSName(name) => Some(San::Dns(text(name)?)),
        GeneralName::URI(name) => Some(San::Uri(text(name)?)),
        GeneralName::RFC822Name(name) => Some(San::Email(text(name)?)),
        GeneralName::IPAddress(bytes) => Some(San::Ip(address(bytes)?)),
        _ => None,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.ok().or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

/// The last part first. Types without a short name are written as their OID with the value in hexadecimal.
fn name(name: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for set in name.iter() {
        let values: Vec<_> = set.iter().map(|part| attribute(part.attr_type(), part.attr_value())).collect();
        parts.push(values.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn attribute(kind: &x509_parser::der_parser::oid::Oid<'_>, value: &Any<'_>) -> String {
    let known = TYPES.iter().find(|(oid, _)| *oid == kind.as_bytes());
    match (known, text(value)) {
        (Some((_, label)), Some(text)) => format!("{label}={}", escaped(&text)),
        (known, _) => {
            let label = known.map_or_else(|| kind.to_id_string(), |(_, label)| (*label).to_owned());
            format!("{label}=#{}", encoded(value))
        }
    }
}

/// The value of a string of those types that hold ASCII or UTF-8.
fn text(value: &Any<'_>) -> Option<String> {
    const UTF8: u32 = 12;
    const PRINTABLE: u32 = 19;
    const IA5: u32 = 22;
    let is_text = matches!(value.tag().0, UTF8 | PRINTABLE | IA5);
    std::str::from_utf8(value.data).ok().filter(|_| is_text).map(str::to_owned)
}

/// RFC 4514 section 2.4; beyond ASCII every byte is escaped, as OpenSSL does it.
fn escaped(text: &str) -> String {
    let (mut out, last) = (String::with_capacity(text.len()), text.len().saturating_sub(1));
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            // Writing to a String can't fail.
            _ => drop(write!(out, "\\{byte:02X}")),
        }
    }
    out
}

/// The DER of a value in hexadecimal; a value that was read has a length that can be written.
fn encoded(value: &Any<'_>) -> String {
    let length = value.data.len();
    let mut header = vec![u8::try_from(value.tag().0 & 0x1f).unwrap_or(0x1f)];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => header.push(short),
        Ok(long) => header.extend([0x81, long]),
        Err(_) => {
            let [.., high, low] = length.to_be_bytes();
            header.extend([0x82, high, low]);
        }
    }
    hex_text(&header) + &hex_text(value.data)
}

/// The table of RFC 4514 section 3, and what certificates have beside it; by the bytes of the OID.
const TYPES: [(&[u8], &str); 12] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_values_so_that_they_can_be_told_from_what_is_around_them() {
        assert_eq!(escaped("Acme, Inc."), "Acme\\, Inc.");
        assert_eq!(escaped(" a+b=#c "), "\\ a\\+b\\=#c\\ ");
        assert_eq!(escaped("#1"), "\\#1");
        assert_eq!(escaped("Zo\u{eb}\r\n"), "Zo\\C3\\AB\\0D\\0A");
        assert_eq!(escaped(" "), "\\ ");
    }

    #[test]
    fn refuses_names_that_hold_what_no_name_has() {
        assert_eq!(san(&GeneralName::DNSName("a.test")), Some(Some(San::Dns("a.test".into()))));
        for bad in ["a\0b", "a\r\nb", "é"] {
            assert_eq!(san(&GeneralName::URI(bad)), None, "{bad:?}");
        }
        assert_eq!(san(&GeneralName::IPAddress(&[1, 2, 3])), None);
        assert_eq!(san(&GeneralName::IPAddress(&[10, 0, 0, 1])), Some(Some(San::Ip([10, 0, 0, 1].into()))));
    }

    #[test]
    fn reads_nothing_from_what_is_no_certificate() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[CertificateDer::from(vec![0x30, 0x00])]), None);
    }
}
