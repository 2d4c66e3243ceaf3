//! Media types of files.
//!
//! Owns which type a name stands for; never looks into the file.

use std::borrow::Cow;

/// The `Content-Type` for a file of this name.
pub(in crate::edge) fn of(name: &str) -> Cow<'static, str> {
    let kind = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    // Its name since RFC 9239.
    let kind = if kind == "application/javascript" { "text/javascript" } else { kind };
    let text = kind.starts_with("text/") || kind == "image/svg+xml";
    // JSON is UTF-8 by definition and has no such parameter (RFC 8259 section 11).
    if text { format!("{kind}; charset=utf-8").into() } else { kind.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_sites_are_made_of() {
        for (name, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("A.PNG", "image/png"),
            ("a.woff2", "font/woff2"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.tar.gz", "application/gzip"),
            ("README", "application/octet-stream"),
        ] {
            assert_eq!(of(name), kind, "{name}");
        }
    }
}
