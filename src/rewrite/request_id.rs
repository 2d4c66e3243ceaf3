//! Request ids that others have made.
//!
//! Owns what a well-formed one is.

use http::HeaderValue;

/// The id that a client or proxy sent, if it is one: what could not break a log line, a header field or
/// a shell command by any reader's rules.
#[must_use]
pub fn well_formed(sent: &HeaderValue) -> bool {
    let fits = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=' | b':' | b'@')
    };
    (1..=LONGEST).contains(&sent.len()) && sent.as_bytes().iter().all(fits)
}

/// Longer than any scheme in use, and short enough for every log.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ids_of_known_schemes_and_nothing_that_could_break_a_line() {
        let long = "x".repeat(LONGEST);
        for good in
            ["a", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "1-67891233-abcdef012345678912345678", &long]
        {
            assert!(well_formed(&HeaderValue::from_str(good).unwrap()), "{good}");
        }
        for bad in ["", "a b", "a\"b", "a,b", "a;b", "{a}", "a\\b", "a\tb", &format!("{long}x")] {
            assert!(!well_formed(&HeaderValue::from_str(bad).unwrap()), "{bad}");
        }
    }
}
