//! What is wrong with one value, before it is known where the value stands.
//!
//! Owns the wording's building blocks; knows no file and no key.

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Flaw {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `text` as it may stand in a message: quoted, escaped, and no longer than a line bears.
pub(crate) fn show(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > SHOWN {
        return None; // the distance costs the product of both lengths
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= SHOWN && candidate.len().abs_diff(word.len()) <= SHOWN / 3)
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(word.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `words` as a list for a sentence, in the order given.
pub(crate) fn listed<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Characters of the file's own text that one message repeats.
const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_control_character_and_no_endless_text() {
        assert_eq!(show("a\u{1b}[31m\n"), "\"a\\u{1b}[31m\\n\"");
        assert!(show(&"x".repeat(1 << 20)).len() < 80);
    }

    #[test]
    fn finds_the_near_word_and_not_a_far_one() {
        assert_eq!(nearest("htps", ["http", "https"]), Some("https"));
        assert_eq!(nearest("drain-delay", ["drain_delay", "drain_timeout"]), Some("drain_delay"));
        assert_eq!(nearest("colour", ["http", "https"]), None);
        assert_eq!(nearest("x", ["http"]), None);
    }
}
