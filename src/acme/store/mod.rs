//! Where ACME keeps what it must not lose: accounts, orders, certificates with their keys, challenges.
//!
//! Owns the contract of such a place, and the two there are: a folder, and a Valkey or Redis server for
//! fleets. What the values mean is the engine's. A value is replaced as a whole or not at all, and is on
//! the disk when a call returns.

mod changes;
mod error;
mod folder;
mod key;
mod lease;
mod open;
mod record;
mod redis;
mod value;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use changes::{Change, Changes};
pub use error::StoreError;
pub use folder::Folder;
pub use key::{Key, Kind, Name};
pub use lease::Lease;
pub use open::open;
pub use redis::{NoSealKey, Redis, RedisSettings, Server};
pub use value::{Entry, Expect, Value, Version};

/// A place that keeps values, for one replica or for several.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// What is kept under `key`, if anything.
    ///
    /// # Errors
    /// It can't be read. [`StoreError::Corrupt`] once: the value was set aside, and then there is none.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Keeps `value` under `key`: as a whole, durably, and only if what is there is what `expect` says and
    /// `under`, where given, is still held.
    ///
    /// # Errors
    /// It is not kept, and what was there still is; [`StoreError::Unavailable`] may mean either, which `get` tells.
    async fn put(
        &self,
        key: &Key,
        value: &[u8],
        expect: Expect,
        under: Option<&Lease>,
    ) -> Result<Version, StoreError>;

    /// Removes what is kept under `key`, on the same terms; whether there was something.
    ///
    /// # Errors
    /// As of [`put`](Self::put).
    async fn delete(&self, key: &Key, expect: Expect, under: Option<&Lease>) -> Result<bool, StoreError>;

    /// Every key of that kind, sorted.
    ///
    /// # Errors
    /// They can't be listed.
    async fn list(&self, kind: Kind) -> Result<Vec<Key>, StoreError>;

    /// Takes the lock `name`, if no replica has it. It renews itself until the lease is dropped; a replica that dies
    /// or is cut off loses it within `ttl` at the latest.
    ///
    /// # Errors
    /// Nobody can say who has it.
    async fn try_lock(&self, name: &Name, ttl: Duration) -> Result<Option<Lease>, StoreError>;

    /// Tells from now on which keys were written or removed, by this replica or another, within seconds.
    fn changes(&self) -> Changes;

    /// Whether the place answered when it was last asked.
    fn is_up(&self) -> bool;
}

/// Most bytes of a value: a key and a chain have some ten thousand.
pub const MOST_BYTES: usize = 256 << 10;

/// Most keys of one kind.
pub const MOST_KEYS: usize = 10_000;
