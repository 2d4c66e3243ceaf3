//! Host names and the patterns of `[[vhosts]]`.
//!
//! Owns which names are names; converts no IDN (names arrive in their `xn--` form, as they do in
//! `Host` and SNI). Follows RFC 1123 section 2.1 and RFC 5890, with `_` for container networks.

use std::net::IpAddr;

use crate::HostPattern;
use crate::flaw::{Flaw, show};

/// What a vhost answers for.
pub(crate) fn pattern(text: &str) -> Result<HostPattern, Flaw> {
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    if let Some(below) = text.strip_prefix("*.") {
        return name(below).map(HostPattern::Wildcard);
    }
    if text.contains('*') {
        let flaw = Flaw::new(format!("{} has a * in an unsupported place", show(text)));
        return Err(flaw.help("write \"*.example.com\", or \"*\" alone for every other host"));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(HostPattern::Exact(address.to_string())),
        Err(_) => name(text).map(HostPattern::Exact),
    }
}

/// A host name in lower case.
pub(crate) fn name(text: &str) -> Result<String, Flaw> {
    refuse_url_parts(text)?;
    let flawed = |what: &str| Flaw::new(format!("{} is not a host name: {what}", show(text)));
    if text.is_empty() {
        return Err(flawed("it is empty"));
    }
    if text.len() > 253 {
        return Err(flawed("it is longer than 253 characters"));
    }
    if let Some(stem) = text.strip_suffix('.') {
        return Err(flawed("it ends with a dot").help(format!("write {}", show(stem))));
    }
    for label in text.split('.') {
        check_label(label).map_err(|what| flawed(&what))?;
    }
    let last = text.rsplit('.').next().unwrap_or(text);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Flaw::new(format!("{} is neither a host name nor an IPv4 address", show(text)))
            .help("addresses have the form \"192.0.2.7\"; the last part of a name is never a number"));
    }
    Ok(text.to_ascii_lowercase())
}

fn check_label(label: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if label.is_empty() {
        return Err("two dots follow each other or one stands at an end".to_owned());
    }
    if label.len() > 63 {
        return Err(format!("the part {} is longer than 63 characters", show(label)));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(format!("the part {} starts or ends with a hyphen", show(label)));
    }
    match label.chars().find(|c| !fits(*c)) {
        Some(c) => Err(format!("the character {} is not allowed", show(c.encode_utf8(&mut [0; 4])))),
        None => Ok(()),
    }
}

fn refuse_url_parts(text: &str) -> Result<(), Flaw> {
    let flaw = |what: &str| Flaw::new(format!("{} {what}", show(text)));
    if !text.is_ascii() {
        return Err(flaw("has characters beyond ASCII").help("give the name in its xn-- form"));
    }
    if text.contains("://") {
        return Err(flaw("has a scheme").help("write the host name only"));
    }
    if text.contains('/') {
        return Err(flaw("has a path").help("write the host name only; paths belong in routes"));
    }
    if text.contains(':') {
        return Err(flaw("has a port").help("write the host name only; every port of the server is meant"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_wildcards_addresses_and_the_rest() {
        assert_eq!(pattern("Example.COM").unwrap(), HostPattern::Exact("example.com".into()));
        assert_eq!(pattern("*.Example.com").unwrap(), HostPattern::Wildcard("example.com".into()));
        assert_eq!(pattern("*").unwrap(), HostPattern::Any);
        assert_eq!(pattern("[2001:DB8::0:1]").unwrap(), HostPattern::Exact("2001:db8::1".into()));
        assert_eq!(pattern("192.0.2.7").unwrap(), HostPattern::Exact("192.0.2.7".into()));
    }

    #[test]
    fn says_what_is_wrong_with_a_host() {
        for (text, said) in [
            ("", "empty"),
            ("münchen.de", "has characters beyond ASCII"),
            ("https://example.com", "has a scheme"),
            ("example.com/x", "has a path"),
            ("example.com:443", "has a port"),
            ("example.com.", "ends with a dot"),
            ("a..b", "two dots"),
            ("*.*.example.com", "\"*\" is not allowed"),
            ("www.*.com", "unsupported place"),
            ("*", ""),
            ("-a.com", "hyphen"),
            ("a b.com", "\" \" is not allowed"),
            ("192.0.2.256", "nor an IPv4 address"),
            ("*.192.0.2.7", "nor an IPv4 address"),
        ] {
            match pattern(text) {
                Ok(_) => assert!(said.is_empty(), "{text}"),
                Err(flaw) => assert!(flaw.message.contains(said), "{text}: {}", flaw.message),
            }
        }
        assert!(name(&format!("{}.com", "a".repeat(64))).unwrap_err().message.contains("63"));
        assert!(name(&"a.".repeat(200)).unwrap_err().message.contains("253"));
    }
}
