//! The path of a request in the one form that every reader of it agrees on.

/// A path that passed [`Path::parse`]: absolute, unreserved characters decoded and all other escapes in
/// upper case (RFC 3986 section 6.2.2), runs of slashes merged, no dot segments, no backslash, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    text: String,
    encoded_slash: bool,
    encoded_delims: bool,
    utf8: bool,
}

impl Path {
    /// Reads a path as a client sent it, or as a rewrite made it; what it gives, it would give again.
    /// `None` if there is no form that all readers agree on.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if !path.starts_with('/') {
            return None;
        }
        let mut text = String::with_capacity(path.len());
        let (mut encoded_slash, mut encoded_delims, mut high) = (false, false, false);
        let mut rest = path.as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            match first {
                b'%' => {
                    let (code, after) = escape(rest)?;
                    rest = after;
                    encoded_slash |= code == b'/';
                    encoded_delims |= DELIMS.contains(&code);
                    high |= !code.is_ascii();
                    push_decoded(&mut text, code)?;
                }
                b'/' if text.ends_with('/') => {}
                0..=b' ' | b'\\' | 0x7f.. => return None,
                plain => text.push(char::from(*plain)),
            }
        }
        let utf8 = !high || decoded_is_utf8(&text);
        (!has_dots(&text, encoded_slash)).then_some(Self { text, encoded_slash, encoded_delims, utf8 })
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a `%2F`, which some of its readers take for a slash.
    #[must_use]
    pub const fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// Whether it has an escape for a character that may also stand there as it is, such as `%40` for `@`:
    /// most of its readers take both for the same, though RFC 3986 section 2.2 does not.
    #[must_use]
    pub const fn has_encoded_delims(&self) -> bool {
        self.encoded_delims
    }

    /// The path to those who decode such characters.
    #[must_use]
    pub fn with_decoded_delims(&self) -> Option<Self> {
        let mut text = self.text.clone();
        for delim in DELIMS {
            text = text.replace(&format!("%{delim:02X}"), char::from(*delim).encode_utf8(&mut [0; 4]));
        }
        Self::parse(&text)
    }

    /// Whether it is UTF-8 once decoded.
    #[must_use]
    pub const fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// The path to those who take `%2F` for a slash.
    #[must_use]
    pub fn with_decoded_slashes(&self) -> Option<Self> {
        Self::parse(&self.text.replace("%2F", "/"))
    }
}

impl std::ops::Deref for Path {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// What stands in a path as it is, and is reserved all the same: sub-delims, `:` and `@` (RFC 3986 section 3.3).
const DELIMS: &[u8] = b"!$&'()*+,;=:@";

/// The byte that two hexadecimal digits stand for, and what follows them.
fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = rest.split_at_checked(2)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(digits.first()?)? * 16 + digit(digits.last()?)?, after))
}

/// Unreserved characters stand for themselves; a backslash in disguise, or a NUL, would be read
/// differently by different readers.
fn push_decoded(out: &mut String, code: u8) -> Option<()> {
    match code {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(code)),
        0 | b'\\' => return None,
        _ => {
            out.push('%');
            for half in [code >> 4, code & 15] {
                out.push(char::from_digit(half.into(), 16)?.to_ascii_uppercase());
            }
        }
    }
    Some(())
}

/// Whether a segment is one or two dots, to readers that see a slash in `%2F` too. What follows `;` is a
/// parameter to some origins, which then see the dots alone.
fn has_dots(text: &str, encoded_slash: bool) -> bool {
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    match encoded_slash {
        false => text.split('/').any(dots),
        true => text.split('/').flat_map(|segment| segment.split("%2F")).any(dots),
    }
}

fn decoded_is_utf8(text: &str) -> bool {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (bytes, rest) = match escape(after).filter(|_| *first == b'%') {
            Some((code, after)) => (pushed(bytes, code), after),
            None => (pushed(bytes, *first), after),
        };
    }
    str::from_utf8(&bytes).is_ok()
}

fn pushed(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_readers_could_disagree_on() {
        for path in [
            "",
            "x",
            "*",
            "/../x",
            "/a/..",
            "/a/./b",
            "/%2e%2e/x",
            "/a/%2E",
            "/a%00b",
            "/a%5cb",
            "/a\\b",
            "/a/%2e%2e%2fb",
            "/a%2F..",
            "/a%2F.%2Fb",
            "/..%2Fa",
            "/a/..;/b",
            "/a/.;x/b",
            "/a%2F..;x",
            "/a%2",
            "/a%zz",
            "/%",
            "/a b",
            "/é",
            "/a\nb",
        ] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }

    #[test]
    fn gives_one_form_and_gives_it_again() {
        for (given, same) in [
            ("/%61dmin/%7Euser", "/admin/~user"),
            ("//admin///x", "/admin/x"),
            ("/a%20b%c3%a9", "/a%20b%C3%A9"),
            ("/..a/a../...", "/..a/a../..."),
            ("/.well-known/x;p=1", "/.well-known/x;p=1"),
            ("/a%3Fb%25", "/a%3Fb%25"),
            ("/%2541%252e%252e", "/%2541%252e%252e"),
            ("/a%2fb", "/a%2Fb"),
        ] {
            let path = Path::parse(given).unwrap();
            assert_eq!(path.as_str(), same, "{given}");
            assert_eq!(Path::parse(same), Some(path), "{given}");
        }
    }

    #[test]
    fn notes_what_only_some_routes_want() {
        let path = |text| Path::parse(text).unwrap();
        assert!(path("/a%2Fb").has_encoded_slash() && !path("/a%252Fb").has_encoded_slash());
        assert_eq!(path("/a%2Fb%2F/c").with_decoded_slashes().unwrap().as_str(), "/a/b/c");
        for utf8 in ["/", "/a%C3%A9", "/%E2%82%AC"] {
            assert!(path(utf8).is_utf8(), "{utf8}");
        }
        // The second is an overlong slash.
        for other in ["/%FF", "/%C0%AF", "/%C3", "/%C3/%A9", "/%ED%A0%80"] {
            assert!(!path(other).is_utf8(), "{other}");
        }
    }
}
