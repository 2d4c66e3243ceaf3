//! How things are called on the server, and what a string there is made of.
//!
//! Owns names, and telling a version from what is sealed. Pure.

use super::super::{Key, Kind, Name};

/// The names of a fleet.
pub(super) struct Layout {
    prefix: String,
}

impl Layout {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn value(&self, key: &Key) -> String {
        self.prefixed(&key.to_string())
    }

    pub(super) fn lock(&self, name: Option<&Name>) -> String {
        self.prefixed(&format!("lock:{}", name.map_or("", Name::as_str)))
    }

    pub(super) fn channel(&self) -> String {
        self.prefixed("changes")
    }

    /// Of every value of that kind; neither a prefix nor a name has a character in it that a pattern knows.
    pub(super) fn pattern(&self, kind: Kind) -> String {
        self.prefixed(&format!("{}/*", kind.plural()))
    }

    /// Of which key a string is the value, if it is one of that kind.
    pub(super) fn key_of(&self, kind: Kind, called: &[u8]) -> Option<Key> {
        let rest = called.strip_prefix(self.prefix.as_bytes())?;
        Key::parse(std::str::from_utf8(rest).ok()?).filter(|key| key.kind == kind)
    }

    fn prefixed(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }
}

/// The version before the space, and what is sealed behind it; nothing is of a value that was removed.
pub(super) fn split(kept: &[u8]) -> (&[u8], Option<&[u8]>) {
    let space = kept.iter().take(LONGEST_HEAD).position(|byte| *byte == b' ');
    match space.and_then(|at| kept.split_at_checked(at)) {
        Some((version, sealed)) => (version, sealed.get(1..)),
        None => (kept, None),
    }
}

/// The last byte of a head, as GETRANGE has it.
pub(super) const HEAD_END: &[u8] = b"63";
/// A version, the space and more.
const LONGEST_HEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_again_by_what_it_is_called() {
        let layout = Layout::new("fleet:".to_owned());
        let key = Key::certificate("*.example.com");
        assert_eq!(layout.value(&key), "fleet:certificates/%2A.example.com");
        assert_eq!(layout.key_of(Kind::Certificate, layout.value(&key).as_bytes()), Some(key.clone()));
        for (kind, called) in [(Kind::Account, "fleet:certificates/a"), (Kind::Account, "other:accounts/a")] {
            assert_eq!(layout.key_of(kind, called.as_bytes()), None);
        }
    }

    #[test]
    fn a_string_is_a_version_and_perhaps_what_is_sealed() {
        assert_eq!(split(b"1-2 sealed it"), (&b"1-2"[..], Some(&b"sealed it"[..])));
        assert_eq!(split(b"1-2 "), (&b"1-2"[..], Some(&b""[..])));
        assert_eq!(split(b"1-2"), (&b"1-2"[..], None));
        assert_eq!(split(b""), (&b""[..], None));
        let long = [b'x'; 100];
        assert_eq!(split(&long), (&long[..], None));
    }
}
