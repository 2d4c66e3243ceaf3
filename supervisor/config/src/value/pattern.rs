//! Regular expressions: what the `regex` crate of the proxy will take, judged without building one.
//!
//! Owns syntax, names of captures and a bound on the compiled size. Patterns are read as bytes are
//! matched, without Unicode: `\d` is `[0-9]`, `.` is any byte but a line feed. Matching takes time in
//! proportion to the text, whatever the pattern.

use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::{Error, ParserBuilder};

use crate::flaw::{Flaw, show};

/// What the groups of a pattern are called; the first is number 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Captures {
    names: Vec<Option<String>>,
}

impl Captures {
    /// Whether the pattern has a group with that number.
    pub(crate) fn has(&self, number: usize) -> bool {
        (1..=self.names.len()).contains(&number)
    }

    /// The number of the group with that name.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        Some(self.names.iter().position(|known| known.as_deref() == Some(name))? + 1)
    }
}

/// A pattern for request paths, which are ASCII once normalised, and its groups.
pub(crate) fn path(text: &str) -> Result<(String, Captures), Flaw> {
    // nginx's spelling of a pattern that ignores case.
    let pattern = match text.strip_prefix('*') {
        Some(pattern) => format!("(?i){}", pattern.trim_start_matches(' ')),
        None => text.trim_start_matches(' ').to_owned(),
    };
    if !pattern.is_ascii() {
        let flaw = Flaw::new(format!("{} has characters beyond ASCII", show(&pattern)));
        return Err(flaw.help("write them percent-encoded, in upper case, as they stand in a request"));
    }
    let captures = check(&pattern)?;
    Ok((pattern, captures))
}

/// A pattern for values of header fields and of the query.
pub(crate) fn value(text: &str) -> Result<String, Flaw> {
    let pattern = text.trim_start_matches(' ');
    check(pattern).map(|_| pattern.to_owned())
}

fn check(pattern: &str) -> Result<Captures, Flaw> {
    if pattern.is_empty() {
        return Err(Flaw::new("the regular expression is empty").help("write one after the ~"));
    }
    if pattern.len() > LONGEST {
        return Err(Flaw::new(format!("the regular expression is longer than {LONGEST} bytes")));
    }
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).nest_limit(DEEPEST).build();
    let hir = parser.parse(pattern).map_err(|error| unreadable(pattern, &error))?;
    if size(&hir) > LARGEST {
        let flaw = Flaw::new(format!("the regular expression {} is too large once built", show(pattern)));
        return Err(flaw.help("repeat less, or give several routes"));
    }
    let mut captures = Captures::default();
    collect(&hir, &mut captures);
    Ok(captures)
}

fn unreadable(pattern: &str, error: &Error) -> Flaw {
    let (what, at) = match error {
        Error::Parse(error) => (error.kind().to_string(), error.span().start.offset),
        Error::Translate(error) => (error.kind().to_string(), error.span().start.offset),
        // The crate may grow others; they have no place.
        other => (other.to_string().replace('\n', " "), 0),
    };
    Flaw::new(format!("{} is no regular expression: {what}, at byte {}", show(pattern), at + 1))
}

fn collect(hir: &Hir, captures: &mut Captures) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            let index = usize::try_from(capture.index).unwrap_or(0);
            if captures.names.len() < index {
                captures.names.resize(index, None);
            }
            if let Some(slot) = index.checked_sub(1).and_then(|at| captures.names.get_mut(at)) {
                *slot = capture.name.as_deref().map(str::to_owned);
            }
            collect(&capture.sub, captures);
        }
        HirKind::Repetition(repetition) => collect(&repetition.sub, captures),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| collect(part, captures));
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

/// The states of the machine that a pattern becomes, counted generously.
fn size(hir: &Hir) -> usize {
    let all = |parts: &[Hir]| parts.iter().fold(1_usize, |sum, part| sum.saturating_add(size(part)));
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() + 1,
        // Each range of characters becomes up to four sequences of bytes.
        HirKind::Class(Class::Unicode(class)) => class.ranges().len().saturating_mul(16) + 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(repetition.min).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX).saturating_add(1);
            size(&repetition.sub).saturating_add(1).saturating_mul(times)
        }
        HirKind::Capture(capture) => size(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
    }
}

/// Bytes of a pattern.
const LONGEST: usize = 1024;
/// Groups and repetitions within each other.
const DEEPEST: u32 = 32;
/// States: some hundred kilobytes once built.
const LARGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_groups_of_a_pattern() {
        let (text, captures) = path(r" ^/u/(?<id>\d+)(?:/x)?/([a-z]+)$").unwrap();
        assert_eq!(text, r"^/u/(?<id>\d+)(?:/x)?/([a-z]+)$");
        assert_eq!((captures.number("id"), captures.number("no")), (Some(1), None));
        assert!(captures.has(1) && captures.has(2) && !captures.has(3) && !captures.has(0));
        assert_eq!(path("* \\.PHP$").unwrap().0, "(?i)\\.PHP$");
    }

    #[test]
    fn says_what_is_wrong_with_a_pattern() {
        for (text, said) in [
            ("", "is empty"),
            ("(", "unclosed group, at byte 1"),
            ("a{", "at byte"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=a)", "look-around"),
            (r"\p{Greek}", "at byte"),
            ("/é", "beyond ASCII"),
            ("(((a{100}){100}){100}){100}", "too large"),
            (&"a".repeat(1025), "longer than 1024"),
            (&"(".repeat(500), "at byte"),
        ] {
            let flaw = path(text).unwrap_err();
            assert!(flaw.message.contains(said) && !flaw.message.contains('\n'), "{text}: {}", flaw.message);
        }
    }
}
