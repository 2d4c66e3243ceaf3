//! Where a redirect leads.
//!
//! Owns that it leads to the host that the configuration names, whatever the path says: one slash begins
//! the path, since browsers take `//evil.test` and `/\evil.test` for another host (CWE-601), and nothing
//! that could end a field line is left unescaped.

use fluxheim_config::Redirect;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::template::{Values, render};

/// The value of `Location` (RFC 9110 section 10.2.2).
#[must_use]
pub fn location(redirect: &Redirect, values: &Values<'_>) -> String {
    let origin = redirect.origin.as_ref().map(|origin| render(origin, values)).unwrap_or_default();
    join(&origin, &render(&redirect.target, values))
}

/// The same place over TLS.
#[must_use]
pub fn over_tls(host: &str, path: &str, query: Option<&str>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    join(&format!("https://{host}"), &format!("{path}{query}"))
}

fn join(origin: &str, target: &str) -> String {
    let slashes = target.len() - target.trim_start_matches(['/', '\\']).len();
    let (start, rest) = target.split_at_checked(slashes).unwrap_or(("", target));
    let slash = if start.is_empty() { "" } else { "/" };
    format!("{origin}{slash}{}", utf8_percent_encode(rest, UNSAFE))
}

/// What no URL holds as it is (RFC 3986 section 2).
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::super::template::tests::with;
    use super::*;

    fn to(origin: Option<&str>, target: &str, path: &str) -> String {
        let redirect = Redirect {
            to: String::new(),
            origin: origin.map(|origin| origin.parse().unwrap()),
            target: target.parse().unwrap(),
            status: 308,
        };
        with("a.test", path, |values| location(&redirect, values))
    }

    #[test]
    fn leads_where_the_configuration_says() {
        assert_eq!(to(Some("https://{host}"), "{path}{query}", "/x/y"), "https://a.test/x/y?a=1");
        assert_eq!(to(Some("https://b.test"), "", "/x"), "https://b.test");
        assert_eq!(to(None, "/new{path}", "/x"), "/new/x");
        assert_eq!(over_tls("::1", "/x", Some("a=b")), "https://[::1]/x?a=b");
    }

    #[test]
    fn never_leads_to_a_host_that_a_path_names() {
        for path in ["//evil.test", "/\\evil.test", "///evil.test/", "/\\/evil.test"] {
            assert_eq!(to(None, "{path}", path).trim_end_matches('/'), "/evil.test", "{path}");
            assert!(to(Some("https://b.test"), "{path}", path).starts_with("https://b.test/evil.test"));
            assert!(over_tls("b.test", path, None).starts_with("https://b.test/evil.test"), "{path}");
        }
    }

    #[test]
    fn leaves_nothing_that_could_end_a_line() {
        assert_eq!(to(None, "/{path}", "/a\r\nSet-Cookie: x\u{e9}<"), "/a%0D%0ASet-Cookie:%20x%C3%A9%3C");
    }
}
