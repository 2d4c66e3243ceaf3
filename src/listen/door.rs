//! Who comes in: so many connections in all, so many by one listener, so many from one client.
//!
//! Owns the order of these questions. A client over its own limit is turned away before it takes a place
//! from others; where all places are taken the accept loop waits, and the kernel's backlog fills.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::policy::tally::{Place, Tally};
use crate::types::Client;

/// The way in to one listener.
#[derive(Debug, Clone)]
pub struct Door {
    /// One permit a connection, over all listeners.
    pub slots: Arc<Semaphore>,
    /// One a connection of this listener, where it has a limit of its own.
    pub own_slots: Option<Arc<Semaphore>>,
    /// What each client holds; shared by the listeners that have no limit of their own for it.
    pub clients: Arc<Tally>,
    /// This listener's own limit for each client, in place of [`Crowd::per_client`].
    pub per_client: Option<usize>,
    /// For connections accepted from now on; a reload replaces it.
    pub crowd: Arc<ArcSwap<Crowd>>,
    pub complaints: Arc<Complaints>,
}

/// How clients are told apart and what each may hold.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// Connections of one client.
    pub per_client: usize,
    /// Leading bits of an IPv6 address that make a client.
    pub ipv6_prefix: u8,
    /// Proxies, which connect on behalf of many.
    pub exempt: Vec<IpNet>,
}

/// What a connection takes up; given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    _slot: OwnedSemaphorePermit,
    _own_slot: Option<OwnedSemaphorePermit>,
    _place: Option<Place>,
}

/// What a client takes up that a proxy told of.
#[derive(Debug)]
pub(super) struct Told {
    _place: Option<Place>,
}

impl Door {
    /// A place for a connection from `peer`, as soon as there is one; `None` is one too many from there.
    pub(super) async fn admit(&self, peer: IpAddr) -> Option<Admission> {
        let place = match self.place(peer) {
            Ok(place) => place,
            Err(most) => {
                self.complaints.about(peer, most);
                return None;
            }
        };
        let own_slot = match &self.own_slots {
            Some(slots) => Some(Arc::clone(slots).acquire_owned().await.ok()?),
            None => None,
        };
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        Some(Admission { _slot: slot, _own_slot: own_slot, _place: place })
    }

    /// Whether what `peer` tells of others is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.crowd.load().exempt.iter().any(|network| network.contains(&peer))
    }

    /// A place for a client that a proxy told of, beside those the proxy's connection has; `None` is one
    /// too many from there.
    pub(super) fn admit_told(&self, client: IpAddr) -> Option<Told> {
        match self.place(client) {
            Ok(place) => Some(Told { _place: place }),
            Err(most) => {
                self.complaints.about(client, most);
                None
            }
        }
    }

    fn place(&self, peer: IpAddr) -> Result<Option<Place>, usize> {
        let crowd = self.crowd.load();
        let peer = peer.to_canonical();
        if crowd.exempt.iter().any(|network| network.contains(&peer)) {
            return Ok(None);
        }
        let most = self.per_client.unwrap_or(crowd.per_client);
        self.clients.enter(Client::of(peer, crowd.ipv6_prefix), most).map(Some).ok_or(most)
    }
}

#[cfg(test)]
impl Admission {
    /// One of a door that has no other.
    pub(super) async fn sample() -> Self {
        let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        Self { _slot: slot, _own_slot: None, _place: None }
    }
}

/// Says that clients are turned away, now and then: an attack must not fill the log.
#[derive(Debug)]
pub struct Complaints {
    since: Instant,
    /// Milliseconds from there to when the next may be made.
    next: AtomicU64,
}

impl Default for Complaints {
    fn default() -> Self {
        Self { since: Instant::now(), next: AtomicU64::new(0) }
    }
}

impl Complaints {
    fn about(&self, peer: IpAddr, most: usize) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pause = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let due = now >= next;
        let next =
            self.next.compare_exchange(next, now.saturating_add(pause), Ordering::Relaxed, Ordering::Relaxed);
        if due && next.is_ok() {
            tracing::warn!(
                %peer,
                max_connections_per_client = most,
                "a client has as many connections as it may, more are closed; if it is a proxy, name it in \
                 server.trusted_proxies"
            );
        }
    }
}

/// Between two complaints.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn door(slots: usize, own: Option<usize>, per_client: usize) -> Door {
        let exempt = vec!["192.0.2.128/25".parse().unwrap()];
        Door {
            slots: Arc::new(Semaphore::new(slots)),
            own_slots: own.map(Semaphore::new).map(Arc::new),
            clients: Arc::default(),
            per_client: None,
            crowd: Arc::new(ArcSwap::from_pointee(Crowd { per_client, ipv6_prefix: 64, exempt })),
            complaints: Arc::default(),
        }
    }

    async fn now(door: &Door, peer: &str) -> Option<Option<Admission>> {
        let admission = door.admit(peer.parse().unwrap());
        tokio::time::timeout(Duration::from_millis(20), admission).await.ok()
    }

    #[tokio::test]
    async fn turns_a_client_away_before_it_takes_a_place_from_others() {
        let door = door(3, None, 2);
        let first = now(&door, "2001:db8::1").await.flatten().unwrap();
        let _second = now(&door, "2001:db8::2").await.flatten().unwrap();
        assert!(now(&door, "2001:db8::3").await.unwrap().is_none());
        let third = now(&door, "192.0.2.1").await.flatten().unwrap();
        assert!(now(&door, "192.0.2.2").await.is_none(), "there is no place left");
        assert!(now(&door, "2001:db8::3").await.unwrap().is_none());
        drop((first, third));
        assert!(now(&door, "2001:db8::3").await.flatten().is_some());
    }

    #[tokio::test]
    async fn does_not_count_what_trusted_proxies_hold() {
        let door = door(9, None, 1);
        let held: Vec<_> = [now(&door, "192.0.2.129").await, now(&door, "::ffff:192.0.2.129").await]
            .into_iter()
            .map(Option::flatten)
            .collect();
        assert!(held.iter().all(Option::is_some));
    }

    #[tokio::test]
    async fn waits_for_a_place_of_its_own_listener_and_takes_none_of_all_meanwhile() {
        let door = door(2, Some(1), 9);
        let first = now(&door, "192.0.2.1").await.flatten().unwrap();
        assert!(now(&door, "192.0.2.1").await.is_none());
        assert_eq!(door.slots.available_permits(), 1);
        assert_eq!(door.clients.held(Client::of([192, 0, 2, 1].into(), 64)), 1);
        drop(first);
        assert!(now(&door, "192.0.2.1").await.flatten().is_some());
    }
}
