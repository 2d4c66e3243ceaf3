//! Which environment variables look like secrets.
//!
//! Owns that guess, by name and by form; prints no value. Secrets belong in files: the environment
//! is inherited by every child, shown by `docker inspect` and kept in /proc/PID/environ.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether a variable most likely holds a secret, rather than the path of one.
#[must_use]
pub fn looks_secret(name: &OsStr, value: &OsStr) -> bool {
    let (name, value) = (name.to_string_lossy().to_ascii_uppercase(), value.as_bytes());
    let named = WORDS.iter().any(|word| name.contains(word))
        || ENDINGS.iter().any(|end| name.ends_with(end))
        || name.split('_').any(|part| PARTS.iter().any(|word| part.ends_with(word)));
    let is_name = NAMES.iter().any(|end| name.ends_with(end));
    let is_path = value.first() == Some(&b'/') && Path::new(OsStr::from_bytes(value)).exists();
    let marked = MARKS.iter().any(|mark| value.starts_with(mark));
    let named = named && !is_name && !is_path && !is_service_link(&name);
    !value.is_empty() && (named || marked || has_key(value) || has_password(value))
}

/// The names of this process's variables that look like secrets, sorted; of very many, some.
#[must_use]
pub fn secrets() -> Vec<String> {
    let found = std::env::vars_os().filter(|(name, value)| looks_secret(name, value));
    let mut names: Vec<_> = found.map(|(name, _)| shown(&name.to_string_lossy())).collect();
    names.sort();
    let more = names.len().saturating_sub(MOST);
    if more > 0 {
        names.truncate(MOST);
        names.push(format!("and {more} more"));
    }
    names
}

/// Names are whatever somebody set; a report is read by people.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// What Kubernetes and Docker set for the services they know: `NAME_SERVICE_HOST`, `NAME_PORT_80_TCP`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_PORT")
}

/// The armour of a PEM or OpenSSH private key.
fn has_key(value: &[u8]) -> bool {
    let mark = b"PRIVATE KEY-----";
    value.windows(mark.len()).any(|part| part == mark)
}

/// `user:password@host`, with or without `scheme://` before it.
fn has_password(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

const WORDS: [&str; 8] =
    ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "PRIVATE_KEY", "APIKEY", "ACCESS_KEY"];
/// At the end of a part of the name, so that TOKENIZER is none.
const PARTS: [&str; 4] = ["TOKEN", "TOKENS", "BEARER", "HMAC"];
const ENDINGS: [&str; 3] = ["_KEY", "_PASS", "_PWD"];
/// What stands for a secret's place or number, not for the secret.
const NAMES: [&str; 6] = ["_FILE", "_PATH", "_DIR", "_URL", "_NAME", "KEY_ID"];
/// How well-known tokens begin.
const MARKS: [&[u8]; 5] = [b"sk_live_", b"ghp_", b"github_pat_", b"glpat-", b"xoxb-"];

/// Enough to find them; a handoff has no room for all that somebody could set.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(name: &str, value: &str) -> bool {
        looks_secret(OsStr::new(name), OsStr::new(value))
    }

    #[test]
    fn finds_what_people_put_there() {
        for (name, value) in [
            ("AWS_SECRET_ACCESS_KEY", "wJalr"),
            ("github_token", "ghp_x"),
            ("DB_PASSWORD", "x"),
            ("TLS_KEY", "MIIE"),
            ("CONFIG", "-----BEGIN PRIVATE KEY-----\nMII"),
            ("DATABASE_URL", "postgres://app:hunter2@db/app"),
            ("DATABASE_DSN", "app:hunter2@tcp(db)/app"),
            ("API_TOKEN", "/wJalrXUtnFEMI/K7MDENG"),
            ("VAULT_SECRET_ID", "84896a0c"),
            ("STRIPE", "sk_live_4eC39HqLyjWDarj"),
            ("AUTH_BEARER", "x"),
        ] {
            assert!(looks(name, value), "{name}");
        }
    }

    #[test]
    fn leaves_paths_and_ordinary_variables_alone() {
        for (name, value) in [
            ("TLS_KEY_FILE", "/run/secrets/key"),
            ("SECRET_PATH", "secrets"),
            ("TLS_KEY", "/proc/self/status"),
            ("DB_PASSWORD", ""),
            ("PATH", "/usr/bin"),
            ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("WHO", "http://user@host/a:b@c"),
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("TOKENIZER", "bpe"),
            ("TOKEN_SERVICE_SERVICE_HOST", "10.0.0.1"),
            ("TOKEN_SERVICE_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ] {
            assert!(!looks(name, value), "{name}");
        }
    }
}
