//! Servers that an operator takes out and back in, over changes of everything else.

use std::sync::Arc;

use fluxheim_config::{Upstream, UpstreamHost, UpstreamServer};

use super::clock::Tick;
use super::{NoServer, Pool};

fn server(last: u8, drain: bool) -> UpstreamServer {
    let mut server = UpstreamServer::new(UpstreamHost::Ip([127, 0, 0, last].into()), 80);
    server.drain = drain;
    server
}

fn pool(servers: &[(u8, bool)]) -> Arc<Pool> {
    let servers = servers.iter().map(|(last, drain)| server(*last, *drain)).collect();
    Arc::new(Pool::new(Upstream::new("app", servers), None, None, None))
}

/// Which servers get requests, and which of them drain by an operator's word.
fn used(pool: &Arc<Pool>) -> (Vec<String>, Vec<String>) {
    let mut used: Vec<_> = (0..8)
        .filter_map(|_| {
            let mut turn = pool.turn(None, None, 0);
            let lease = pool.try_acquire(&mut turn, false, Tick::at(1)).map_err(NoServer::from).ok()?;
            Some(lease.address().to_string())
        })
        .collect();
    used.sort_unstable();
    used.dedup();
    let listed = pool.listed(Tick::at(1));
    (used, listed.into_iter().filter(|listed| listed.overridden).map(|listed| listed.server).collect())
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| format!("127.0.0.{name}:80")).collect()
}

#[test]
fn what_is_set_holds_until_the_configuration_says_the_same_or_has_the_server_no_more() {
    let first = pool(&[(1, false), (2, false)]);
    assert!(!first.set_drain("127.0.0.3:80", true) && !first.set_drain("127.0.0.1", true));
    assert!(first.set_drain("127.0.0.1:80", true));
    assert_eq!(used(&first), (names(&["2"]), names(&["1"])));
    let reloaded = |earlier: &Arc<Pool>, servers: &[(u8, bool)]| {
        let next = pool(servers);
        next.inherit(std::slice::from_ref(earlier));
        next.follow_drains();
        next
    };
    let second = reloaded(&first, &[(1, false), (2, false)]);
    assert_eq!(used(&second), (names(&["2"]), names(&["1"])));
    // The configuration agrees, and then thinks better of it: that is its own word by then.
    let agreed = reloaded(&second, &[(1, true), (2, false)]);
    assert_eq!(used(&agreed), (names(&["2"]), names(&[])));
    let again = reloaded(&agreed, &[(1, false), (2, false)]);
    assert_eq!(used(&again), (names(&["1", "2"]), names(&[])));
    // Against the configuration.
    let drained = pool(&[(1, true), (2, false)]);
    assert!(drained.set_drain("127.0.0.1:80", false));
    assert_eq!(used(&drained), (names(&["1", "2"]), names(&["1"])));
    let gone = reloaded(&drained, &[(2, false)]);
    let back = reloaded(&gone, &[(1, true), (2, false)]);
    assert_eq!(used(&back), (names(&["2"]), names(&[])));
}

#[test]
fn an_order_that_comes_while_a_reload_is_under_way_is_not_lost() {
    for drain in [true, false] {
        let old = pool(&[(1, false), (2, false)]);
        assert!(old.set_drain("127.0.0.1:80", !drain));
        let new = pool(&[(1, false), (2, false)]);
        new.inherit(std::slice::from_ref(&old));
        // Requests still come to the old one, and so do orders.
        assert!(old.set_drain("127.0.0.1:80", drain));
        new.follow_drains();
        let expected = if drain { names(&["2"]) } else { names(&["1", "2"]) };
        assert_eq!(used(&new).0, expected);
        assert_eq!(used(&old).0, expected);
    }
}
