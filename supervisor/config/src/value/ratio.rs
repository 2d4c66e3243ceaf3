//! Parts of a whole: `"12.5%"`.

use crate::flaw::{Flaw, show};
use crate::observing::Ratio;

/// Completes "expected ...".
pub(crate) const EXPECTED: &str = "a part such as \"10%\"";

/// Reads a percentage from 0 to 100, to four places after the point.
pub(crate) fn parse(text: &str) -> Result<Ratio, Flaw> {
    let flaw =
        || Flaw::new(format!("{} is not a part of a whole", show(text))).help("write \"0%\" to \"100%\"");
    let number = text.strip_suffix('%').ok_or_else(flaw)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| {
        (!text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u32>().ok())
            .flatten()
    };
    let whole = digits(whole, 3).ok_or_else(flaw)?;
    let part = digits(&format!("{part:0<4}"), 4).ok_or_else(flaw)?;
    let ratio = Ratio(whole * 10_000 + part);
    if part_is_empty(number) || ratio > Ratio::ALL { Err(flaw()) } else { Ok(ratio) }
}

/// `"5.%"` is a slip.
fn part_is_empty(number: &str) -> bool {
    number.ends_with('.')
}

/// Text that [`parse`] reads back.
pub(crate) fn print(ratio: Ratio) -> String {
    let (whole, part) = (ratio.0 / 10_000, ratio.0 % 10_000);
    if part == 0 {
        return format!("{whole}%");
    }
    format!("{whole}.{}%", format!("{part:04}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_percentages_and_prints_them_again() {
        for (text, millionths) in
            [("0%", 0), ("100%", 1_000_000), ("12.5%", 125_000), ("0.0001%", 1), ("7.05%", 70_500)]
        {
            let ratio = parse(text).unwrap();
            assert_eq!(ratio.millionths(), millionths, "{text}");
            assert_eq!(print(ratio), text);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "%", "5", "101%", "100.1%", "-1%", "1.00001%", "5.%", ".5%", "1e2%", "0.1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
