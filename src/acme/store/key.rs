//! Under what something is kept.
//!
//! Owns the spelling: one that is a file's name and a part of a Redis key, whatever it was made of.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

/// What sort of thing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An account with its key (RFC 8555 section 7.3).
    Account,
    /// A certificate with its key and what is known of it: one value, so that no half pair exists.
    Certificate,
    /// An order that is under way (RFC 8555 section 7.4).
    Order,
    /// What to answer to a CA that asks for a token (RFC 8555 section 8).
    Challenge,
    /// When what is tried again.
    Schedule,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Account, Self::Certificate, Self::Order, Self::Challenge, Self::Schedule];

    /// The folder, and the part of a Redis key.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::Certificate => "certificates",
            Self::Order => "orders",
            Self::Challenge => "challenges",
            Self::Schedule => "schedules",
        }
    }

    /// Whether it is kept in pages for secrets while it is in memory: there are private keys in it.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        match self {
            // An order holds the key of the certificate that is to come.
            Self::Account | Self::Certificate | Self::Order => true,
            Self::Challenge | Self::Schedule => false,
        }
    }
}

/// A name that can be a file's: letters, digits, `-`, `_` and `.` as they are, the rest escaped.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// That of any text: equal texts, and only those, have equal names.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut name = String::with_capacity(text.len());
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
                // Names that begin with it are not kept things.
                b'.' if at > 0 => name.push('.'),
                _ => name.push_str(&format!("%{byte:02X}")),
            }
        }
        if name.is_empty() {
            name.push('%');
        }
        if name.len() > LONGEST {
            name.truncate(LONGEST - 65);
            name.push('~');
            let hash = digest(&SHA256, text.as_bytes());
            hash.as_ref().iter().for_each(|byte| name.push_str(&format!("{byte:02x}")));
        }
        Self(name.into())
    }

    /// The name that is spelled so, if any is.
    pub(super) fn spelled(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%~".contains(&byte);
        let is_one = !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.');
        (is_one && name.bytes().all(plain)).then(|| Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Under what something is kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub name: Name,
}

impl Key {
    /// Of the account with this issuer.
    #[must_use]
    pub fn account(issuer: &str) -> Self {
        Self { kind: Kind::Account, name: Name::of(issuer) }
    }

    /// Of the certificate of that name.
    #[must_use]
    pub fn certificate(name: &str) -> Self {
        Self { kind: Kind::Certificate, name: Name::of(name) }
    }

    /// Of the order that is under way for the certificate of that name.
    #[must_use]
    pub fn order(name: &str) -> Self {
        Self { kind: Kind::Order, name: Name::of(name) }
    }

    /// Of the answer to this token.
    #[must_use]
    pub fn challenge(token: &str) -> Self {
        Self { kind: Kind::Challenge, name: Name::of(token) }
    }

    /// Of when something is tried again.
    #[must_use]
    pub fn schedule(name: &str) -> Self {
        Self { kind: Kind::Schedule, name: Name::of(name) }
    }

    /// The key that [`Display`](fmt::Display) wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|known| known.plural() == kind)?;
        Some(Self { kind, name: Name::spelled(name)? })
    }
}

/// `certificates/example.com`
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.plural(), self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Leaves room for what is put before the name of a file.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_and_odd_ones_are_escaped() {
        for (text, name) in [
            ("example.com", "example.com"),
            ("*.example.com", "%2A.example.com"),
            (".hidden", "%2Ehidden"),
            ("..", "%2E."),
            ("a/b\0", "a%2Fb%00"),
            ("a~b%", "a%7Eb%25"),
            ("2001:db8::1", "2001%3Adb8%3A%3A1"),
            ("", "%"),
        ] {
            assert_eq!(Name::of(text).as_str(), name);
        }
        let long = Name::of(&"x".repeat(201));
        assert_eq!(long.as_str().len(), LONGEST);
        assert_ne!(long, Name::of(&"x".repeat(202)));
    }

    proptest! {
        #[test]
        fn every_name_is_a_file_name_and_says_which_text_it_is_of(a in ".{0,260}", b in ".{0,260}") {
            let (first, second) = (Name::of(&a), Name::of(&b));
            prop_assert_eq!(first == second, a == b);
            prop_assert_eq!(Name::spelled(first.as_str()), Some(first.clone()));
            prop_assert!(!first.as_str().starts_with('.') && !first.as_str().contains('/'));
            let key = Key::certificate(&a);
            prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
    }
}
