//! Which environment variables look like secrets.
//!
//! Owns that guess, by name and by form; prints no value. Secrets belong in files: the environment
//! is inherited by every child, shown by `docker inspect` and kept in /proc/PID/environ.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Whether a variable most likely holds a secret, rather than the path of one.
#[must_use]
pub fn looks_secret(name: &OsStr, value: &OsStr) -> bool {
    let (name, value) = (name.to_string_lossy().to_ascii_uppercase(), value.as_bytes());
    let named = WORDS.iter().any(|word| name.contains(word)) || ENDINGS.iter().any(|end| name.ends_with(end));
    let is_path = PATHS.iter().any(|end| name.ends_with(end)) || value.first() == Some(&b'/');
    !value.is_empty() && ((named && !is_path) || has_key(value) || has_password(value))
}

/// The names of this process's variables that look like secrets, sorted.
#[must_use]
pub fn secrets() -> Vec<String> {
    let found = std::env::vars_os().filter(|(name, value)| looks_secret(name, value));
    let mut names: Vec<_> = found.map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The armour of a PEM or OpenSSH private key.
fn has_key(value: &[u8]) -> bool {
    let mark = b"PRIVATE KEY-----";
    value.windows(mark.len()).any(|part| part == mark)
}

/// `scheme://user:password@host`
fn has_password(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

const WORDS: [&str; 10] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "HMAC",
];
const ENDINGS: [&str; 3] = ["_KEY", "_PASS", "_PWD"];
const PATHS: [&str; 6] = ["_FILE", "_PATH", "_DIR", "_URL", "_NAME", "_ID"];

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
        ] {
            assert!(looks(name, value), "{name}");
        }
    }

    #[test]
    fn leaves_paths_and_ordinary_variables_alone() {
        for (name, value) in [
            ("TLS_KEY_FILE", "/run/secrets/key"),
            ("SECRET_PATH", "secrets"),
            ("TLS_KEY", "/run/secrets/key"),
            ("DB_PASSWORD", ""),
            ("PATH", "/usr/bin"),
            ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("WHO", "http://user@host/a:b@c"),
            ("AWS_ACCESS_KEY_ID", "AKIA"),
        ] {
            assert!(!looks(name, value), "{name}");
        }
    }
}
