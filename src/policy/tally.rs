//! How many of something each client holds at once: connections, requests.
//!
//! Owns the counts. They are exact however a holder ends, since each gives its place back when it is
//! dropped; and as bounded as what is held, since nobody who holds nothing is remembered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::Client;

/// Counts by client. Hashed with random keys, so nobody can choose addresses that share a lock.
#[derive(Debug)]
pub struct Tally {
    shards: [Mutex<HashMap<Client, usize>>; SHARDS],
    hasher: RandomState,
}

impl Default for Tally {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

impl Tally {
    /// A place for `client`, unless it has `most` of them already.
    #[must_use]
    pub fn enter(self: &Arc<Self>, client: Client, most: usize) -> Option<Place> {
        let mut held = self.shard(client);
        let count = held.entry(client).or_default();
        if *count >= most {
            // Not to be remembered for having been turned away where nothing is allowed.
            if *count == 0 {
                held.remove(&client);
            }
            return None;
        }
        *count += 1;
        Some(Place { tally: Arc::clone(self), client })
    }

    /// How many places `client` has now.
    #[must_use]
    pub fn held(&self, client: Client) -> usize {
        self.shard(client).get(&client).copied().unwrap_or_default()
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, HashMap<Client, usize>> {
        let at = self.hasher.hash_one(client) % SHARDS as u64;
        let [first, ..] = &self.shards;
        let shard = usize::try_from(at).ok().and_then(|at| self.shards.get(at)).unwrap_or(first);
        // Nothing below leaves a count half changed, so whoever panicked did so elsewhere.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a client's places; given back when dropped.
#[derive(Debug)]
pub struct Place {
    tally: Arc<Tally>,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.tally.shard(self.client);
        if let Entry::Occupied(mut entry) = held.entry(self.client) {
            match entry.get_mut() {
                0 | 1 => drop(entry.remove()),
                count => *count -= 1,
            }
        }
        // What a crowd once took is given back, but not at every change.
        if held.capacity() > ROOMY && held.len() < held.capacity() / 8 {
            held.shrink_to(ROOMY);
        }
    }
}

/// Locks; more than there are threads to hold them.
const SHARDS: usize = 64;
/// Clients that a shard keeps room for.
const ROOMY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::of([192, 0, 2, last].into(), 64)
    }

    #[test]
    fn gives_each_client_its_places_and_takes_them_back() {
        let tally = Arc::new(Tally::default());
        let first = tally.enter(client(1), 2).unwrap();
        let _second = tally.enter(client(1), 2).unwrap();
        assert!(tally.enter(client(1), 2).is_none());
        assert!(tally.enter(client(2), 2).is_some());
        assert_eq!((tally.held(client(1)), tally.held(client(2))), (2, 0));
        drop(first);
        assert!(tally.enter(client(1), 2).is_some());
    }

    #[test]
    fn remembers_nobody_who_holds_nothing() {
        let tally = Arc::new(Tally::default());
        let remembered =
            |tally: &Tally| -> usize { tally.shards.iter().map(|shard| shard.lock().unwrap().len()).sum() };
        let mut places = Vec::new();
        for number in 0..100_000_u32 {
            places.push(tally.enter(Client::of(number.to_be_bytes().into(), 64), 1).unwrap());
        }
        assert_eq!(remembered(&tally), 100_000);
        places.clear();
        assert!(tally.enter(client(1), 0).is_none());
        assert_eq!(remembered(&tally), 0);
        let room: usize = tally.shards.iter().map(|shard| shard.lock().unwrap().capacity()).sum();
        assert!(room <= SHARDS * ROOMY * 2, "{room}");
    }

    #[test]
    fn is_exact_under_many_threads() {
        let tally = Arc::new(Tally::default());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let place = tally.enter(client(1), 8).unwrap();
                        assert!(tally.held(client(1)) <= 8);
                        drop(place);
                    }
                });
            }
        });
        assert_eq!(tally.held(client(1)), 0);
    }
}
