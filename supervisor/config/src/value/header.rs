//! Header fields and methods: which names there can be, and which are not the operator's to set.
//!
//! Owns the lists; follows RFC 9110 sections 5 and 7.6.1.

use crate::flaw::{Flaw, show};

/// The name of a field that is only looked at, in lower case.
pub(crate) fn name(text: &str) -> Result<String, Flaw> {
    if text.is_empty() || text.len() > 256 || !text.bytes().all(is_token_byte) {
        return Err(Flaw::new(format!("{} is not the name of a header field", show(text)))
            .help("names have letters, digits and !#$%&'*+-.^_`|~"));
    }
    Ok(text.to_ascii_lowercase())
}

/// The name of a field that may be set, added or removed in either direction.
pub(crate) fn settable(text: &str) -> Result<String, Flaw> {
    let name = name(text)?;
    if FRAMING.contains(&name.as_str()) {
        let flaw = Flaw::new(format!("{} belongs to the connection or frames the message", show(text)));
        return Err(flaw.help("it is Fluxheim's own to write"));
    }
    Ok(name)
}

/// The value of a field, apart from its variables.
pub(crate) fn check_value(text: &str) -> Result<(), Flaw> {
    match text.chars().find(|c| c.is_control()) {
        Some(_) => Err(Flaw::new(format!("{} has a control character", show(text)))),
        None if text.trim() != text => {
            Err(Flaw::new(format!("{} has spaces around it, which are no part of a value", show(text))))
        }
        None => Ok(()),
    }
}

/// A method that can reach a route.
pub(crate) fn method(text: &str) -> Result<String, Flaw> {
    if text.is_empty() || text.len() > 32 || !text.bytes().all(is_token_byte) {
        return Err(Flaw::new(format!("{} is not a method", show(text))).help("such as \"GET\""));
    }
    if matches!(text, "TRACE" | "CONNECT") {
        return Err(Flaw::new(format!("{text} is answered with 405 before any route is looked for")));
    }
    let upper = text.to_ascii_uppercase();
    if upper != text && STANDARD.contains(&upper.as_str()) {
        let flaw = Flaw::new(format!("methods are case-sensitive, and {} is none", show(text)));
        return Err(flaw.help(format!("write {}", show(&upper))));
    }
    Ok(text.to_owned())
}

/// `tchar` of RFC 9110 section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Hop-by-hop fields, those that frame a message, and `Host`, which has a key of its own.
const FRAMING: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// RFC 9110 section 9.1 and RFC 5789.
const STANDARD: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_in_any_case_and_keeps_framing_out_of_reach() {
        assert_eq!(settable("X-Frame-Options").unwrap(), "x-frame-options");
        for bad in ["Connection", "content-LENGTH", "Transfer-Encoding", "host", "TE", "Upgrade"] {
            assert!(settable(bad).is_err() && name(bad).is_ok(), "{bad}");
        }
        for bad in ["", "a b", "a:", "a\r\nb", "é"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn takes_values_that_end_no_line() {
        assert!(check_value("max-age=1; é").is_ok());
        for bad in ["a\r\nSet-Cookie: x", "a\0", " a", "a\t"] {
            assert!(check_value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn takes_methods_as_they_are_sent() {
        assert_eq!(method("PROPFIND").unwrap(), "PROPFIND");
        for bad in ["", "get", "G ET", "TRACE", "CONNECT"] {
            assert!(method(bad).is_err(), "{bad}");
        }
    }
}
