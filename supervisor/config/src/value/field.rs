//! Header fields and what stands in them (RFC 9110 section 5).
//!
//! Owns which names and values can be sent at all; knows no field's meaning.

use crate::flaw::{Flaw, show};

/// A field's name, lower case.
pub(crate) fn name(text: &str) -> Result<String, Flaw> {
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_token) {
        let flaw = Flaw::new(format!("{} is not the name of a header field", show(text)));
        return Err(flaw.help("use 1 to 64 letters, digits and hyphens, such as \"x-user\""));
    }
    Ok(text.to_ascii_lowercase())
}

/// [`name`], of a field that says something about the end of a request and not about how it travels.
pub(crate) fn end_to_end(text: &str) -> Result<String, Flaw> {
    let name = name(text)?;
    let travels = matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "forwarded"
            | "host"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-real-ip"
    ) || name.starts_with("x-forwarded-");
    if travels {
        let flaw = Flaw::new(format!("{} says how a request travels, and is Fluxheim's own", show(text)));
        return Err(flaw.help("name another field"));
    }
    if name.contains('_') {
        let flaw = Flaw::new(format!("{} has an underscore", show(text)));
        return Err(flaw.help(format!(
            "many applications read it as the same field as {}: use that",
            show(&name.replace('_', "-"))
        )));
    }
    Ok(name)
}

/// A field's value: printable ASCII, no space at either end.
pub(crate) fn value(text: &str) -> Result<String, Flaw> {
    if text.is_empty() || text.len() > 8192 || text.trim() != text {
        return Err(Flaw::new(format!("{} is no value of a header field", show(text)))
            .help("write 1 to 8192 characters, without a space at either end"));
    }
    match text.chars().find(|c| !matches!(c, ' '..='~')) {
        None => Ok(text.to_owned()),
        Some(c) => {
            let character = show(c.encode_utf8(&mut [0; 4]));
            Err(Flaw::new(format!("{} has the character {character}", show(text)))
                .help("a header field has printable ASCII in one line"))
        }
    }
}

/// A token, as names of methods and cookies are.
pub(crate) fn token(text: &str) -> Result<String, Flaw> {
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_token) {
        return Err(Flaw::new(format!("{} is not a token", show(text)))
            .help("use 1 to 64 letters, digits and !#$%&'*+-.^_`|~"));
    }
    Ok(text.to_owned())
}

/// The path and query that a request of our own asks for.
pub(crate) fn target(text: &str) -> Result<String, Flaw> {
    let fits = |c: char| {
        matches!(c, '!'..='~') && !matches!(c, '"' | '#' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
    };
    if !text.starts_with('/') {
        return Err(Flaw::new(format!("{} does not start with /", show(text)))
            .help("write path and query, such as \"/check?x=1\""));
    }
    if text.starts_with("//") || text.len() > 2048 || !text.chars().all(fits) {
        return Err(Flaw::new(format!("{} is not the target of a request", show(text)))
            .help("write path and query, percent-encoded where needed, of at most 2048 characters"));
    }
    Ok(text.to_owned())
}

/// RFC 9110 section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowers_names_and_refuses_what_is_no_name() {
        assert_eq!(name("X-User").unwrap(), "x-user");
        for bad in ["", "x user", "x:", "é", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keeps_fields_of_the_journey_and_their_doubles_out() {
        for bad in ["Host", "connection", "X-Forwarded-For", "x-real-ip", "content-length", "x_user"] {
            assert!(end_to_end(bad).is_err(), "{bad}");
        }
        assert_eq!(end_to_end("Remote-User").unwrap(), "remote-user");
    }

    #[test]
    fn takes_values_that_stand_in_one_line() {
        assert_eq!(value("default-src 'self'; img-src *").unwrap(), "default-src 'self'; img-src *");
        for bad in ["", " a", "a ", "a\r\nb: c", "ü", "a\0"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn asks_for_targets_that_a_request_line_can_hold() {
        assert_eq!(target("/auth?rd=%2F").unwrap(), "/auth?rd=%2F");
        for bad in ["", "auth", "//evil.test/", "/a b", "/a#b", "/a\r\nb"] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
    }
}
