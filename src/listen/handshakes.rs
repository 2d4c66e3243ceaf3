//! How many TLS handshakes a client may ask for.
//!
//! Owns the buckets and the clock they live by: the count comes before anything is computed for a client.
//! Who is a client, and who is not counted, is as for connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use fluxheim_config::{HandshakeRate, Limits};

use super::door::Crowd;
use crate::policy::rate::{Rate, Table, Verdict};
use crate::types::Client;

/// The rate of handshakes of each client, shared by all listeners; a reload replaces it.
#[derive(Debug)]
pub struct Handshakes {
    /// `None` counts nothing.
    counted: ArcSwapOption<Counted>,
    crowd: Arc<ArcSwap<Crowd>>,
}

#[derive(Debug)]
struct Counted {
    terms: HandshakeRate,
    rate: Rate,
    table: Table,
    began: Instant,
}

impl Handshakes {
    /// By these limits, of the clients of `crowd`.
    #[must_use]
    pub fn new(limits: &Limits, crowd: Arc<ArcSwap<Crowd>>) -> Self {
        let handshakes = Self { counted: ArcSwapOption::empty(), crowd };
        handshakes.follow(limits);
        handshakes
    }

    /// What was counted stays where the rate is the same.
    pub fn follow(&self, limits: &Limits) {
        if self.counted.load().as_ref().map(|counted| counted.terms) != limits.handshake_rate {
            self.counted.store(limits.handshake_rate.map(Counted::by).map(Arc::new));
        }
    }

    /// Whether `peer` may have one more, which then counts.
    pub(super) fn permit(&self, peer: IpAddr) -> bool {
        let counted = self.counted.load();
        let Some(counted) = &*counted else { return true };
        let (crowd, peer) = (self.crowd.load(), peer.to_canonical());
        if crowd.exempt.iter().any(|network| network.contains(&peer)) {
            return true;
        }
        let now = u64::try_from(counted.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let key = counted.table.key(Client::of(peer, crowd.ipv6_prefix));
        matches!(counted.table.take(key, counted.rate, now), Verdict::Pass { .. })
    }
}

impl Counted {
    fn by(terms: HandshakeRate) -> Self {
        let rate = Rate::new(terms.handshakes, terms.per, terms.burst);
        Self { terms, rate, table: Table::new(CLIENTS), began: Instant::now() }
    }
}

/// Clients remembered at once, 16 bytes each; where there are more, those go that owe the least.
const CLIENTS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn handshakes(rate: Option<HandshakeRate>) -> Handshakes {
        let exempt = vec!["192.0.2.128/25".parse().unwrap()];
        let crowd = Arc::new(ArcSwap::from_pointee(Crowd { per_client: 9, ipv6_prefix: 64, exempt }));
        Handshakes::new(&Limits { handshake_rate: rate, ..Limits::default() }, crowd)
    }

    const RATE: HandshakeRate = HandshakeRate { handshakes: 1, per: Duration::from_secs(3600), burst: 2 };

    #[test]
    fn counts_each_client_and_no_trusted_proxy() {
        let handshakes = handshakes(Some(RATE));
        let permits = |peer: &str| handshakes.permit(peer.parse().unwrap());
        assert!(permits("2001:db8::1") && permits("2001:db8::2") && !permits("2001:db8::3"));
        assert!(permits("2001:db8:0:1::1") && permits("192.0.2.1"));
        assert!((0..9).all(|_| permits("192.0.2.129") && permits("::ffff:192.0.2.129")));
    }

    #[test]
    fn keeps_count_over_a_reload_that_leaves_the_rate() {
        let handshakes = handshakes(None);
        let peer = "192.0.2.1".parse().unwrap();
        assert!((0..9).all(|_| handshakes.permit(peer)));
        let limits = Limits { handshake_rate: Some(RATE), ..Limits::default() };
        handshakes.follow(&limits);
        assert!(handshakes.permit(peer) && handshakes.permit(peer) && !handshakes.permit(peer));
        handshakes.follow(&limits);
        assert!(!handshakes.permit(peer));
        handshakes.follow(&Limits::default());
        assert!(handshakes.permit(peer));
    }
}
