//! What is kept of when to try for a host, in the store.
//!
//! Owns how it is changed: an order, a question to the CA and an operator may be at it at once. What is in it is
//! `record`'s, what follows from it is the engine's.

use super::failure::Failure;
use super::record::{self, ScheduleRecord};
use super::store::{Expect, Key, Lease, Store, StoreError, Version};

/// What is kept of earlier attempts; nothing where it can't be read.
pub(super) async fn read(
    store: &dyn Store,
    host: &str,
) -> Result<(ScheduleRecord, Option<Version>), StoreError> {
    Ok(match store.get(&Key::schedule(host)).await? {
        Some(entry) => (record::read(entry.value.as_bytes()).unwrap_or_default(), Some(entry.version)),
        None => (ScheduleRecord::default(), None),
    })
}

/// Changes it and gives it back; each changes its own part of what is there by then. Where nothing is left in it,
/// it goes.
///
/// # Errors
/// It can't be kept.
pub(super) async fn change(
    store: &dyn Store,
    host: &str,
    lease: &Lease,
    mut change: impl FnMut(&mut ScheduleRecord) + Send,
) -> Result<ScheduleRecord, Failure> {
    let key = Key::schedule(host);
    loop {
        let (mut record, version) = read(store, host).await?;
        change(&mut record);
        let done = match (record == ScheduleRecord::default(), version) {
            (true, None) => Ok(()),
            (true, Some(version)) => {
                store.delete(&key, Expect::Version(version), Some(lease)).await.map(drop)
            }
            (false, version) => {
                let expect = version.map_or(Expect::Absent, Expect::Version);
                store.put(&key, &record::write(&record)?, expect, Some(lease)).await.map(drop)
            }
        };
        match done {
            Ok(()) => return Ok(record),
            // Somebody was quicker, and has made progress.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
