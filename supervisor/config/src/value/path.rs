//! Paths: those of requests, which routes match, and those of files.
//!
//! Owns which route paths can ever match a normalised request path (RFC 3986 sections 3.3 and
//! 5.2.4); touches no file.

use std::path::PathBuf;

use super::pattern::{self, Captures};
use crate::PathMatch;
use crate::flaw::{Flaw, show};

/// The path of a route (`/prefix`, `= /exact` or `~ regular expression`) and the groups of it.
pub(crate) fn route(text: &str) -> Result<(PathMatch, Captures), Flaw> {
    if let Some(prefix) = text.strip_prefix("^~") {
        return Err(nginx_prefix(text, prefix.trim_start_matches(' ')));
    }
    if let Some(pattern) = text.strip_prefix('~') {
        return pattern::path(pattern).map(|(pattern, captures)| (PathMatch::Regex(pattern), captures));
    }
    let path = match text.strip_prefix('=') {
        Some(path) => PathMatch::Exact(request_path(path.trim_start_matches(' '))?),
        None => PathMatch::Prefix(request_path(text)?),
    };
    Ok((path, Captures::default()))
}

/// The path of a file or folder, not yet resolved.
pub(crate) fn file(text: &str) -> Result<PathBuf, Flaw> {
    if text.is_empty() {
        return Err(Flaw::new("the path is empty"));
    }
    if text.contains('\0') {
        return Err(Flaw::new(format!("{} has a NUL character", show(text))));
    }
    Ok(PathBuf::from(text))
}

/// A path as normalised requests have it.
pub(crate) fn request_path(path: &str) -> Result<String, Flaw> {
    let flawed = |what: &str| Flaw::new(format!("{} {what}", show(path)));
    if !path.starts_with('/') {
        // What begins with a sign is no path that lacks a slash.
        let lacks_it = path.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        let help = if lacks_it { format!("write {}", show(&format!("/{path}"))) } else { FORMS.to_owned() };
        return Err(flawed("does not start with /").help(help));
    }
    if path.len() > 4096 {
        return Err(flawed("is longer than 4096 characters"));
    }
    if path.contains("//") {
        return Err(flawed("has an empty segment, which no request path has after normalisation"));
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(flawed("has a dot segment, which no request path has after normalisation"));
    }
    match path.chars().find(|c| !is_path_character(*c)) {
        None => Ok(path.to_owned()),
        Some(c) => Err(refused_character(path, c)),
    }
}

/// How nginx writes a prefix that regular expressions don't override; none does here.
fn nginx_prefix(text: &str, prefix: &str) -> Flaw {
    let flaw = Flaw::new(format!("{} begins with ^~", show(text)));
    match prefix.starts_with('/') {
        true => {
            flaw.help(format!("write {}: a prefix is not overridden by regular expressions", show(prefix)))
        }
        false => flaw.help(FORMS),
    }
}

/// What a path may be.
const FORMS: &str = "write a prefix \"/x\", an exact path \"= /x\", or a regular expression \"~ ^/x$\"";

/// `pchar` of RFC 3986 without percent-encoding, and the slash.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c)
}

fn refused_character(path: &str, c: char) -> Flaw {
    let flaw = |what: String| Flaw::new(format!("{} {what}", show(path)));
    match c {
        '?' => flaw("has a query".into()).help("routes match the path only"),
        '#' => flaw("has a fragment".into()).help("fragments are never sent to a server"),
        '%' => flaw("has percent-encoding".into()).help("give a prefix that needs none"),
        c => flaw(format!("has the character {}, which is not allowed", show(c.encode_utf8(&mut [0; 4])))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prefix_and_exact_paths() {
        let route = |text| route(text).unwrap().0;
        assert_eq!(route("/"), PathMatch::Prefix("/".into()));
        assert_eq!(route("/api/"), PathMatch::Prefix("/api/".into()));
        assert_eq!(route("= /x"), PathMatch::Exact("/x".into()));
        assert_eq!(route("=/.well-known/x"), PathMatch::Exact("/.well-known/x".into()));
        assert_eq!(route("~ ^/u$"), PathMatch::Regex("^/u$".into()));
    }

    #[test]
    fn says_what_is_wrong_with_a_route_path() {
        for (text, said) in [
            ("", "does not start with /"),
            ("api", "does not start with /"),
            ("= api", "does not start with /"),
            ("~ ^/(u", "is no regular expression"),
            ("/a?b", "query"),
            ("/a#b", "fragment"),
            ("/a%20b", "percent-encoding"),
            ("/a//b", "empty segment"),
            ("/a/../b", "dot segment"),
            ("/.", "dot segment"),
            ("/a b", "not allowed"),
            ("/é", "not allowed"),
            ("/a\\b", "not allowed"),
            ("/\u{7f}", "not allowed"),
        ] {
            assert!(route(text).unwrap_err().message.contains(said), "{text}");
        }
    }

    #[test]
    fn shows_the_forms_where_no_slash_is_all_that_lacks() {
        let help = |text| route(text).unwrap_err().help.unwrap();
        assert_eq!(help("api"), "write \"/api\"");
        assert_eq!(help("^~ /ws"), "write \"/ws\": a prefix is not overridden by regular expressions");
        for other in ["^~ ws", "^/ws", "@ws", "*", "!~ /ws", ""] {
            assert_eq!(help(other), FORMS, "{other}");
        }
    }

    #[test]
    fn refuses_file_paths_the_kernel_cannot_open() {
        assert!(file("").is_err() && file("a\0b").is_err());
    }
}
