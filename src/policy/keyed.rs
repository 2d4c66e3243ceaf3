//! Digests that only this process can make: what tables that outlive a request are keyed by.
//!
//! Owns the encoding that keeps two lists of parts from being the same bytes: each part goes in behind
//! its length. Nothing of a part can be told from its digest. HMAC-SHA-256 (RFC 2104).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The key of one process.
pub struct DigestKey(hmac::Key);

/// What stands for a list of parts.
pub type Digest = [u8; 32];

impl DigestKey {
    /// A key that nobody knows.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The digest of `parts`, which are in a fixed order.
    #[must_use]
    pub fn digest<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let mut digest = [0; 32];
        // Both have 32 bytes: SHA-256.
        digest.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        digest
    }
}

/// Nothing of the key.
impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_join_to_the_same_text_are_not_the_same() {
        let key = DigestKey::random().unwrap();
        let of = |parts: &[&str]| key.digest(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        for others in [&["a", "bc"][..], &["abc"], &["abc", ""], &["ab", "c", ""], &["ab:c"]] {
            assert_ne!(of(&["ab", "c"]), of(others), "{others:?}");
        }
        assert_ne!(of(&["a"]), DigestKey::random().unwrap().digest([&b"a"[..]]));
    }
}
