//! Conditional requests: whether the client's copy is still the one we would send.
//!
//! Owns the comparison of validators and the order in which conditions are judged. Follows RFC 9110
//! sections 8.8 and 13.

use std::time::{Duration, SystemTime};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

/// What identifies the representation that would be sent; empty where nothing does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// As the field has it: `"x"`, or `W/"x"` for one that is not byte for byte.
    pub etag: Option<String>,
    pub modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it. A range of it only if `ranges`: what the client has of it is the same.
    Send { ranges: bool },
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Judges a GET or HEAD for a representation that exists (RFC 9110 section 13.2.2).
#[must_use]
pub fn judge(fields: &HeaderMap, validators: &Validators) -> Verdict {
    let seconds = validators.modified.map(seconds);
    if fields.contains_key(IF_MATCH) {
        if !any_tag(fields, &IF_MATCH, |tag| validators.is(tag, Comparison::Strong)) {
            return Verdict::Failed;
        }
    } else if date(fields, &IF_UNMODIFIED_SINCE).is_some_and(|since| seconds.is_some_and(|at| at > since)) {
        return Verdict::Failed;
    }
    if fields.contains_key(IF_NONE_MATCH) {
        if any_tag(fields, &IF_NONE_MATCH, |tag| validators.is(tag, Comparison::Weak)) {
            return Verdict::NotModified;
        }
    } else if date(fields, &IF_MODIFIED_SINCE).is_some_and(|since| seconds.is_some_and(|at| at <= since)) {
        return Verdict::NotModified;
    }
    Verdict::Send { ranges: if_range_holds(fields, validators, seconds) }
}

/// A date stands for the very one that was sent, not for any later one (RFC 9110 section 13.1.5).
fn if_range_holds(fields: &HeaderMap, validators: &Validators, seconds: Option<u64>) -> bool {
    let Some(value) = fields.get(IF_RANGE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    if value.starts_with('"') || value.starts_with("W/") {
        return validators.is(value, Comparison::Strong);
    }
    date(fields, &IF_RANGE).is_some_and(|date| Some(date) == seconds)
}

#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

impl Validators {
    /// RFC 9110 section 8.8.3.2; `*` is any.
    fn is(&self, tag: &str, comparison: Comparison) -> bool {
        if tag == "*" {
            return true;
        }
        let Some(own) = self.etag.as_deref() else { return false };
        match comparison {
            Comparison::Strong => own == tag && !own.starts_with("W/"),
            Comparison::Weak => opaque(own) == opaque(tag),
        }
    }
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether any entity tag in the lines of `name` fits. What follows a malformed one is not read.
fn any_tag(fields: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    let lines = fields.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(Tags).any(fits)
}

/// The entity tags of a list; commas may stand within them.
struct Tags<'t>(&'t str);

impl<'t> Iterator for Tags<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let rest = self.0.trim_start_matches([' ', '\t', ',']);
        let quote = opaque(rest);
        let end = match quote.strip_prefix('"') {
            Some(inside) => rest.len() - inside.len() + inside.find('"')? + 1,
            None => rest.starts_with('*').then_some(1)?,
        };
        let (tag, after) = rest.split_at_checked(end)?;
        self.0 = after;
        Some(tag)
    }
}

/// HTTP dates have whole seconds.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn date(fields: &HeaderMap, name: &HeaderName) -> Option<u64> {
    httpdate::parse_http_date(fields.get(name)?.to_str().ok()?).ok().map(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 500)
    }

    fn verdict(etag: &str, given: &[(&str, &str)]) -> Verdict {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        judge(&fields, &Validators { etag: Some(etag.to_owned()), modified: Some(at(1000)) })
    }

    const ALL: Verdict = Verdict::Send { ranges: true };
    const WHOLE: Verdict = Verdict::Send { ranges: false };

    #[test]
    fn judges_conditions_in_the_order_of_the_standard() {
        let then = httpdate::fmt_http_date(at(1000));
        let before = httpdate::fmt_http_date(at(999));
        let strong = |given: &[(&str, &str)]| verdict("\"x\"", given);
        assert_eq!(strong(&[]), ALL);
        assert_eq!(strong(&[("if-none-match", "\"y\", W/\"x\"")]), Verdict::NotModified);
        assert_eq!(strong(&[("if-none-match", "\"a,b\" , \"x\"")]), Verdict::NotModified);
        assert_eq!(strong(&[("if-none-match", "\"y\""), ("if-none-match", "\"x\"")]), Verdict::NotModified);
        assert_eq!(strong(&[("if-none-match", "*")]), Verdict::NotModified);
        assert_eq!(strong(&[("if-none-match", "\"y\""), ("if-modified-since", &then)]), ALL);
        assert_eq!(strong(&[("if-modified-since", &then)]), Verdict::NotModified);
        assert_eq!(strong(&[("if-modified-since", &before)]), ALL);
        assert_eq!(strong(&[("if-match", "\"x\"")]), ALL);
        assert_eq!(strong(&[("if-match", "*")]), ALL);
        assert_eq!(strong(&[("if-match", "\"y\"")]), Verdict::Failed);
        assert_eq!(strong(&[("if-match", "\"x\""), ("if-unmodified-since", &before)]), ALL);
        assert_eq!(strong(&[("if-unmodified-since", &before)]), Verdict::Failed);
        assert_eq!(strong(&[("if-unmodified-since", &then)]), ALL);
        assert_eq!(strong(&[("if-match", "\"x\""), ("if-none-match", "\"x\"")]), Verdict::NotModified);
        for broken in ["x", "\"x", "", ",,", "no date"] {
            assert_eq!(strong(&[("if-none-match", broken)]), ALL, "{broken}");
            assert_eq!(strong(&[("if-modified-since", broken)]), ALL, "{broken}");
        }
    }

    #[test]
    fn a_range_needs_the_very_same_bytes() {
        let then = httpdate::fmt_http_date(at(1000));
        let later = httpdate::fmt_http_date(at(1001));
        assert_eq!(verdict("\"x\"", &[("if-range", "\"x\"")]), ALL);
        assert_eq!(verdict("\"x\"", &[("if-range", "\"y\"")]), WHOLE);
        assert_eq!(verdict("\"x\"", &[("if-range", "W/\"x\"")]), WHOLE);
        assert_eq!(verdict("W/\"x\"", &[("if-range", "W/\"x\"")]), WHOLE);
        assert_eq!(verdict("\"x\"", &[("if-range", &then)]), ALL);
        assert_eq!(verdict("\"x\"", &[("if-range", &later)]), WHOLE);
        assert_eq!(verdict("W/\"x\"", &[("if-match", "W/\"x\"")]), Verdict::Failed);
        assert_eq!(verdict("W/\"x\"", &[("if-none-match", "\"x\"")]), Verdict::NotModified);
    }

    #[test]
    fn what_has_no_validators_is_sent() {
        let mut fields = HeaderMap::new();
        fields.insert(IF_NONE_MATCH, "\"x\"".parse().unwrap());
        fields.insert(IF_RANGE, "\"x\"".parse().unwrap());
        assert_eq!(judge(&fields, &Validators::default()), WHOLE);
    }
}
