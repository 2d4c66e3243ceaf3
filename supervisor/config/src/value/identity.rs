//! What certificates are told apart by: subject alternative names and fingerprints.
//!
//! Owns how they are written; the kind of a name shows in its form. Follows RFC 5280 section 4.2.1.6.

use std::net::IpAddr;

use super::host;
use crate::flaw::{Flaw, show};
use crate::{Fingerprint, SanPattern};

/// A name: `app.example`, `*.example`, `spiffe://example/app`, `a@example`, `192.0.2.7`.
pub(crate) fn san(text: &str) -> Result<SanPattern, Flaw> {
    if let Some((attribute, name)) = text.split_once('=')
        && ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(attribute))
    {
        return Err(subject(text, name));
    }
    of_form(text)
}

fn of_form(text: &str) -> Result<SanPattern, Flaw> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SanPattern::Ip(address));
    }
    if let Some(colon) = text.find(':') {
        return uri(text, colon);
    }
    if let Some((local, domain)) = text.rsplit_once('@') {
        return email(text, local, domain);
    }
    match text.strip_prefix("*.") {
        Some(parent) => host::name(parent).map(SanPattern::DnsBelow),
        None if text.contains('*') => {
            Err(Flaw::new(format!("{} has a * in an unsupported place", show(text)))
                .help("write \"*.example.com\", for exactly one label in front"))
        }
        None => host::name(text).map(SanPattern::Dns),
    }
}

/// What people write who know the subject of a certificate.
fn subject(text: &str, name: &str) -> Flaw {
    let flaw = Flaw::new(format!("{} is of a subject, and subjects are not compared", show(text)));
    let name = name.split(',').next().unwrap_or_default();
    match of_form(name) {
        Ok(_) if name.contains(['.', ':', '@']) => flaw.help(format!(
            "write {}, if the certificate has it as a subject alternative name, or compare fingerprints",
            show(name)
        )),
        _ => flaw.help(
            "write a subject alternative name of the certificate, such as \"bob.example.com\", or compare \
             fingerprints",
        ),
    }
}

fn uri(text: &str, colon: usize) -> Result<SanPattern, Flaw> {
    let scheme = text.get(..colon).unwrap_or_default();
    let starts = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_scheme = starts && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme
        || text.len() == colon + 1
        || text.len() > MOST
        || !text.chars().all(|c| c.is_ascii_graphic())
    {
        return Err(Flaw::new(format!("{} is no URI", show(text)))
            .help("write it as it stands in the certificate, such as \"spiffe://example.org/app\""));
    }
    if text.contains('*') {
        return Err(Flaw::new(format!("{} has a *, and URIs are compared by the letter", show(text)))
            .help("name each one"));
    }
    Ok(SanPattern::Uri(text.to_owned()))
}

fn email(text: &str, local: &str, domain: &str) -> Result<SanPattern, Flaw> {
    if local.is_empty() || text.len() > MOST || !local.chars().all(|c| c.is_ascii_graphic() && c != '*') {
        return Err(Flaw::new(format!("{} is no mail address", show(text))).help("such as \"a@example.com\""));
    }
    Ok(SanPattern::Email(format!("{local}@{}", host::name(domain)?)))
}

/// SHA-256 in hexadecimal, with colons or without, as `openssl x509 -fingerprint -sha256` writes it.
pub(crate) fn fingerprint(text: &str) -> Result<Fingerprint, Flaw> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let flaw = || {
        Flaw::new(format!("{} is no SHA-256 fingerprint", show(text)))
            .help("write 64 hexadecimal digits: openssl x509 -noout -fingerprint -sha256 -in CERT")
    };
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return Err(flaw());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(flaw)?;
    }
    Ok(Fingerprint(bytes))
}

/// What subjects begin with (RFC 4514 section 3), and as OpenSSL writes it.
const ATTRIBUTES: [&str; 12] =
    ["CN", "O", "OU", "C", "L", "ST", "DC", "UID", "E", "emailAddress", "serialNumber", "subject"];
/// Characters of one name; real ones have a tenth.
const MOST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_of_any_length_is_a_flaw() {
        for text in ["O=".repeat(100_000) + "x", "CN=bob".to_owned(), "CN=CN=a.b".to_owned()] {
            assert!(san(&text).is_err());
        }
    }

    #[test]
    fn tells_the_kind_of_a_name_by_its_form() {
        assert_eq!(san("App.Example").unwrap(), SanPattern::Dns("app.example".into()));
        assert_eq!(san("*.Example.com").unwrap(), SanPattern::DnsBelow("example.com".into()));
        assert_eq!(san("spiffe://Example/App").unwrap(), SanPattern::Uri("spiffe://Example/App".into()));
        assert_eq!(san("urn:uuid:1").unwrap(), SanPattern::Uri("urn:uuid:1".into()));
        assert_eq!(san("Ann@Example.com").unwrap(), SanPattern::Email("Ann@example.com".into()));
        assert_eq!(san("192.0.2.7").unwrap(), SanPattern::Ip([192, 0, 2, 7].into()));
        assert_eq!(san("[2001:DB8::1]").unwrap().to_string(), "2001:db8::1");
    }

    #[test]
    fn refuses_what_would_fit_nothing_or_too_much() {
        for bad in [
            "",
            "*",
            "*.*.com",
            "a.*.com",
            "spiffe://x/*",
            "://x",
            "1:x",
            "a:",
            "a b",
            "@b",
            "a@",
            "a@b c",
            "é",
            "*@b",
        ] {
            assert!(san(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_fingerprints_as_openssl_writes_them() {
        let plain = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        assert_eq!(fingerprint(&plain).unwrap(), fingerprint(&colons).unwrap());
        assert_eq!(fingerprint(&colons).unwrap().to_string(), plain);
        for bad in ["", "0a", &"0g".repeat(32), &"0a".repeat(33), &format!("+{}", &plain[1..])] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }
}
