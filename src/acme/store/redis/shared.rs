//! What a replica knows of the server, and what it asks of it.
//!
//! Owns what is refused: a value that does not open, one that is older than what this process has seen
//! before, and versions that no replica writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::layout::{HEAD_END, Layout, split};
use super::link::{Link, LinkError};
use super::resp::{Malformed, Reply};
use super::seal::{Seals, Unopened};
use super::{now, scripts};
use crate::acme::store::{Entry, Expect, Key, Kind, MOST_KEYS, Name, StoreError, Version};

/// What the tasks of a store share.
pub(in crate::acme::store) struct Shared {
    link: Link,
    seals: Seals,
    layout: Layout,
    /// The latest version of each key that was seen or written here.
    seen: Mutex<HashMap<Key, u64>>,
    /// What was sealed anew here, once each: replicas that disagree on the key must not take turns for ever.
    resealed: Mutex<HashSet<Key>>,
}

/// What a change writes.
pub(super) enum Write<'a> {
    /// What is sealed as that version.
    Value(Version, &'a [u8]),
    /// That it is gone, and as which version.
    Removal(Version),
}

/// What a key has on the server.
pub(super) struct There {
    pub version: Option<Version>,
    /// The same, or that of its removal.
    pub latest: Option<Version>,
}

impl Shared {
    pub(super) fn new(link: Link, seals: Seals, layout: Layout) -> Self {
        Self { link, seals, layout, seen: Mutex::default(), resealed: Mutex::default() }
    }

    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) async fn load(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let kept = match self.ask(&[b"GET", self.layout.value(key).as_bytes()]).await? {
            Reply::Nothing => return Ok(None),
            Reply::Bytes(kept) => kept,
            _ => return Err(self.odd()),
        };
        let (version, sealed) = match split(&kept) {
            (version, Some(sealed)) => (known(key, version)?, sealed),
            (removal, None) => return known(key, removal).map(|_| None),
        };
        let value = self.seals.open(key, version, sealed).map_err(|unopened| match unopened {
            Unopened::NoMemory => StoreError::Unavailable(unopened.to_string()),
            Unopened::Form | Unopened::UnknownKey | Unopened::Broken => forged(key, &unopened),
        })?;
        if lock(&self.seen).get(key).is_some_and(|seen| version.number < *seen) {
            return Err(forged(key, &PUT_BACK));
        }
        self.saw(key, version);
        let version = match self.seals.is_current(sealed) {
            true => version,
            false => self.reseal(key, version, value.as_bytes()).await,
        };
        Ok(Some(Entry { value, version }))
    }

    /// Seals with the newest key what an older one sealed; which version is there then.
    async fn reseal(&self, key: &Key, version: Version, value: &[u8]) -> Version {
        let is_first = lock(&self.resealed).insert(key.clone());
        let newer = self.next_version(key, Some(version));
        let Ok(sealed) = self.seal(key, newer, value) else { return version };
        // Where it fails the value is still there, sealed as it was.
        let write = Write::Value(newer, &sealed);
        if is_first && self.change(key, Some(version), write, None).await.is_ok() {
            self.saw(key, newer);
            return newer;
        }
        version
    }

    pub(super) fn seal(&self, key: &Key, version: Version, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let sealed = self.seals.seal(key, version, value);
        sealed.map_err(|error| StoreError::Unavailable(format!("sealing {key}: {error}")))
    }

    /// What is there as far as `expect` leaves it open; else what is expected, which the server compares.
    pub(super) async fn there(&self, key: &Key, expect: Expect) -> Result<There, StoreError> {
        if let Expect::Version(version) = expect {
            return Ok(There { version: Some(version), latest: Some(version) });
        }
        let of = self.layout.value(key);
        let Reply::Bytes(head) = self.ask(&[b"GETRANGE", of.as_bytes(), b"0", HEAD_END]).await? else {
            return Err(self.odd());
        };
        let there = match split(&head) {
            (b"", None) => There { version: None, latest: None },
            (version, Some(_)) => {
                let version = known(key, version)?;
                There { version: Some(version), latest: Some(version) }
            }
            (removal, None) => There { version: None, latest: Some(known(key, removal)?) },
        };
        match expect == Expect::Absent && there.version.is_some() {
            true => Err(StoreError::Conflict(key.clone())),
            false => Ok(there),
        }
    }

    /// Later than what is there and what was seen.
    pub(super) fn next_version(&self, key: &Key, there: Option<Version>) -> Version {
        let seen = lock(&self.seen).get(key).map(|number| Version { number: *number, mark: 0 });
        Version::after(there.into_iter().chain(seen).max(), now())
    }

    pub(super) fn saw(&self, key: &Key, version: Version) {
        // Tokens come and go, and an old one is good for nothing.
        if key.kind == Kind::Challenge {
            return;
        }
        let mut seen = lock(&self.seen);
        let number = seen.entry(key.clone()).or_default();
        *number = version.number.max(*number);
    }

    /// Writes if what is there is what is expected, and the lease is held.
    pub(super) async fn change(
        &self,
        key: &Key,
        expected: Option<Version>,
        write: Write<'_>,
        lease: Option<(&Name, &str)>,
    ) -> Result<(), StoreError> {
        let (script, version, content) = match write {
            Write::Value(version, sealed) => {
                let version = version.to_string();
                let content = [version.as_bytes(), b" ", sealed].concat();
                (scripts::PUT, version, content)
            }
            Write::Removal(version) => {
                (scripts::DELETE, version.to_string(), REMEMBERED.as_millis().to_string().into_bytes())
            }
        };
        let expected = expected.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let (name, token) = lease.map_or((None, "-"), |(name, token)| (Some(name), token));
        let keys = [self.layout.value(key), self.layout.lock(name)];
        let (channel, news) = (self.layout.channel(), key.to_string());
        let arguments = [
            expected.as_bytes(),
            version.as_bytes(),
            &content,
            channel.as_bytes(),
            news.as_bytes(),
            token.as_bytes(),
        ];
        let outcome = self.script(script, &keys, &arguments).await;
        match (&*outcome.map_err(|error| self.link.unavailable(&error))?, name) {
            (b"ok", _) => Ok(()),
            (b"lease", Some(name)) => Err(StoreError::LeaseLost(name.clone())),
            (b"conflict", _) => Err(StoreError::Conflict(key.clone())),
            _ => Err(self.odd()),
        }
    }

    /// Every key of that kind with its version; what is none of ours is left out.
    pub(super) async fn versions(&self, kind: Kind) -> Result<BTreeMap<Key, Version>, LinkError> {
        let (mut versions, mut cursor) = (BTreeMap::new(), b"0".to_vec());
        for _ in 0..MOST_PAGES {
            let (next, called) = self.page(kind, &cursor).await?;
            versions.extend(self.heads(kind, &called).await?);
            match next == b"0" {
                _ if versions.len() > MOST_KEYS => break,
                true => return Ok(versions),
                false => cursor = next,
            }
        }
        Err(LinkError::Malformed(Malformed::TooLarge))
    }

    /// Where to go on, and some of the strings; one may come twice.
    async fn page(&self, kind: Kind, cursor: &[u8]) -> Result<(Vec<u8>, Vec<String>), LinkError> {
        let pattern = self.layout.pattern(kind);
        let words = [&b"SCAN"[..], cursor, b"MATCH", pattern.as_bytes(), b"COUNT", PAGE];
        let Reply::List(parts) = self.link.ask(&words).await? else { return Err(NOT_REDIS) };
        let Ok([Reply::Bytes(next), Reply::List(called)]) = <[Reply; 2]>::try_from(parts) else {
            return Err(NOT_REDIS);
        };
        let called = called.into_iter().filter_map(|called| match called {
            Reply::Bytes(called) => String::from_utf8(called).ok(),
            _ => None,
        });
        Ok((next, called.collect()))
    }

    async fn heads(&self, kind: Kind, called: &[String]) -> Result<Vec<(Key, Version)>, LinkError> {
        if called.is_empty() {
            return Ok(Vec::new());
        }
        let Reply::List(heads) = self.eval(scripts::HEADS, called, &[]).await? else { return Err(NOT_REDIS) };
        let pairs = called.iter().zip(heads).filter_map(|(called, head)| {
            let Reply::Bytes(head) = head else { return None };
            let (version, Some(_)) = split(&head) else { return None };
            let version = std::str::from_utf8(version).ok()?.parse().ok()?;
            Some((self.layout.key_of(kind, called.as_bytes())?, version))
        });
        Ok(pairs.collect())
    }

    /// Runs a script whose answer is a word.
    pub(super) async fn script(
        &self,
        script: &str,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<Vec<u8>, LinkError> {
        match self.eval(script, keys, arguments).await? {
            Reply::Bytes(word) => Ok(word),
            _ => Err(NOT_REDIS),
        }
    }

    async fn eval(&self, script: &str, keys: &[String], arguments: &[&[u8]]) -> Result<Reply, LinkError> {
        let count = keys.len().to_string();
        let mut words = vec![&b"EVAL"[..], script.as_bytes(), count.as_bytes()];
        words.extend(keys.iter().map(String::as_bytes));
        words.extend(arguments);
        self.link.ask(&words).await
    }

    /// Whether the server did what it was asked, of commands that say `OK` or nothing.
    pub(super) async fn said_ok(&self, words: &[&[u8]]) -> Result<bool, StoreError> {
        match self.ask(words).await? {
            Reply::Status(_) => Ok(true),
            Reply::Nothing => Ok(false),
            _ => Err(self.odd()),
        }
    }

    async fn ask(&self, words: &[&[u8]]) -> Result<Reply, StoreError> {
        self.link.ask(words).await.map_err(|error| self.link.unavailable(&error))
    }

    fn odd(&self) -> StoreError {
        self.link.unavailable(&NOT_REDIS)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.link, self.seals)
    }
}

/// A version that the server names, if it can be one: later ones must still be possible.
fn known(key: &Key, text: &[u8]) -> Result<Version, StoreError> {
    let version = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Version>().ok());
    let latest = now().saturating_add(u64::try_from(FARTHEST.as_millis()).unwrap_or(u64::MAX));
    version.filter(|version| version.number <= latest).ok_or_else(|| forged(key, &NO_VERSION))
}

fn forged(key: &Key, why: &dyn fmt::Display) -> StoreError {
    StoreError::Forged { key: key.clone(), why: why.to_string() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PUT_BACK: &str =
    "an older value was put back: a restored backup, or whoever can write to the server is at work";
const NO_VERSION: &str =
    "its version is none that a replica writes: something else writes under this prefix; remove the key";
const NOT_REDIS: LinkError = LinkError::Malformed(Malformed::NotRedis);
/// Longer than any clock of a fleet is wrong.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// No clock is ahead by more than a year.
const FARTHEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// So many keys are looked at in one go: a server is held up for no longer than a millisecond.
const PAGE: &[u8] = b"1000";
/// A server with a hundred million keys of others is no place to look for ours.
const MOST_PAGES: usize = 100_000;
