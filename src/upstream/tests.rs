//! Pools as the edge uses them, on a clock of the tests' own.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxheim_config::{Balance, Hash, HashBy, HashKind, Health, HealthCheck, Outlier, Queue};

use super::endpoint::Endpoint;
use super::*;

/// Late enough for every address to be no newcomer.
const START: u64 = 100_000;

fn server(last: u8) -> UpstreamServer {
    UpstreamServer::new(UpstreamHost::Ip([127, 0, 0, last].into()), 80)
}

fn upstream(count: u8) -> Upstream {
    Upstream::new("app", (1..=count).map(server).collect())
}

fn pool(config: Upstream) -> Arc<Pool> {
    Arc::new(Pool::new(config, None, None, None))
}

fn acquire(pool: &Arc<Pool>, turn: &mut Turn, at: u64) -> Result<Lease, Refused> {
    pool.try_acquire(turn, false, Tick::at(START + at))
}

fn one(pool: &Arc<Pool>, at: u64) -> Lease {
    acquire(pool, &mut pool.turn(None, None, 0), at).unwrap()
}

/// The last part of the address.
fn number(lease: &Lease) -> u8 {
    match lease.address().ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    }
}

/// How many of so many requests, one after another, each server gets.
fn shares(pool: &Arc<Pool>, requests: usize, at: u64) -> BTreeMap<u8, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(number(&one(pool, at))).or_insert(0) += 1;
    }
    shares
}

fn endpoint(pool: &Pool, number: u8) -> Arc<Endpoint> {
    let table = pool.table.load();
    let found = table
        .members
        .iter()
        .find(|member| member.endpoint.address.ip() == std::net::IpAddr::from([127, 0, 0, number]));
    Arc::clone(&found.unwrap().endpoint)
}

fn checked() -> Option<Health> {
    let second = Duration::from_secs(1);
    Some(Health {
        check: HealthCheck::Tcp,
        interval: second,
        timeout: second,
        healthy_after: 1,
        unhealthy_after: 1,
        port: None,
    })
}

/// Has an active check say so.
fn check(pool: &Pool, number: u8, good: bool, at: u64) {
    let endpoint = endpoint(pool, number);
    endpoint.checked(good, 1, 1, Tick::at(START + at));
    pool.change(Tick::at(START + at), |_| ());
}

fn ejecting(count: u8) -> Arc<Pool> {
    let outlier =
        Outlier { consecutive_failures: 2, base_ejection: Duration::from_secs(10), ..Outlier::default() };
    pool(Upstream { outlier: Some(outlier), ..upstream(count) })
}

fn fail(pool: &Arc<Pool>, number: u8, at: u64) {
    loop {
        let mut lease = one(pool, at);
        if super::tests::number(&lease) == number {
            lease.failed(Tick::at(START + at));
            return;
        }
        lease.answered(200, Tick::at(START + at));
    }
}

#[test]
fn takes_turns_and_never_tries_a_server_twice() {
    let pool = pool(upstream(3));
    assert_eq!([1, 2, 3, 1].map(|_| number(&one(&pool, 0))), [1, 2, 3, 1]);
    let mut turn = pool.turn(None, None, 0);
    let mut tried: Vec<u8> = (0..3).map(|_| number(&acquire(&pool, &mut turn, 0).unwrap())).collect();
    assert!(!pool.has_another(&turn, Tick::at(START)));
    assert_eq!(acquire(&pool, &mut turn, 0).unwrap_err(), Refused::NoServer);
    tried.sort_unstable();
    assert_eq!(tried, [1, 2, 3]);
    turn.forgive();
    assert!(acquire(&pool, &mut turn, 0).is_ok());
}

#[test]
fn a_name_has_no_address_until_it_is_resolved() {
    let pool = pool(Upstream::new("app", vec![UpstreamServer::new(UpstreamHost::Name("app".into()), 80)]));
    assert_eq!(acquire(&pool, &mut pool.turn(None, None, 0), 0).unwrap_err(), Refused::NoAddress);
    pool.replace(vec![vec!["127.0.0.9:80".parse().unwrap()]]);
    assert_eq!(number(&one(&pool, 0)), 9);
    assert_eq!(pool.addresses(), 1);
}

#[test]
fn a_new_pool_inherits_addresses_and_how_the_servers_are() {
    let config = || Upstream {
        servers: vec![UpstreamServer::new(UpstreamHost::Name("app".into()), 80), server(1)],
        ..Upstream { outlier: Some(Outlier { consecutive_failures: 1, ..Outlier::default() }), ..upstream(0) }
    };
    let old = pool(config());
    old.replace(vec![vec!["127.0.0.9:80".parse().unwrap()], vec!["127.0.0.1:80".parse().unwrap()]]);
    fail(&old, 9, 0);
    let held = one(&old, 0);
    let new = pool(config());
    assert_eq!(new.addresses(), 1);
    new.inherit(&[old]);
    assert_eq!(new.addresses(), 2);
    assert_eq!(endpoint(&new, 1).in_flight(), 1);
    assert_eq!(shares(&new, 10, 1), BTreeMap::from([(1, 10)]));
    drop(held);
    assert_eq!(endpoint(&new, 1).in_flight(), 0);
    let calm = pool(Upstream { outlier: None, ..config() });
    calm.inherit(&[new]);
    assert_eq!(shares(&calm, 10, 1).len(), 2);
}

#[test]
fn random_keeps_to_the_weights() {
    let mut config = Upstream { balance: Balance::Random, ..upstream(2) };
    config.servers[1].weight = 3;
    let shares = shares(&pool(config), 4000, 0);
    assert!((700..1300).contains(&shares[&1]), "{shares:?}");
}

#[test]
fn least_conn_goes_where_the_fewest_are_by_weight() {
    let mut config = Upstream { balance: Balance::LeastConn, ..upstream(3) };
    config.servers[2].weight = 2;
    let pool = pool(config);
    let held: Vec<_> = (0..12).map(|_| one(&pool, 0)).collect();
    let count = |wanted| held.iter().filter(|lease| number(lease) == wanted).count();
    assert_eq!((count(1), count(2), count(3)), (3, 3, 6));
    drop(held);
    // Equals take turns.
    let shares = shares(&pool, 300, 0);
    assert!(shares.values().all(|share| *share > 0), "{shares:?}");
}

#[test]
fn p2c_prefers_the_fast_and_the_idle_and_leaves_what_fails() {
    let pool = pool(Upstream { balance: Balance::P2c, ..upstream(3) });
    let answer = |number: u8, took: u64, at: u64| {
        endpoint(&pool, number).latency.observe(Duration::from_millis(took), Tick::at(START + at));
    };
    answer(1, 500, 0);
    answer(2, 5, 0);
    answer(3, 5, 0);
    let seen = shares(&pool, 600, 1);
    // It is only taken where both draws are it, which never is so of three.
    assert_eq!(seen.get(&1), None, "{seen:?}");
    assert!(seen[&2] > 150 && seen[&3] > 150, "{seen:?}");
    let held: Vec<_> = (0..30).map(|_| one(&pool, 1)).collect();
    assert!(held.iter().filter(|lease| number(lease) == 2).count().abs_diff(15) <= 5);
    drop(held);
    let mut lease = one(&pool, 2);
    let failing = number(&lease);
    lease.failed(Tick::at(START + 2));
    drop(lease);
    assert!(!shares(&pool, 200, 3).contains_key(&failing));
    // What was slow once is tried again, in the end.
    assert!(shares(&pool, 200, 200_000).contains_key(&failing));
}

#[test]
fn a_server_that_is_down_leaves_its_turns_to_all_others_alike() {
    let pool = pool(Upstream { health: checked(), ..upstream(4) });
    check(&pool, 2, false, 0);
    assert_eq!(shares(&pool, 300, 0), BTreeMap::from([(1, 100), (3, 100), (4, 100)]));
    check(&pool, 2, true, 1);
    assert_eq!(shares(&pool, 400, 1)[&2], 100);
}

#[test]
fn backups_priorities_and_zones_come_in_their_order() {
    let mut config = Upstream { health: checked(), ..upstream(5) };
    config.servers[0].backup = true;
    config.servers[1].priority = 1;
    config.servers[2].zone = Some("far".to_owned());
    config.servers[3].zone = Some("near".to_owned());
    config.servers[4].drain = true;
    let pool = Arc::new(Pool::new(config, None, Some("near"), None));
    for (at, number) in (0..).zip([4, 3, 2, 1]) {
        assert_eq!(shares(&pool, 5, at), BTreeMap::from([(number, 5)]));
        check(&pool, number, false, at);
    }
    check(&pool, 3, true, 9);
    assert_eq!(shares(&pool, 5, 9), BTreeMap::from([(3, 5)]));
}

#[test]
fn health_is_not_believed_when_too_few_are_healthy() {
    let config = |panic_threshold| Upstream { health: checked(), panic_threshold, ..upstream(4) };
    let calm = pool(config(0));
    let pool = pool(config(50));
    for pool in [&calm, &pool] {
        check(pool, 1, false, 0);
        check(pool, 2, false, 0);
        assert_eq!(shares(pool, 100, 0).len(), 2);
        check(pool, 3, false, 0);
    }
    assert_eq!(shares(&pool, 100, 0).len(), 4);
    assert_eq!(shares(&calm, 100, 0).len(), 1);
    check(&calm, 4, false, 0);
    assert_eq!(acquire(&calm, &mut calm.turn(None, None, 0), 0).unwrap_err(), Refused::NoServer);
    check(&pool, 3, true, 1);
    assert_eq!(shares(&pool, 100, 1).len(), 2);
}

#[test]
fn an_ejected_server_comes_back_by_one_request_that_succeeds() {
    let pool = ejecting(3);
    fail(&pool, 2, 0);
    fail(&pool, 2, 0);
    assert!(!shares(&pool, 60, 9999).contains_key(&2));
    // One request tries it; others go elsewhere meanwhile.
    let held: Vec<_> = (0..9).map(|_| one(&pool, 10_000)).collect();
    assert_eq!(held.iter().filter(|lease| number(lease) == 2).count(), 1);
    let mut probe = held.into_iter().find(|lease| number(lease) == 2).unwrap();
    probe.failed(Tick::at(START + 10_000));
    drop(probe);
    // Twice as long this time.
    assert!(!shares(&pool, 60, 29_999).contains_key(&2));
    let mut probe = std::iter::repeat_with(|| one(&pool, 30_000)).find(|lease| number(lease) == 2).unwrap();
    probe.answered(204, Tick::at(START + 30_000));
    drop(probe);
    assert_eq!(shares(&pool, 60, 30_001)[&2], 20);
}

#[test]
fn a_try_that_nobody_finished_is_made_again() {
    let pool = ejecting(2);
    fail(&pool, 2, 0);
    fail(&pool, 2, 0);
    for _ in 0..3 {
        let probe = std::iter::repeat_with(|| one(&pool, 10_000)).find(|lease| number(lease) == 2).unwrap();
        drop(probe);
    }
}

#[test]
fn success_ends_a_row_of_failures_and_only_so_many_are_ejected() {
    let pool = ejecting(4);
    let verdict = |number: u8, status: u16| {
        let mut lease = std::iter::repeat_with(|| one(&pool, 0))
            .find(|lease| super::tests::number(lease) == number)
            .unwrap();
        lease.answered(status, Tick::at(START));
    };
    verdict(1, 503);
    verdict(1, 500);
    verdict(1, 503);
    assert_eq!(shares(&pool, 8, 0).len(), 4);
    verdict(1, 503);
    assert_eq!(shares(&pool, 9, 0).len(), 3);
    for number in [2, 3] {
        verdict(number, 502);
        verdict(number, 504);
    }
    // Half of four.
    assert_eq!(shares(&pool, 8, 0).len(), 2);
    let alone = ejecting(1);
    for _ in 0..9 {
        fail(&alone, 1, 0);
    }
    assert_eq!(shares(&alone, 3, 0).len(), 1);
}

#[test]
fn five_hundreds_eject_only_where_they_are_counted() {
    let outlier = Outlier { consecutive_failures: 0, consecutive_5xx: 3, ..Outlier::default() };
    let pool = pool(Upstream { outlier: Some(outlier), ..upstream(2) });
    let verdict = |status: u16| {
        let mut lease = std::iter::repeat_with(|| one(&pool, 0)).find(|lease| number(lease) == 1).unwrap();
        lease.answered(status, Tick::at(START));
    };
    [500, 200, 500, 503].into_iter().for_each(verdict);
    assert_eq!(shares(&pool, 8, 0).len(), 2);
    verdict(501);
    assert_eq!(shares(&pool, 8, 0).len(), 1);
}

#[test]
fn a_server_that_is_back_gets_its_share_gradually() {
    for balance in [Balance::RoundRobin, Balance::Random] {
        let slow_start = Some(Duration::from_secs(10));
        let pool = pool(Upstream { health: checked(), slow_start, balance, ..upstream(2) });
        check(&pool, 2, false, 0);
        check(&pool, 2, true, 0);
        let (early, late) = (shares(&pool, 1000, 1000)[&2], shares(&pool, 1000, 10_000)[&2]);
        assert!((30..250).contains(&early), "{early}");
        assert!((400..600).contains(&late), "{late}");
    }
}

#[test]
fn least_conn_knows_a_server_that_starts_slowly() {
    let slow_start = Some(Duration::from_secs(10));
    let pool = pool(Upstream { health: checked(), slow_start, balance: Balance::LeastConn, ..upstream(2) });
    check(&pool, 2, false, 0);
    check(&pool, 2, true, 0);
    let held: Vec<_> = (0..11).map(|_| one(&pool, 1000)).collect();
    assert_eq!(held.iter().filter(|lease| number(lease) == 2).count(), 1);
}

#[test]
fn full_servers_and_full_upstreams_take_no_more() {
    for balance in [
        Balance::RoundRobin,
        Balance::Random,
        Balance::LeastConn,
        Balance::P2c,
        Balance::Hash(Hash { by: HashBy::Uri, kind: HashKind::Maglev }),
    ] {
        let mut config = Upstream { balance, ..upstream(2) };
        config.servers[0].max_in_flight = Some(1);
        config.servers[1].max_in_flight = Some(2);
        let pool = pool(config);
        let held: Vec<_> = (0..3).map(|_| one(&pool, 0)).collect();
        let mut turn = pool.turn(None, None, 0);
        assert_eq!(acquire(&pool, &mut turn, 0).unwrap_err(), Refused::Full);
        drop(held);
        assert!(acquire(&pool, &mut turn, 0).is_ok());
    }
    let pool = pool(Upstream { max_in_flight: Some(1), ..upstream(2) });
    let held = one(&pool, 0);
    assert_eq!(acquire(&pool, &mut pool.turn(None, None, 0), 0).unwrap_err(), Refused::Full);
    drop(held);
    drop(one(&pool, 0));
}

#[test]
fn counts_out_what_ends_in_a_panic() {
    let pool = pool(Upstream { max_in_flight: Some(1), ..upstream(1) });
    let lease = one(&pool, 0);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _lease = lease;
        panic!("as a request might");
    }));
    assert!(ended.is_err());
    assert_eq!(endpoint(&pool, 1).in_flight(), 0);
    drop(one(&pool, 0));
}

#[test]
fn a_key_stays_with_its_server_and_only_those_of_a_dead_one_move() {
    for kind in [HashKind::Ketama, HashKind::Maglev] {
        let balance = Balance::Hash(Hash { by: HashBy::ClientIp, kind });
        let pool = pool(Upstream { health: checked(), balance, ..upstream(5) });
        let owner = |key: u32, at| {
            number(&acquire(&pool, &mut pool.turn(Some(&[&key.to_be_bytes()]), None, 0), at).unwrap())
        };
        let before: Vec<_> = (0..2000).map(|key| owner(key, 0)).collect();
        assert_eq!(before, (0..2000).map(|key| owner(key, 0)).collect::<Vec<_>>());
        check(&pool, 3, false, 1);
        for (key, before) in (0..).zip(&before) {
            let now = owner(key, 1);
            assert!(
                now == *before || *before == 3 && now != 3,
                "{kind:?}: {key} moved from {before} to {now}"
            );
        }
        check(&pool, 3, true, 2);
        assert_eq!(before, (0..2000).map(|key| owner(key, 2)).collect::<Vec<_>>());
        // Without a key: anybody.
        assert_eq!(shares(&pool, 500, 2).len(), 5);
    }
}

fn sticky(drain: bool) -> Arc<Pool> {
    let config = fluxheim_config::Sticky {
        cookie: "srv".to_owned(),
        secret_file: "k".into(),
        ttl: None,
        secure: true,
        same_site: fluxheim_config::SameSite::Lax,
    };
    let mut config = Upstream { sticky: Some(config), health: checked(), ..upstream(3) };
    config.servers[1].drain = drain;
    let key = StickyKey::new("app", &[1; 32]).unwrap();
    Arc::new(Pool::new(config, None, None, Some(key)))
}

#[test]
fn a_client_sticks_to_its_server_even_while_that_drains_but_not_when_it_is_down() {
    let pool = sticky(false);
    let mut turn = pool.turn(None, None, 0);
    let lease = std::iter::repeat_with(|| {
        turn = pool.turn(None, None, 0);
        acquire(&pool, &mut turn, 0).unwrap()
    });
    let lease = lease.take(3).find(|lease| number(lease) == 2).unwrap();
    let cookie = pool.set_cookie(&turn, &lease, 0).unwrap();
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    let draining = sticky(true);
    for pool in [&pool, &draining] {
        for _ in 0..5 {
            let mut turn = pool.turn(None, Some(value), 0);
            let lease = acquire(pool, &mut turn, 0).unwrap();
            assert_eq!(number(&lease), 2);
            assert_eq!(pool.set_cookie(&turn, &lease, 0), None);
        }
    }
    assert!(!shares(&draining, 30, 0).contains_key(&2));
    let mut config = draining.config.clone();
    config.servers.iter_mut().for_each(|server| server.drain = true);
    let key = StickyKey::new("app", &[1; 32]).unwrap();
    let all = Arc::new(Pool::new(config, None, None, Some(key)));
    assert_eq!(number(&acquire(&all, &mut all.turn(None, Some(value), 0), 0).unwrap()), 2);
    assert_eq!(acquire(&all, &mut all.turn(None, None, 0), 0).unwrap_err(), Refused::NoServer);
    check(&pool, 2, false, 1);
    let mut turn = pool.turn(None, Some(value), 0);
    let lease = acquire(&pool, &mut turn, 1).unwrap();
    assert!(number(&lease) != 2 && pool.set_cookie(&turn, &lease, 0).is_some());
    // A second attempt goes elsewhere, cookie or not.
    let mut turn = draining.turn(None, Some(value), 0);
    assert_eq!(number(&acquire(&draining, &mut turn, 0).unwrap()), 2);
    assert_ne!(number(&acquire(&draining, &mut turn, 0).unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_the_order_they_came() {
    let queue = Some(Queue { size: 3, timeout: Duration::from_secs(60) });
    let pool = pool(Upstream { max_in_flight: Some(1), queue, ..upstream(1) });
    let held = pool.acquire(&mut pool.turn(None, None, 0), false).await.unwrap();
    let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for number in 0..3 {
        let (pool, sender) = (Arc::clone(&pool), sender.clone());
        waiting.push(tokio::spawn(async move {
            let lease = pool.acquire(&mut pool.turn(None, None, 0), false).await.unwrap();
            sender.send(number).unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            drop(lease);
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pool.waiting(), 3);
    let over = pool.acquire(&mut pool.turn(None, None, 0), false).await.unwrap_err();
    assert_eq!(over, NoServer::QueueFull);
    // One gives up; nobody behind it is held up.
    waiting.remove(1).abort();
    drop(held);
    assert_eq!((served.recv().await, served.recv().await), (Some(0), Some(2)));
    for waiting in waiting {
        waiting.await.unwrap();
    }
    assert_eq!((pool.waiting(), endpoint(&pool, 1).in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_queue_says() {
    let queue = Some(Queue { size: 3, timeout: Duration::from_millis(500) });
    let pool = pool(Upstream { max_in_flight: Some(1), queue, ..upstream(1) });
    let _held = pool.acquire(&mut pool.turn(None, None, 0), false).await.unwrap();
    let late = pool.acquire(&mut pool.turn(None, None, 0), false).await.unwrap_err();
    assert_eq!((late, pool.waiting()), (NoServer::QueueTimeout, 0));
}
