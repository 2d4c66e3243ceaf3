//! How many requests of a route are served at once, and who waits for a turn.
//!
//! Owns the places and the queue. Each is given back when it is dropped, however the request ends. A
//! client over its own limit is refused before it takes a place in the queue from others.

use std::sync::Arc;
use std::time::Duration;

use fluxheim_config::LocalLimits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::policy::tally::{Place, Tally};
use crate::types::Client;

/// The limits of a vhost or route.
#[derive(Debug)]
pub struct Concurrency {
    pub terms: Terms,
    slots: Arc<Semaphore>,
    queue: Semaphore,
    clients: Arc<Tally>,
}

/// What a configuration says of them; as long as it is the same, so are they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    most: Option<u32>,
    per_client: Option<u32>,
    queue: u32,
    patience: Duration,
}

impl Terms {
    /// `None` where nothing is limited.
    #[must_use]
    pub const fn of(limits: &LocalLimits) -> Option<Self> {
        if limits.max_concurrent.is_none() && limits.max_concurrent_per_client.is_none() {
            return None;
        }
        Some(Self {
            most: limits.max_concurrent,
            per_client: limits.max_concurrent_per_client,
            queue: limits.max_queue,
            patience: limits.queue_timeout,
        })
    }
}

/// What a request holds while it is served.
#[derive(Debug)]
pub struct Held {
    _slot: Option<OwnedSemaphorePermit>,
    _place: Option<Place>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The client has as many as it may.
    Client,
    /// So many wait already.
    Queue,
    /// None became free in time.
    Timeout,
}

impl Concurrency {
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        let permits = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            terms,
            slots: Arc::new(Semaphore::new(permits(terms.most.unwrap_or_default()))),
            queue: Semaphore::new(permits(terms.queue)),
            clients: Arc::default(),
        }
    }

    /// A place for a request of `client`, waited for in the order of coming.
    ///
    /// # Errors
    /// [`Full`] when there is none to be had.
    pub async fn enter(&self, client: Client) -> Result<Held, Full> {
        let place = self.terms.per_client.map(|most| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            self.clients.enter(client, most).ok_or(Full::Client)
        });
        let place = place.transpose()?;
        let slot = if self.terms.most.is_some() { Some(self.slot().await?) } else { None };
        Ok(Held { _slot: slot, _place: place })
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let _turn = self.queue.try_acquire().map_err(|_| Full::Queue)?;
        match tokio::time::timeout(self.terms.patience, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Full::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::of([192, 0, 2, last].into(), 64)
    }

    fn limited(most: Option<u32>, per_client: Option<u32>, queue: u32) -> Arc<Concurrency> {
        let patience = Duration::from_secs(1);
        Arc::new(Concurrency::new(Terms { most, per_client, queue, patience }))
    }

    #[tokio::test(start_paused = true)]
    async fn serves_so_many_queues_so_many_and_refuses_the_rest() {
        let limits = limited(Some(1), None, 1);
        let first = limits.enter(client(1)).await.unwrap();
        let second = tokio::spawn({
            let limits = Arc::clone(&limits);
            async move { limits.enter(client(2)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(limits.enter(client(3)).await.unwrap_err(), Full::Queue);
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert_eq!(limits.enter(client(3)).await.unwrap_err(), Full::Timeout);
        drop(second);
        assert!(limits.enter(client(3)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn gives_back_the_place_of_whoever_stops_waiting() {
        let limits = limited(Some(1), Some(1), 1);
        let first = limits.enter(client(1)).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(1), limits.enter(client(2))).await;
        assert!(waited.is_err());
        drop(first);
        let held = limits.enter(client(2)).await.unwrap();
        assert_eq!(limits.enter(client(2)).await.unwrap_err(), Full::Client);
        drop(held);
        assert!(limits.enter(client(2)).await.is_ok());
    }

    #[tokio::test]
    async fn limits_clients_alone() {
        let limits = limited(None, Some(2), 0);
        let _held = [limits.enter(client(1)).await.unwrap(), limits.enter(client(1)).await.unwrap()];
        assert_eq!(limits.enter(client(1)).await.unwrap_err(), Full::Client);
        assert!(limits.enter(client(2)).await.is_ok());
    }
}
