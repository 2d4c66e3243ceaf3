//! A user name and password (RFC 7617).
//!
//! Owns what is read from `Authorization`, and who is asked for. The work of a hash is done where it can
//! wait its turn; that an unknown user costs the same as a wrong password is decided here.

pub mod users;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fluxheim_config::BasicAuth;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::policy::basic::users::Register;
use crate::policy::keyed::{Digest, DigestKey};

/// The rules of one route.
#[derive(Debug)]
pub struct Basic {
    pub users: Arc<Register>,
    /// For `WWW-Authenticate`.
    pub challenge: HeaderValue,
    pub forward_authorization: bool,
    pub user_header: Option<HeaderName>,
}

impl Basic {
    /// Compiles the rules; a realm or name that can't be sent falls back, which the configuration rules
    /// out.
    #[must_use]
    pub fn new(basic: &BasicAuth, users: Arc<Register>) -> Self {
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", basic.realm);
        Self {
            users,
            challenge: HeaderValue::from_str(&challenge)
                .unwrap_or(HeaderValue::from_static("Basic realm=\"restricted\"")),
            forward_authorization: basic.forward_authorization,
            user_header: basic.user_header.as_ref().and_then(|name| name.parse().ok()),
        }
    }
}

/// A name and a password as a client sent them; wiped when dropped.
pub struct Credentials {
    text: Zeroizing<String>,
    colon: usize,
}

impl Credentials {
    /// Those of the one `Authorization` field; `None` when there is none to judge.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let field = fields.next().filter(|_| fields.next().is_none())?.as_bytes();
        let (scheme, encoded) = field.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > MOST_ENCODED {
            return None;
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(encoded.len()));
        STANDARD.decode_vec(encoded.trim_ascii(), &mut bytes).ok()?;
        let text = Zeroizing::new(str::from_utf8(&bytes).ok()?.to_owned());
        let colon = text.find(':')?;
        Some(Self { text, colon })
    }

    /// Who it claims to be.
    #[must_use]
    pub fn user(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &[u8] {
        self.text.as_bytes().get(self.colon + 1..).unwrap_or_default()
    }

    /// What stands for these credentials against that hash: another name, another password and another
    /// hash in the file are each another digest.
    #[must_use]
    pub fn digest(&self, key: &DigestKey, hash: &users::Hash) -> Digest {
        key.digest([b"basic", self.user().as_bytes(), self.password(), hash.text().as_bytes()])
    }
}

/// Base64 of what no person types.
const MOST_ENCODED: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(values: &[&str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let found = Credentials::of(&headers)?;
        Some((found.user().to_owned(), String::from_utf8_lossy(found.password()).into_owned()))
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn splits_at_the_first_colon() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(credentials(&[&basic(b"ann:a:b")]), pair("ann", "a:b"));
        assert_eq!(credentials(&["bAsIc YW5uOg=="]), pair("ann", ""));
        assert_eq!(credentials(&[&basic("änn:ü".as_bytes())]), pair("änn", "ü"));
    }

    #[test]
    fn reads_nothing_from_what_is_no_basic_field() {
        for values in [
            &[][..],
            &["Basic"],
            &["Basic "],
            &["Bearer YW5uOg=="],
            &["Basic YW5u"],
            &["Basic YW5uOg"],
            &["Basic !!!!"],
            &["Basic YW5uOg==, Basic YW5uOg=="],
            &["Basic YW5uOg==", "Basic YW5uOg=="],
        ] {
            assert_eq!(credentials(values), None, "{values:?}");
        }
        assert_eq!(credentials(&[&basic(b"ann:\xff")]), None);
        assert_eq!(credentials(&[&basic(&[b':'; 4096])]), None);
    }
}
