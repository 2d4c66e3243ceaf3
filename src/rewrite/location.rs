//! Where an upstream sends its client, as that client can follow it: `Location`, `Content-Location` and `Refresh`.
//!
//! Owns what becomes of such a reference. What names a server of the upstream is made relative to what the client asked
//! for (RFC 9110 section 10.2.2 allows that), so that scheme, host and port are the client's own, and nothing that a
//! request says gets into them. Prefixes that the route took off or put on are put back by whole segments. Any other
//! reference is left as it is.

use fluxheim_config::{PathMatch, Rewrite, UpstreamLocation};

/// How a route sees such references.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub how: UpstreamLocation,
    /// What the upstream may call itself, besides the host that the client asked for.
    pub names: &'a [String],
    /// The client's own.
    pub host: &'a str,
    pub rewrite: Option<&'a Rewrite>,
    pub route: &'a PathMatch,
}

/// The reference for the client; `None` if it stays.
#[must_use]
pub fn as_seen(reference: &str, seen: &Seen<'_>) -> Option<String> {
    let Some((origin, authority, rest)) = split(reference) else {
        return local(reference, seen);
    };
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    if seen.names.iter().any(|name| same_authority(name, authority)) {
        let target = local(&rest, seen).unwrap_or(rest);
        return is_path(&target).then_some(target);
    }
    if same_authority(seen.host, authority) {
        return local(&rest, seen).map(|target| format!("{origin}{target}"));
    }
    None
}

/// The value of a `Refresh` field (the HTML standard, "shared declarative refresh steps"); `None` if it stays.
#[must_use]
pub fn refresh(value: &str, seen: &Seen<'_>) -> Option<String> {
    let at = value.find([';', ','])?;
    let (time, rest) = value.split_at(at);
    let rest = rest.get(1..)?.trim_start();
    let name = rest.get(..3).filter(|name| name.eq_ignore_ascii_case("url"))?;
    let reference = rest.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim();
    let bare = ['"', '\''].into_iter().find_map(|quote| reference.strip_prefix(quote)?.strip_suffix(quote));
    as_seen(bare.unwrap_or(reference), seen).map(|reference| format!("{time}; url={reference}"))
}

/// A path of the upstream's as the client knows it, with what follows it.
fn local(target: &str, seen: &Seen<'_>) -> Option<String> {
    if seen.how != UpstreamLocation::Prefix || !is_path(target) {
        return None;
    }
    let (path, rest) = target.split_at(target.find(['?', '#']).unwrap_or(target.len()));
    let path = put_back(path, seen.rewrite?, seen.route)?;
    is_path(&path).then(|| format!("{path}{rest}"))
}

/// The path that would have been rewritten to `path`; `None` where there is no telling.
fn put_back(path: &str, rewrite: &Rewrite, route: &PathMatch) -> Option<String> {
    match rewrite {
        Rewrite::Prefix { strip, add } => {
            let rest = match add {
                Some(add) => less(path, add)?,
                None => path,
            };
            Some(join(strip.as_deref().unwrap_or_default(), rest))
        }
        Rewrite::Replace(new) => match route {
            PathMatch::Prefix(own) | PathMatch::Exact(own) => Some(join(own, less(path, new)?)),
            PathMatch::Regex(_) => None,
        },
        Rewrite::Path(_) => None,
    }
}

fn join(prefix: &str, rest: &str) -> String {
    let stem = prefix.trim_end_matches('/');
    if rest.is_empty() && !stem.is_empty() {
        stem.to_owned()
    } else {
        format!("{stem}/{}", rest.trim_start_matches('/'))
    }
}

/// `path` without the segments of `prefix`.
fn less<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Scheme with authority, authority alone, and what follows, of an absolute URL of HTTP or one without a scheme.
fn split(reference: &str) -> Option<(&str, &str, &str)> {
    let begins =
        |with: &str| reference.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    let start = ["http://", "https://", "//"].into_iter().find(|start| begins(start))?.len();
    let after = reference.get(start..)?;
    let end = after.find(['/', '?', '#', '\\']).unwrap_or(after.len());
    Some((reference.get(..start + end)?, after.get(..end)?, after.get(end..)?))
}

/// A path and nothing that browsers take for an authority (they read `/\` as `//`).
fn is_path(target: &str) -> bool {
    target.starts_with('/') && !target.starts_with("//") && !target.contains('\\')
}

fn same_authority(one: &str, other: &str) -> bool {
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        let stem = text.strip_suffix(":80").or_else(|| text.strip_suffix(":443"));
        stem.map(str::to_owned).unwrap_or(text)
    };
    !other.is_empty() && bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(how: UpstreamLocation, rewrite: Option<Rewrite>, reference: &str) -> Option<String> {
        let names = ["app.internal:8080".to_owned(), "[::1]:80".to_owned()];
        let route = PathMatch::Prefix("/api".to_owned());
        let seen =
            Seen { how, names: &names, host: "Example.com:8443", rewrite: rewrite.as_ref(), route: &route };
        as_seen(reference, &seen)
    }

    fn strip() -> Option<Rewrite> {
        Some(Rewrite::Prefix { strip: Some("/api".to_owned()), add: None })
    }

    #[test]
    fn a_servers_own_name_is_left_out() {
        for (reference, is) in [
            ("http://app.internal:8080/x?y#z", Some("/x?y#z")),
            ("HTTPS://APP.internal:8080", Some("/")),
            ("//app.internal:8080/x", Some("/x")),
            ("http://app.internal:8080?a", Some("/?a")),
            ("http://[::1]/x", Some("/x")),
            ("http://app.internal:8080//evil.test/x", None),
            ("http://app.internal:8080/\\evil.test", None),
            ("http://app.internal:8080\\@evil.test/", None),
            ("http://app.internal/x", None),
            ("http://app.internal:8080@evil.test/x", None),
            ("http://evil.test/http://app.internal:8080/", None),
            ("https://example.com:8443/x", None),
            ("/x", None),
            ("x", None),
            ("", None),
            ("ftp://app.internal:8080/x", None),
        ] {
            assert_eq!(at(UpstreamLocation::Host, strip(), reference).as_deref(), is, "{reference}");
        }
    }

    #[test]
    fn prefixes_are_put_back_where_that_is_asked_for() {
        let added = || Some(Rewrite::Prefix { strip: Some("/api".to_owned()), add: Some("/v1/".to_owned()) });
        let replaced = || Some(Rewrite::Replace("/legacy/".to_owned()));
        let template = || Some(Rewrite::Path("/x".parse().unwrap()));
        for (rewrite, reference, is) in [
            (strip(), "/x?next=/y", Some("/api/x?next=/y")),
            (strip(), "/", Some("/api/")),
            (strip(), "http://app.internal:8080/x", Some("/api/x")),
            (strip(), "https://example.com:8443/x", Some("https://example.com:8443/api/x")),
            (strip(), "https://other.test/x", None),
            (strip(), "//evil.test/x", None),
            (strip(), "x", None),
            (added(), "/v1/x", Some("/api/x")),
            (added(), "/v1", Some("/api")),
            (added(), "/v10/x", None),
            (replaced(), "/legacy/x", Some("/api/x")),
            (replaced(), "/other", None),
            (template(), "/x", None),
            (None, "/x", None),
            (None, "http://app.internal:8080/x", Some("/x")),
        ] {
            assert_eq!(at(UpstreamLocation::Prefix, rewrite, reference).as_deref(), is, "{reference}");
        }
    }

    #[test]
    fn reads_refresh_as_browsers_do() {
        let route = PathMatch::Prefix("/api".to_owned());
        let names = ["app:80".to_owned()];
        let seen =
            Seen { how: UpstreamLocation::Host, names: &names, host: "a.test", rewrite: None, route: &route };
        for (value, is) in [
            ("5; url=http://app/x", Some("5; url=/x")),
            ("0;URL='http://app:80/x'", Some("0; url=/x")),
            ("5, url = \"http://app/x\"", Some("5; url=/x")),
            ("5; url=https://other.test/", None),
            ("5", None),
            ("5;", None),
            ("5; é", None),
        ] {
            assert_eq!(refresh(value, &seen).as_deref(), is, "{value}");
        }
    }
}
