//! From a request's path to the file that answers it.
//!
//! Owns the order of looking: the name itself, an index for a folder, the fallback, then a packed form
//! beside what was found. Paths are opened by `fluxheim-trust`, which keeps them inside the root.

use std::time::SystemTime;

use fluxheim_config::{Coding, StaticFiles};
use fluxheim_trust::{StaticEntry, StaticError, StaticRoot};
use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::rewrite::accept;

/// A file ready to be sent.
pub(super) struct Open {
    pub(super) file: std::fs::File,
    /// Bytes.
    pub(super) len: u64,
    pub(super) modified: SystemTime,
    /// Below the root, without the ending of its coding.
    pub(super) name: String,
    pub(super) coding: Option<Coding>,
}

/// What a path leads to.
pub(super) enum Found {
    File(Open),
    /// A folder asked for without its slash: relative links in its index would break.
    AddSlash,
    /// A folder to be listed.
    Folder(String),
    Nothing,
    Forbidden,
    /// The path can be no name of a file.
    NoPath,
}

/// Looks for `path`, as admission left it.
pub(super) fn find(root: &StaticRoot, settings: &StaticFiles, path: &str, fields: &HeaderMap) -> Found {
    let Some(relative) = relative(path) else { return Found::NoPath };
    if !settings.hidden && is_hidden(&relative) {
        return Found::Nothing;
    }
    let found = match look(root, &relative) {
        Found::Folder(folder) if folder.is_empty() || folder.ends_with('/') => index(root, settings, folder),
        Found::Folder(_) => Found::AddSlash,
        Found::File(_) if relative.ends_with('/') => Found::Nothing,
        other => other,
    };
    match (found, &settings.fallback) {
        (Found::Nothing, Some(fallback)) => {
            packed(root, settings, look(root, without_root(fallback)), fields)
        }
        (found, _) => packed(root, settings, found, fields),
    }
}

/// The decoded path without its leading slash; `None` when it is no UTF-8 or holds a NUL.
fn relative(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| without_root(&decoded).to_owned())
}

fn without_root(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Whether a name on the way begins with a dot, apart from the one that is public by definition (RFC
/// 8615).
fn is_hidden(relative: &str) -> bool {
    let below = relative.strip_prefix(".well-known/").unwrap_or(relative);
    below.split('/').any(|name| name.starts_with('.'))
}

fn look(root: &StaticRoot, relative: &str) -> Found {
    match root.open(relative) {
        Ok(StaticEntry::File { file, len, modified }) => {
            Found::File(Open { file, len, modified, name: relative.to_owned(), coding: None })
        }
        Ok(StaticEntry::Directory) => Found::Folder(relative.to_owned()),
        Err(StaticError::NotFound) => Found::Nothing,
        Err(StaticError::Forbidden) => Found::Forbidden,
        Err(error) => {
            tracing::warn!(path = relative, %error, "static file can't be opened");
            Found::Nothing
        }
    }
}

fn index(root: &StaticRoot, settings: &StaticFiles, folder: String) -> Found {
    for name in &settings.index {
        match look(root, &format!("{folder}{name}")) {
            Found::Nothing | Found::Folder(_) => {}
            found => return found,
        }
    }
    if settings.listing { Found::Folder(folder) } else { Found::Nothing }
}

/// The form of a found file that the client likes best.
fn packed(root: &StaticRoot, settings: &StaticFiles, found: Found, fields: &HeaderMap) -> Found {
    let Found::File(plain) = found else { return found };
    let mut ours = settings.precompressed.clone();
    while let Some(coding) = accept::coding(fields, &ours) {
        let name = format!("{}.{}", plain.name, coding.extension());
        if let Found::File(packed) = look(root, &name) {
            return Found::File(Open { name: plain.name, coding: Some(coding), ..packed });
        }
        ours.retain(|other| *other != coding);
    }
    Found::File(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_paths_and_refuses_nul() {
        assert_eq!(relative("/a%20b").unwrap(), "a b");
        assert_eq!(relative("//etc/passwd").unwrap(), "etc/passwd");
        assert_eq!(relative("/a%00"), None);
        assert_eq!(relative("/%ff"), None);
    }

    #[test]
    fn hides_dotfiles_wherever_they_stand() {
        for hidden in [".git/config", "a/.env", ".htpasswd", "a/.b/c", ".well-known/.x", "a/.well-known/x"] {
            assert!(is_hidden(hidden), "{hidden}");
        }
        for shown in ["", "index.html", "a.b/c.d", ".well-known/security.txt", ".well-known/", "a..b/c"] {
            assert!(!is_hidden(shown), "{shown}");
        }
    }
}
