//! A Valkey or Redis server as the place, for fleets: one string a key, sealed before it leaves the process.
//!
//! Owns what a change is made of. Nothing that is decided by comparing is decided here: the server compares
//! and writes in one step. Losing the server loses nothing but time.

mod layout;
mod link;
mod lock;
mod resp;
mod scripts;
mod seal;
mod shared;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fluxheim_trust::Secret;
use tokio::sync::broadcast;

use super::changes::MOST_WAITING;
use super::lease::Hold;
use super::{Changes, Entry, Expect, Key, Kind, Lease, MOST_BYTES, Name, Store, StoreError, Version};
use layout::Layout;
use link::Link;
use seal::Seals;
use shared::{Shared, Write};

pub use link::Server;
pub(super) use lock::Held;
pub use seal::NoSealKey;

/// What is needed to keep values on a server, read and judged.
pub struct RedisSettings {
    pub server: Server,
    /// What all keys begin with.
    pub prefix: String,
    /// The content of the seal key files, the one that seals first.
    pub seal_keys: Vec<Secret>,
}

/// A server that keeps values.
#[derive(Debug)]
pub struct Redis {
    shared: Arc<Shared>,
    news: broadcast::Sender<super::Change>,
    watched: OnceLock<()>,
}

impl Redis {
    /// A place on that server, which need not be there yet.
    ///
    /// # Errors
    /// A seal key file that holds no key.
    pub fn new(settings: RedisSettings) -> Result<Self, NoSealKey> {
        let seals = Seals::new(settings.seal_keys.iter().map(Secret::as_bytes))?;
        let (news, _) = broadcast::channel(MOST_WAITING);
        let shared = Shared::new(Link::new(settings.server), seals, Layout::new(settings.prefix));
        Ok(Self { shared: Arc::new(shared), news, watched: OnceLock::new() })
    }

    /// The name and the token of a lease that is held, as far as is known here.
    fn token<'a>(&self, lease: Option<&'a Lease>) -> Result<Option<(&'a Name, &'a str)>, StoreError> {
        let Some(lease) = lease else { return Ok(None) };
        match lease.hold() {
            Hold::Server(held) if lease.is_held() && held.is_of(&self.shared) => {
                Ok(Some((lease.name(), held.token())))
            }
            Hold::Server(_) | Hold::File { .. } => Err(StoreError::LeaseLost(lease.name().clone())),
        }
    }
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.shared.load(key).await
    }

    async fn put(
        &self,
        key: &Key,
        value: &[u8],
        expect: Expect,
        under: Option<&Lease>,
    ) -> Result<Version, StoreError> {
        if value.len() > MOST_BYTES {
            return Err(StoreError::TooLarge { key: key.clone(), len: value.len() });
        }
        let lease = self.token(under)?;
        for _ in 0..ATTEMPTS {
            let there = self.shared.there(key, expect).await?;
            let version = self.shared.next_version(key, there.latest);
            let sealed = self.shared.seal(key, version, value)?;
            match self.shared.change(key, there.version, Write::Value(version, &sealed), lease).await {
                Ok(()) => {
                    self.shared.saw(key, version);
                    return Ok(version);
                }
                // Somebody was quicker, and anything may be replaced.
                Err(StoreError::Conflict(_)) if expect == Expect::Anything => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict(key.clone()))
    }

    async fn delete(&self, key: &Key, expect: Expect, under: Option<&Lease>) -> Result<bool, StoreError> {
        let lease = self.token(under)?;
        for _ in 0..ATTEMPTS {
            let there = self.shared.there(key, expect).await?;
            // By its mark it is known which removal it was.
            let number = there.latest.map_or(0, |version| version.number);
            let removal = Write::Removal(Version { number, mark: rand::random() });
            match self.shared.change(key, there.version, removal, lease).await {
                Ok(()) => return Ok(there.version.is_some()),
                Err(StoreError::Conflict(_)) if expect == Expect::Anything => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict(key.clone()))
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Key>, StoreError> {
        let versions = self.shared.versions(kind).await;
        let versions = versions.map_err(|error| self.shared.link().unavailable(&error))?;
        Ok(versions.into_keys().collect())
    }

    async fn try_lock(&self, name: &Name, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        lock::take(&self.shared, name, ttl).await
    }

    fn changes(&self) -> Changes {
        let changes = Changes::new(self.news.subscribe());
        self.watched.get_or_init(|| watch::start(&self.shared, &self.news));
        changes
    }

    fn is_up(&self) -> bool {
        self.shared.link().is_up()
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// So many who are quicker in a row are a fault.
const ATTEMPTS: usize = 64;
