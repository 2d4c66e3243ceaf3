//! What others wrote into certificates, and times, as they can stand in a report.
//!
//! Owns making it harmless: short, and without a character that moves a cursor, turns the direction of
//! text or hides. Follows RFC 4514 for names.

use std::fmt::Write;

use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::der_parser::oid;
use x509_parser::x509::X509Name;

/// A distinguished name: `CN=R13, O=Let's Encrypt, C=US`, the last part first, as people look for it.
pub(super) fn name(name: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for attribute in name.iter_attributes() {
        let known = ATTRIBUTES.iter().find(|(oid, _)| *oid == attribute.attr_type().as_bytes());
        if let Some((_, label)) = known {
            let value = safe(&string(attribute.attr_value())).replace(',', r"\,");
            parts.push(format!("{label}={}", shortened(value, LONGEST_PART)));
        }
    }
    parts.reverse();
    parts.truncate(MOST_PARTS);
    if parts.is_empty() { "no name".to_owned() } else { parts.join(", ") }
}

/// One name of a subject alternative name.
pub(super) fn host(bytes: &[u8]) -> String {
    shortened(safe(&String::from_utf8_lossy(bytes)), LONGEST_HOST)
}

/// `2026-03-01 12:00:00 UTC`.
pub(super) fn time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / HOUR, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `13 days`, `1 hour`: the largest unit of which there are two, rounded down.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (count, unit) = match seconds {
        _ if seconds >= 2 * DAY => (seconds / DAY, "day"),
        _ if seconds >= HOUR => (seconds / HOUR, "hour"),
        _ => (seconds / 60, "minute"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// By days since 1970, in the calendar that never began: proleptic Gregorian. Years are counted from
/// March, so that the leap day is the last of a year (the algorithm is Howard Hinnant's).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era.saturating_mul(400) + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Letters, digits and what is printable of ASCII; the rest as Rust writes it in a string.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(LONGEST_HOST + 1) {
        if c.is_alphanumeric() || c == ' ' || (c.is_ascii_graphic() && c != '\\') {
            out.push(c);
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "{}", c.escape_default());
        }
    }
    out
}

/// `text` up to so many characters.
pub(super) fn shortened(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Of the string types that names are made of: all but two hold ASCII or UTF-8.
fn string(value: &Any<'_>) -> String {
    const BMP: u32 = 30;
    if value.tag().0 == BMP {
        let (pairs, _) = value.data.as_chunks::<2>();
        let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
        return char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    String::from_utf8_lossy(value.data).into_owned()
}

const ATTRIBUTES: &[(&[u8], &str)] = &[
    (&oid!(raw 2.5.4.3), "CN"),
    (&oid!(raw 2.5.4.6), "C"),
    (&oid!(raw 2.5.4.10), "O"),
    (&oid!(raw 2.5.4.11), "OU"),
];
const MOST_PARTS: usize = 6;
const LONGEST_PART: usize = 64;
/// As long as a name in DNS can be.
const LONGEST_HOST: usize = 253;
pub(super) const DAY: i64 = 86_400;
const HOUR: i64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_times_as_date_does() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (-62_167_219_200, "0000-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(time(seconds), expected);
        }
        // Never a panic, whatever it says.
        assert!(time(i64::MAX).ends_with("UTC") && time(i64::MIN).ends_with("UTC"));
    }

    #[test]
    fn tells_spans_in_their_largest_unit() {
        for (seconds, expected) in [
            (-5, "0 minutes"),
            (119, "1 minute"),
            (3600, "1 hour"),
            (2 * DAY - 1, "47 hours"),
            (2 * DAY, "2 days"),
            (14 * DAY - 1, "13 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn lets_no_character_act_on_the_terminal() {
        assert_eq!(host(b"a.example"), "a.example");
        assert_eq!(host("b\u{fc}cher \u{6f22}".as_bytes()), "b\u{fc}cher \u{6f22}");
        assert_eq!(host("\u{1b}[2J\n\u{202e}x\u{200b}\\".as_bytes()), r"\u{1b}[2J\n\u{202e}x\u{200b}\\");
        assert_eq!(host(&[0xff, b'a']), r"\u{fffd}a");
        assert_eq!(host(&[b'a'; 500]), format!("{}...", "a".repeat(253)));
        assert_eq!(host(&[0; 500]).chars().count(), 256);
    }
}
