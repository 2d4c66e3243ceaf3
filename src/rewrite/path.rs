//! The path that is asked for in place of the requested one.
//!
//! Owns how prefixes are taken off and put on: by whole segments of the normalised path, never by
//! characters of the one that was sent. What comes out is normalised again, and refused where that can't
//! be done (CVE-2026-40912 and others like it: `/api../admin` less `/api` was `../admin`).

use fluxheim_config::{PathMatch, Rewrite};

use super::template::{Values, render};
use crate::types::Path;

/// The path to ask for, by the rewrite of a route whose own path is `own`; `None` if it has no form that
/// all readers agree on.
#[must_use]
pub fn rewritten(rewrite: &Rewrite, own: &PathMatch, path: &Path, values: &Values<'_>) -> Option<Path> {
    let path = path.as_str();
    let text = match rewrite {
        Rewrite::Prefix { strip, add } => {
            let rest = strip.as_ref().and_then(|strip| less(path, strip)).unwrap_or(path);
            let rest = if rest.is_empty() { "/" } else { rest };
            format!("{}{rest}", add.as_deref().unwrap_or("").trim_end_matches('/'))
        }
        Rewrite::Replace(new) => replaced(path, own, new),
        Rewrite::Path(template) => render(template, values),
    };
    Path::parse(&text)
}

/// `path` without the segments of `prefix` that it begins with: nothing, or what begins with a slash.
fn less<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// As Kubernetes' Gateway API has it: `/foo` for `/bar` makes `/bar/x` of `/foo/x`.
fn replaced(path: &str, own: &PathMatch, new: &str) -> String {
    let own = match own {
        PathMatch::Exact(own) | PathMatch::Prefix(own) => own,
        // The configuration refuses to replace what has no prefix.
        PathMatch::Regex(_) => return path.to_owned(),
    };
    match less(path, own) {
        None => path.to_owned(),
        Some("") => new.to_owned(),
        Some(rest) => format!("{}{rest}", new.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::with;
    use super::*;

    fn by(rewrite: &Rewrite, own: &str, path: &str) -> Option<String> {
        let own = PathMatch::Prefix(own.to_owned());
        let path = Path::parse(path).unwrap();
        let path = with("a.test", path.as_str(), |values| rewritten(rewrite, &own, &path, values));
        path.map(|path| path.as_str().to_owned())
    }

    fn prefix(strip: Option<&str>, add: Option<&str>) -> Rewrite {
        Rewrite::Prefix { strip: strip.map(str::to_owned), add: add.map(str::to_owned) }
    }

    #[test]
    fn takes_off_and_puts_on_whole_segments() {
        for (strip, add, path, is) in [
            (Some("/api"), None, "/api/x", "/x"),
            (Some("/api/"), None, "/api/x/", "/x/"),
            (Some("/api"), None, "/api", "/"),
            (Some("/api"), None, "/apis/x", "/apis/x"),
            (Some("/api"), None, "/api..%41/x", "/api..A/x"),
            (Some("/api"), None, "//api///x", "/x"),
            (None, Some("/v2/"), "/x", "/v2/x"),
            (Some("/api"), Some("/v2"), "/api", "/v2/"),
            (Some("/api"), Some("/"), "/api/x", "/x"),
        ] {
            assert_eq!(by(&prefix(strip, add), "/", path).as_deref(), Some(is), "{path}");
        }
    }

    #[test]
    fn replaces_prefixes_as_the_gateway_api_does() {
        for (own, new, path, is) in [
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz", "/foo", "/xyz"),
            ("/foo", "/xyz", "/foo/", "/xyz/"),
            ("/foo", "/", "/foo/bar", "/bar"),
            ("/foo", "/", "/foo/", "/"),
            ("/foo", "/", "/foo", "/"),
            ("/", "/xyz", "/bar", "/xyz/bar"),
        ] {
            assert_eq!(
                by(&Rewrite::Replace(new.into()), own, path).as_deref(),
                Some(is),
                "{own} {new} {path}"
            );
        }
    }

    #[test]
    fn what_a_template_makes_is_normalised_or_refused() {
        let path = |template: &str| Rewrite::Path(template.parse().unwrap());
        assert_eq!(by(&path("/{path}"), "/", "/a").as_deref(), Some("/a"));
        assert_eq!(by(&path("/t/{host}{path}"), "/", "/a%2fb").as_deref(), Some("/t/a.test/a%2Fb"));
        assert_eq!(by(&path("/%61{path}"), "/", "/%2541").as_deref(), Some("/a/%2541"));
        for escaping in ["/a/..{path}", "/{path}/../b", "/%2e%2e{path}", "/a/..%2f{path}"] {
            assert_eq!(by(&path(escaping), "/", "/x"), None, "{escaping}");
        }
    }
}
