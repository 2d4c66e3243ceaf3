//! Lengths of time: `"250ms"`, `"5s"`, `"1h30m"`.
//!
//! Owns the units and the upper bound; a bare number is never a duration.

use std::time::Duration;

use crate::flaw::{Flaw, show};

/// What a message expects where none stands.
pub(crate) const EXPECTED: &str = "a duration such as \"5s\"";

/// Longer is a slip of the pen: 366 days, in milliseconds.
const MOST: u64 = 366 * 86_400_000;

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration that may be zero.
pub(crate) fn any(text: &str) -> Result<Duration, Flaw> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() || text.is_empty() {
        let (number, tail) = split(rest, |c| c.is_ascii_digit());
        let (unit, tail) = split(tail, |c| !c.is_ascii_digit());
        if number.is_empty() || unit.is_empty() {
            return Err(malformed(text));
        }
        let (_, milliseconds) = units.find(|(name, _)| *name == unit).ok_or_else(|| malformed(text))?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*milliseconds));
        total = part.and_then(|part| total.checked_add(part)).unwrap_or(u64::MAX);
        if total > MOST {
            return Err(Flaw::new(format!("{} is longer than 366 days", show(text))));
        }
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// A duration above zero.
pub(crate) fn positive(text: &str) -> Result<Duration, Flaw> {
    let duration = any(text)?;
    if duration.is_zero() {
        return Err(Flaw::new(format!("{} must be longer than zero", show(text))));
    }
    Ok(duration)
}

/// `duration` as this module reads it.
pub(crate) fn print(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, milliseconds) in UNITS {
        if left >= milliseconds {
            text.push_str(&format!("{}{unit}", left / milliseconds));
            left %= milliseconds;
        }
    }
    text
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn malformed(text: &str) -> Flaw {
    let flaw = Flaw::new(format!("{} is not a duration", show(text)));
    if !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return flaw.help(format!("add a unit: \"{text}s\" or \"{text}ms\""));
    }
    flaw.help(
        "write whole numbers with units d, h, m, s, ms, the largest first, such as \"1h30m\" or \"1s500ms\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_alone_and_together() {
        for (text, milliseconds) in
            [("250ms", 250), ("5s", 5000), ("1m", 60_000), ("1h30m", 5_400_000), ("0s", 0), ("366d", MOST)]
        {
            assert_eq!(any(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for milliseconds in [0, 1, 999, 1000, 61_001, 90_061_001, MOST] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(any(&print(duration)).unwrap(), duration);
        }
    }

    #[test]
    fn refuses_all_else() {
        for text in ["", " ", "s", "5 s", "-5s", "1.5s", "5S", "30m1h", "5s5s", "5µs", "5s ", "+5s", "٣s"] {
            assert!(any(text).is_err(), "{text}");
        }
        for text in ["367d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(any(text).unwrap_err().message.ends_with("longer than 366 days"), "{text}");
        }
    }

    #[test]
    fn asks_for_a_unit() {
        let flaw = any("30").unwrap_err();
        assert_eq!(flaw.message, "\"30\" is not a duration");
        assert_eq!(flaw.help.unwrap(), "add a unit: \"30s\" or \"30ms\"");
    }
}
