//! A kept value as bytes: one line that says of what it is, then the value.
//!
//! Owns the format, and telling a whole record from a damaged one. Pure.

use std::str;

use aws_lc_rs::digest::{Context, Digest, SHA256};

use super::{Key, Version};

/// Why bytes are no record of that key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("it does not begin as such a file does")]
    Head,
    /// Not damaged, but not to be read either.
    #[error("it was written by a later version of Fluxheim, in format {0}")]
    Format(String),
    #[error("it is of {0}")]
    OtherKey(String),
    #[error("{found} bytes of {announced}")]
    Length { announced: usize, found: usize },
    #[error("its checksum does not fit its content")]
    Checksum,
}

/// The line before `value`.
pub(super) fn head(key: &Key, version: Version, value: &[u8]) -> String {
    let facts = format!("{MAGIC} {FORMAT} {key} {version} {}", value.len());
    let checksum = hex(&checksum(&facts, value));
    format!("{facts} {checksum}\n")
}

/// Which version of `key`'s value `record` is, and where in it the value begins.
pub(super) fn open(key: &Key, record: &[u8]) -> Result<(Version, usize), Damage> {
    let end = record.iter().take(LONGEST_HEAD).position(|byte| *byte == b'\n').ok_or(Damage::Head)?;
    let (line, rest) = record.split_at(end);
    let line = str::from_utf8(line).map_err(|_| Damage::Head)?;
    let value = rest.get(1..).unwrap_or_default();
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(Damage::Head);
    if word()? != MAGIC {
        return Err(Damage::Head);
    }
    let (format, of, version, len, sum) = (word()?, word()?, word()?, word()?, word()?);
    if format != FORMAT {
        return Err(Damage::Format(format.to_owned()));
    }
    let announced: usize = len.parse().map_err(|_| Damage::Head)?;
    if announced != value.len() {
        return Err(Damage::Length { announced, found: value.len() });
    }
    let facts = line.strip_suffix(sum).and_then(|facts| facts.strip_suffix(' ')).ok_or(Damage::Head)?;
    if hex(&checksum(facts, value)) != sum {
        return Err(Damage::Checksum);
    }
    if Key::parse(of).as_ref() != Some(key) {
        return Err(Damage::OtherKey(of.to_owned()));
    }
    Ok((version.parse().map_err(|_| Damage::Head)?, end + 1))
}

fn checksum(facts: &str, value: &[u8]) -> Digest {
    let mut sum = Context::new(&SHA256);
    sum.update(facts.as_bytes());
    sum.update(value);
    sum.finish()
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const MAGIC: &str = "fluxheim-state";
const FORMAT: &str = "1";
/// A key of 213 bytes, and numbers.
const LONGEST_HEAD: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(key: &Key, value: &[u8]) -> (Version, Vec<u8>) {
        let version = Version { number: 7, mark: 9 };
        (version, [head(key, version, value).as_bytes(), value].concat())
    }

    #[test]
    fn says_what_is_wrong() {
        let key = Key::certificate("example.com");
        let (version, good) = record(&key, b"KEY\nand chain");
        assert_eq!(
            open(&key, &good).map(|(found, from)| (found, good[from..].to_vec())),
            Ok((version, b"KEY\nand chain".to_vec()))
        );
        let other = Damage::OtherKey("certificates/example.com".to_owned());
        assert_eq!(open(&Key::certificate("b.example"), &good), Err(other));
        let cut = Damage::Length { announced: 13, found: 12 };
        assert_eq!(open(&key, &good[..good.len() - 1]), Err(cut));
        let later = String::from_utf8(good).unwrap().replacen("state 1", "state 2", 1);
        assert_eq!(open(&key, later.as_bytes()), Err(Damage::Format("2".to_owned())));
        for odd in [&b""[..], b"\n", b"-----BEGIN PRIVATE KEY-----\n", &[0; 4096]] {
            assert_eq!(open(&key, odd), Err(Damage::Head));
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_a_changed_byte_is_noticed(
            name in ".{0,40}",
            value in proptest::collection::vec(any::<u8>(), 0..400),
            at in any::<prop::sample::Index>(),
            by in 1_u8..,
        ) {
            let key = Key::account(&name);
            let (version, mut bytes) = record(&key, &value);
            let (found, from) = open(&key, &bytes).unwrap();
            prop_assert_eq!((found, &bytes[from..]), (version, &*value));
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert!(open(&key, &bytes).is_err());
        }
    }
}
