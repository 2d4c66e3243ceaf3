//! Values of HTTP header fields.
//!
//! Owns which text can stand in one (RFC 9110 section 5.5); knows no field.

use crate::flaw::{Flaw, show};

/// Visible ASCII characters and spaces between them, 1 to 1024 of them.
pub(crate) fn value(text: &str) -> Result<String, Flaw> {
    let fits = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if text.is_empty() || text.len() > 1024 || !fits || text.trim() != text {
        let flaw = Flaw::new(format!("{} can't be the value of a header field", show(text)));
        return Err(flaw.help("use 1 to 1024 visible ASCII characters, with no space at either end"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_end_the_field() {
        assert!(value("public, max-age=31536000, immutable").is_ok());
        for bad in ["", " a", "a ", "a\r\nb: c", "a\0", "\u{e9}", &"x".repeat(1025)] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
    }
}
