//! Amounts of bytes: `"512B"`, `"32KiB"`, `"10GB"`.
//!
//! Owns the units; each key has its own range.

use std::ops::RangeInclusive;

use crate::flaw::{Flaw, show};

/// What a message expects where none stands.
pub(crate) const EXPECTED: &str = "a size such as \"1MiB\"";

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// A size within `range`, in bytes.
pub(crate) fn within(text: &str, range: &RangeInclusive<u64>) -> Result<u64, Flaw> {
    let bytes = parse(text)?;
    match bytes {
        Some(bytes) if range.contains(&bytes) => Ok(bytes),
        _ => {
            let (least, most) = (print(*range.start()), print(*range.end()));
            Err(Flaw::new(format!("{} is out of range", show(text)))
                .help(format!("choose {least} to {most}")))
        }
    }
}

/// `bytes` as this module reads it, in the largest unit that needs no fraction.
pub(crate) fn print(bytes: u64) -> String {
    let fits = |unit: &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(unit.1);
    UNITS
        .iter()
        .find(fits)
        .map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// `bytes` for people: in whole units of a power of 1024, rounded up.
pub(crate) fn rounded_up(bytes: u64) -> String {
    let binary = UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    let unit = binary.into_iter().find(|(_, unit)| bytes >= unit.saturating_mul(10));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes.div_ceil(*unit)))
}

/// `None` when the number does not fit in 64 bits.
fn parse(text: &str) -> Result<Option<u64>, Flaw> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    match (number.is_empty(), factor) {
        (false, Some(factor)) => Ok(number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor))),
        _ => Err(malformed(text, number, unit)),
    }
}

fn malformed(text: &str, number: &str, unit: &str) -> Flaw {
    let flaw = Flaw::new(format!("{} is not a size", show(text)));
    // A letter alone is a power of 1024 to nginx, Docker and Apache.
    let near = UNITS.iter().find(|(name, _)| {
        let binary = name.strip_suffix('B').filter(|prefix| prefix.ends_with('i'));
        name.eq_ignore_ascii_case(unit)
            || binary.is_some_and(|prefix| {
                prefix.eq_ignore_ascii_case(unit) || prefix.trim_end_matches('i').eq_ignore_ascii_case(unit)
            })
    });
    match near {
        _ if number.is_empty() || number.len() > 20 => {
            flaw.help("write a whole number and a unit, such as \"1MiB\"")
        }
        _ if unit.is_empty() => {
            flaw.help(format!("add a unit: \"{number}B\", \"{number}KiB\" or \"{number}MiB\""))
        }
        Some((name, _)) => flaw.help(format!("write \"{number}{name}\"")),
        None => flaw.help("units are B, KiB, MiB, GiB, TiB, and KB, MB, GB, TB for powers of 1000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: RangeInclusive<u64> = 0..=u64::MAX;

    #[test]
    fn reads_binary_and_decimal_units() {
        for (text, bytes) in [("512B", 512), ("32KiB", 32 << 10), ("1MB", 1_000_000), ("10GiB", 10 << 30)] {
            assert_eq!(within(text, &ANY).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for bytes in [0, 1, 1000, 1023, 1024, 1536, 1 << 20, 3_000_000, u64::MAX] {
            assert_eq!(within(&print(bytes), &ANY).unwrap(), bytes);
        }
        assert_eq!(print(32 << 10), "32KiB");
    }

    #[test]
    fn rounds_up_for_people() {
        for (bytes, text) in [
            (9, "9B"),
            (10 << 10, "10KiB"),
            ((10 << 20) + 1, "11MiB"),
            (5 << 40, "5120GiB"),
            (u64::MAX, "16777216TiB"),
        ] {
            assert_eq!(rounded_up(bytes), text);
        }
    }

    #[test]
    fn says_how_to_write_it() {
        let help = |text: &str| within(text, &ANY).unwrap_err().help.unwrap();
        assert_eq!(help("5m"), "write \"5MiB\"");
        assert_eq!(help("5K"), "write \"5KiB\"");
        assert_eq!(help("5Gi"), "write \"5GiB\"");
        assert_eq!(help("5mb"), "write \"5MB\"");
        assert_eq!(help("5mib"), "write \"5MiB\"");
        assert_eq!(help("5"), "add a unit: \"5B\", \"5KiB\" or \"5MiB\"");
        assert_eq!(within("2KiB", &(0..=1024)).unwrap_err().help.unwrap(), "choose 0B to 1KiB");
    }

    #[test]
    fn survives_overflow() {
        for text in ["99999999999999999999999B", "18446744073709551615TiB", "-1B", "1.5MiB", "", "é"] {
            assert!(within(text, &ANY).is_err(), "{text}");
        }
    }
}
