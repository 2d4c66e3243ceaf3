//! What of a target or URL may be logged.
//!
//! Owns the rule that a log holds no secret by default: values of a query, whatever their name, and
//! userinfo are not shown. Header fields that carry credentials are never given to a log at all.

use std::borrow::Cow;

use fluxheim_config::LogQuery;

/// What stands for a value.
const HIDDEN: &str = "***";

/// A request target or the URL of a `Referer`, without fragment and userinfo, its query as `query` says.
#[must_use]
pub(super) fn url(text: &str, query: LogQuery) -> Cow<'_, str> {
    let bare = text.split('#').next().unwrap_or_default();
    let (path, asked) = match bare.split_once('?') {
        Some((path, asked)) => (path, Some(asked)),
        None => (bare, None),
    };
    let path = without_userinfo(path);
    match (asked, query) {
        (None, _) | (Some(_), LogQuery::Off) => path,
        (Some(asked), LogQuery::Full) => format!("{path}?{asked}").into(),
        (Some(asked), LogQuery::Masked) => format!("{path}?{}", masked(asked)).into(),
    }
}

/// A pair keeps its name; what is no pair could be a secret as a whole.
fn masked(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            out.push('&');
        }
        if let Some((name, _)) = pair.split_once('=') {
            out.push_str(name);
            out.push('=');
        }
        if !pair.is_empty() {
            out.push_str(HIDDEN);
        }
    }
    out
}

/// `scheme://user:password@host/path` without what is before the `@`.
fn without_userinfo(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("//") else { return url.into() };
    // A path may hold two slashes and an @ of its own.
    if !(scheme.is_empty() || scheme.ends_with(':')) || scheme.contains('/') {
        return url.into();
    }
    let authority = rest.find(['/', '\\']).map_or(rest, |end| rest.get(..end).unwrap_or(rest));
    match authority.rfind('@') {
        Some(at) => format!("{scheme}//{HIDDEN}{}", rest.get(at..).unwrap_or_default()).into(),
        None => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_every_value_of_a_query_and_keeps_its_names() {
        let masked = |text| url(text, LogQuery::Masked).into_owned();
        assert_eq!(masked("/a"), "/a");
        assert_eq!(masked("/a?"), "/a?");
        assert_eq!(masked("/a?token=s3cret&x=1&y="), "/a?token=***&x=***&y=***");
        assert_eq!(masked("/a?s3cret"), "/a?***");
        assert_eq!(masked("/a?x=1?s3cret=2&&#s3cret"), "/a?x=***&&");
        assert_eq!(masked("/a;v=1?x=a=b"), "/a;v=1?x=***");
    }

    #[test]
    fn hides_userinfo() {
        let shown = |text| url(text, LogQuery::Full).into_owned();
        assert_eq!(shown("https://user:pass@a.test/x?y=1"), "https://***@a.test/x?y=1");
        assert_eq!(shown("//user@a.test"), "//***@a.test");
        assert_eq!(shown("https://a.test/@x//y@z"), "https://a.test/@x//y@z");
        assert_eq!(shown("/a//b@c"), "/a//b@c");
    }

    #[test]
    fn shows_all_or_nothing_of_a_query_where_asked() {
        assert_eq!(url("/a?x=1", LogQuery::Full), "/a?x=1");
        assert_eq!(url("/a?x=1", LogQuery::Off), "/a");
    }
}
