//! Sealing: what leaves the process can be read and made only with the key of the fleet.
//!
//! Owns the keys and the form. AES-256-GCM-SIV (RFC 8452) with chance as the nonce: were one ever drawn
//! twice, that two equal values are equal is all that would show. Name and version are bound, so a sealed
//! value is good for nothing else, nowhere else. The first key seals; all of them open, for rotation.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fluxheim_trust::SecretPages;
use zeroize::Zeroizing;

use super::super::{Key, Value, Version};

/// The keys of a fleet.
pub(super) struct Seals(Vec<Seal>);

struct Seal {
    id: [u8; ID],
    key: RandomizedNonceKey,
}

/// Why a file is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSealKey {
    #[error("not 32 bytes in hex or base64: make one with `openssl rand -hex 32`")]
    Form,
    #[error("the library refuses it")]
    Library,
    #[error("there is none")]
    None,
    #[error("it is named twice")]
    Twice,
}

/// Why a sealed value is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unopened {
    #[error("it is not a sealed value: something else than Fluxheim writes under this prefix")]
    Form,
    #[error(
        "it is sealed with a key that is not among the seal key files: give every replica the same files, and keep a \
         key until all that it sealed is renewed"
    )]
    UnknownKey,
    #[error(
        "its seal is broken: it was changed, or belongs to another name or version; whoever can write to the server \
         may be at work"
    )]
    Broken,
    #[error("there is no memory for it")]
    NoMemory,
}

impl Seals {
    /// Of the content of the key files, the one that seals first.
    pub(super) fn new<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, NoSealKey> {
        let seals = files.into_iter().map(Seal::new).collect::<Result<Vec<_>, _>>()?;
        let twice = |(at, seal): (usize, &Seal)| seals.iter().take(at).any(|other| other.id == seal.id);
        match (seals.is_empty(), seals.iter().enumerate().any(twice)) {
            (true, _) => Err(NoSealKey::None),
            (false, true) => Err(NoSealKey::Twice),
            (false, false) => Ok(Self(seals)),
        }
    }

    /// `value` as it may leave the process.
    pub(super) fn seal(&self, key: &Key, version: Version, value: &[u8]) -> Result<Vec<u8>, Unopened> {
        let seal = self.0.first().ok_or(Unopened::UnknownKey)?;
        // Never grown: a copy that is left behind would be of the value.
        let mut content = Zeroizing::new(Vec::with_capacity(value.len() + TAG));
        content.extend_from_slice(value);
        let nonce = seal
            .key
            .seal_in_place_append_tag(Aad::from(bound(key, version)), &mut *content)
            .map_err(|_| Unopened::NoMemory)?;
        Ok([MAGIC, &seal.id, nonce.as_ref(), &content].concat())
    }

    /// Whether it is sealed with the key that seals, and not an older one.
    pub(super) fn is_current(&self, sealed: &[u8]) -> bool {
        let id = sealed.strip_prefix(MAGIC).and_then(|rest| rest.get(..ID));
        self.0.first().is_some_and(|seal| id == Some(&seal.id))
    }

    /// What was sealed as `version` of `key`.
    pub(super) fn open(&self, key: &Key, version: Version, sealed: &[u8]) -> Result<Value, Unopened> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(Unopened::Form)?;
        let (id, rest) = rest.split_at_checked(ID).ok_or(Unopened::Form)?;
        let (nonce, content) = rest.split_at_checked(NONCE_LEN).ok_or(Unopened::Form)?;
        let seal = self.0.iter().find(|seal| seal.id == id).ok_or(Unopened::UnknownKey)?;
        let nonce = || Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened::Form);
        let aad = Aad::from(bound(key, version));
        if key.kind.is_secret() {
            let mut pages = SecretPages::zeroed(content.len()).map_err(|_| Unopened::NoMemory)?;
            pages.copy_from_slice(content);
            let len = opened(seal.key.open_in_place(nonce()?, aad, &mut pages))?;
            pages.truncate(len);
            return Ok(Value::of_pages(pages));
        }
        let mut bytes = Zeroizing::new(content.to_vec());
        let len = opened(seal.key.open_in_place(nonce()?, aad, &mut bytes))?;
        bytes.truncate(len);
        Ok(Value::of_heap(bytes))
    }
}

fn opened(result: Result<&mut [u8], aws_lc_rs::error::Unspecified>) -> Result<usize, Unopened> {
    result.map(|value| value.len()).map_err(|_| Unopened::Broken)
}

impl Seal {
    fn new(file: &[u8]) -> Result<Self, NoSealKey> {
        let secret = secret(file.trim_ascii()).ok_or(NoSealKey::Form)?;
        let derive = |purpose: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*secret), purpose);
        let (id, key) = (derive(b"fluxheim acme seal 1: id"), derive(b"fluxheim acme seal 1: key"));
        let id = id.as_ref().first_chunk().copied().ok_or(NoSealKey::Library)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_ref()).map_err(|_| NoSealKey::Library)?;
        Ok(Self { id, key })
    }
}

/// 64 digits stand for half as many bytes, or base64 does.
fn secret(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    if text.len() == 64 {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        return Some(secret);
    }
    // The library counts in whole groups: room for one byte more than there may be.
    let mut bytes = Zeroizing::new([0; 33]);
    let length = STANDARD.decode_slice(text, &mut *bytes).ok()?;
    secret.copy_from_slice(bytes.get(..32).filter(|_| length == 32)?);
    Some(secret)
}

/// Only how many.
impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seals({})", self.0.len())
    }
}

/// What a sealed value is good for; neither part has a line's end in it.
fn bound(key: &Key, version: Version) -> Vec<u8> {
    format!("fluxheim acme seal 1\n{key}\n{version}").into_bytes()
}

const MAGIC: &[u8] = b"FXS1";
/// Bytes of a key's id.
const ID: usize = 8;
/// Bytes that sealing adds.
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &[u8] = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    const TWO: &[u8] = b"/////////////////////////////////////////wA=";

    fn version(number: u64) -> Version {
        Version { number, mark: 5 }
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (old, both) = (Seals::new([ONE]).unwrap(), Seals::new([TWO, ONE]).unwrap());
        let key = Key::certificate("a.example");
        let sealed = old.seal(&key, version(1), b"KEY").unwrap();
        assert_eq!(both.open(&key, version(1), &sealed).unwrap().as_bytes(), b"KEY");
        assert!(old.is_current(&sealed) && !both.is_current(&sealed));
        let sealed = both.seal(&key, version(1), b"KEY").unwrap();
        assert_eq!(old.open(&key, version(1), &sealed).unwrap_err(), Unopened::UnknownKey);
        assert!(!sealed.windows(3).any(|window| window == b"KEY"));
        assert_ne!(sealed, both.seal(&key, version(1), b"KEY").unwrap(), "no two look alike");
    }

    #[test]
    fn a_sealed_value_is_good_for_one_name_and_one_version() {
        let seals = Seals::new([ONE]).unwrap();
        let sealed = seals.seal(&Key::certificate("a"), version(1), b"KEY").unwrap();
        for (key, at) in [(Key::certificate("b"), 1), (Key::account("a"), 1), (Key::certificate("a"), 2)] {
            assert_eq!(seals.open(&key, version(at), &sealed).unwrap_err(), Unopened::Broken);
        }
    }

    #[test]
    fn a_key_is_the_same_in_hex_and_base64() {
        let hex = b"000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n";
        assert_eq!(Seals::new([ONE, &hex[..]]).unwrap_err(), NoSealKey::Twice);
        assert_eq!(
            Seals::new([&hex.map(|byte| if byte == b'a' { b'g' } else { byte })[..]]).unwrap_err(),
            NoSealKey::Form
        );
    }

    #[test]
    fn a_file_that_is_no_key_is_told() {
        for file in
            [&b""[..], b"secret", b"AAAA", &ONE[..20], b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ=="]
        {
            assert_eq!(Seals::new([file]).unwrap_err(), NoSealKey::Form);
        }
        assert_eq!(Seals::new([ONE, TWO, ONE]).unwrap_err(), NoSealKey::Twice);
        assert_eq!(Seals::new([]).unwrap_err(), NoSealKey::None);
    }

    proptest! {
        #[test]
        fn a_changed_byte_breaks_the_seal(
            value in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            by in 1_u8..,
        ) {
            let (seals, key) = (Seals::new([ONE]).unwrap(), Key::challenge("token"));
            let mut sealed = seals.seal(&key, version(1), &value).unwrap();
            let opened = seals.open(&key, version(1), &sealed).unwrap();
            prop_assert_eq!(opened.as_bytes(), &*value);
            let at = at.index(sealed.len());
            sealed[at] ^= by;
            prop_assert!(seals.open(&key, version(1), &sealed).is_err());
            prop_assert!(seals.open(&key, version(1), &sealed[..at]).is_err());
        }
    }
}
