//! One value at a time: text to the type it stands for.
//!
//! Pure functions of a string; they know no key, no file and no other value.

pub(crate) mod address;
pub(crate) mod balancing;
pub(crate) mod duration;
pub(crate) mod field;
pub(crate) mod header;
pub(crate) mod host;
pub(crate) mod identity;
pub(crate) mod path;
pub(crate) mod pattern;
pub(crate) mod ratio;
pub(crate) mod size;
pub(crate) mod template;

use toml::de::DeValue;

use crate::flaw::{Flaw, listed, nearest, show};

/// One of `words`, by its name.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Flaw> {
    words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names = || words.iter().map(|(name, _)| *name);
        let flaw = Flaw::new(format!("unknown word {}", show(text)));
        match nearest(text, names()) {
            Some(near) => flaw.help(format!("did you mean \"{near}\"? known are {}", listed(names()))),
            None => flaw.help(format!("known are {}", listed(names()))),
        }
    })
}

/// A name that other places of the configuration refer to; it also labels metrics and log lines.
pub(crate) fn name(text: &str) -> Result<String, Flaw> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        let flaw = Flaw::new(format!("{} is not a name", show(text)));
        return Err(flaw.help("use 1 to 64 of the characters a-z A-Z 0-9 _ - ."));
    }
    Ok(text.to_owned())
}

/// A value as messages show it: its type, and itself where that is short.
pub(crate) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", show(text)),
        DeValue::Integer(number) => format!("the integer {}", show(number.as_str()).replace('"', "")),
        DeValue::Float(number) => format!("the number {}", show(number.as_str()).replace('"', "")),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The help for a number where a string belongs.
pub(crate) fn as_string(value: &DeValue<'_>, expected: &str) -> Option<String> {
    let number = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => return None,
    };
    let unit = match expected {
        e if e.starts_with(duration::EXPECTED) => "s",
        e if e.starts_with(size::EXPECTED) => "B",
        _ => "",
    };
    (number.len() < 20)
        .then(|| format!("write \"{number}{unit}\"{}", if unit.is_empty() { "" } else { " or another unit" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_known_words() {
        let flaw = word("wran", &[("warn", 1), ("info", 2)]).unwrap_err();
        assert_eq!(flaw.message, "unknown word \"wran\"");
        assert_eq!(flaw.help.unwrap(), "did you mean \"warn\"? known are warn, info");
    }

    #[test]
    fn refuses_names_that_could_not_label_a_metric() {
        assert_eq!(name("app-1.eu_west").unwrap(), "app-1.eu_west");
        for bad in ["", "a b", "é", "a\"b", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
