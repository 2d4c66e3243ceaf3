//! What is kept, which one of it, and on what terms it is replaced.

use std::fmt;
use std::str::FromStr;

use fluxheim_trust::{Secret, SecretPages};
use zeroize::Zeroizing;

/// A value that was read; wiped when dropped.
pub struct Value(Bytes);

enum Bytes {
    /// A file, of which the value is what follows `from`.
    File {
        content: Secret,
        from: usize,
    },
    Pages(SecretPages),
    Heap(Zeroizing<Vec<u8>>),
}

impl Value {
    pub(super) const fn of_file(content: Secret, from: usize) -> Self {
        Self(Bytes::File { content, from })
    }

    pub(super) const fn of_pages(pages: SecretPages) -> Self {
        Self(Bytes::Pages(pages))
    }

    pub(super) const fn of_heap(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::Heap(bytes))
    }

    /// The content. Copies made of it are the caller's to wipe.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::File { content, from } => content.as_bytes().get(*from..).unwrap_or_default(),
            Bytes::Pages(pages) => pages,
            Bytes::Heap(bytes) => bytes,
        }
    }
}

/// Only the length.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.as_bytes().len())
    }
}

/// A value, and which one of those that this key had it is.
#[derive(Debug)]
pub struct Entry {
    pub value: Value,
    pub version: Version,
}

/// Which one of the values that a key had. A later one is greater; no two are equal, not even after a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Milliseconds since 1970 when it was written, or more where the clock was behind.
    pub(super) number: u64,
    /// Chance, which tells writers apart that a clock doesn't.
    pub(super) mark: u64,
}

impl Version {
    /// One that comes after `previous` and is of `now`, in milliseconds since 1970.
    pub(super) fn after(previous: Option<Self>, now: u64) -> Self {
        let number = previous.map_or(now, |previous| now.max(previous.number.saturating_add(1)));
        Self { number, mark: rand::random() }
    }
}

/// `1764127829000-89abcdef01234567`
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.number, self.mark)
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let (number, mark) = text.split_once('-').ok_or(NoVersion)?;
        let version = Self {
            number: number.parse().map_err(|_| NoVersion)?,
            mark: u64::from_str_radix(mark, 16).map_err(|_| NoVersion)?,
        };
        // One spelling each: a sign or a missing zero is somebody else's.
        (version.to_string() == text).then_some(version).ok_or(NoVersion)
    }
}

/// A text that is no [`Version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version")]
pub struct NoVersion;

/// What must be there for a value to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there, or nothing.
    Anything,
    /// Nothing.
    Absent,
    /// The very value that was read.
    Version(Version),
}

impl Expect {
    pub(super) fn is_met_by(self, found: Option<Version>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_grow_also_when_the_clock_goes_back() {
        let first = Version::after(None, 1_000);
        let second = Version::after(Some(first), 500);
        let third = Version::after(Some(second), 2_000);
        assert_eq!([first.number, second.number, third.number], [1_000, 1_001, 2_000]);
        assert!(first < second && second < third);
    }

    #[test]
    fn versions_have_one_spelling() {
        let version = Version { number: 12, mark: 0xab };
        assert_eq!(version.to_string(), "12-00000000000000ab");
        assert_eq!("12-00000000000000ab".parse(), Ok(version));
        for text in ["12-ab", "+12-00000000000000ab", "12", "012-00000000000000ab", "12-00000000000000AB", ""]
        {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text}");
        }
    }
}
