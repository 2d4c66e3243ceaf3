//! Any settings about choosing a server that are free of mistakes.

use std::time::Duration;

use fluxheim_config::*;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{duration, file, host};

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,9}"
}

fn balance() -> impl Strategy<Value = Balance> {
    let by = prop_oneof![
        Just(HashBy::ClientIp),
        Just(HashBy::Uri),
        token().prop_map(|name| HashBy::Header(name.to_ascii_lowercase())),
        token().prop_map(HashBy::Cookie),
    ];
    let plain = select(vec![Balance::RoundRobin, Balance::Random, Balance::LeastConn, Balance::P2c]);
    let hash = (by, select(vec![HashKind::Ketama, HashKind::Maglev]))
        .prop_map(|(by, kind)| Balance::Hash(Hash { by, kind }));
    prop_oneof![plain, hash]
}

fn sticky() -> impl Strategy<Value = Sticky> {
    let same_site = select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]);
    (token(), file(), option::of(1..=31_622_400u64), any::<bool>(), same_site).prop_map(
        |(cookie, secret_file, ttl, secure, same_site)| Sticky {
            cookie,
            secret_file,
            ttl: ttl.map(Duration::from_secs),
            secure: secure || same_site == SameSite::None,
            same_site,
        },
    )
}

fn check_host() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![Just("[::1]".to_owned()), Just("10.0.0.7".to_owned()), "[a-z]{1,5}\\.test"])
}

fn check() -> impl Strategy<Value = HealthCheck> {
    let statuses = vec((200..=599u16, 0..=99u16), 1..3).prop_map(|list| {
        let range = |(first, more): (u16, u16)| StatusRange { first, last: (first + more).min(599) };
        list.into_iter().map(range).collect()
    });
    prop_oneof![
        ("/[!-\"$-~]{0,9}", check_host(), statuses)
            .prop_map(|(path, host, expect_status)| HealthCheck::Http { path, host, expect_status }),
        Just(HealthCheck::Tcp),
        ("[A-Za-z0-9._-]{0,9}", check_host()).prop_map(|(service, host)| HealthCheck::Grpc { service, host }),
    ]
}

prop_compose! {
    fn health()(
        check in check(),
        (interval, timeout) in (duration(100), duration(1)),
        (healthy_after, unhealthy_after) in (1..=1000u32, 1..=1000u32),
        port in option::of(1..=u16::MAX),
    ) -> Health {
        Health { check, interval, timeout: timeout.min(interval), healthy_after, unhealthy_after, port }
    }
}

prop_compose! {
    fn outlier()(
        consecutive_failures in 0..=1000u32,
        consecutive_5xx in 1..=1000u32,
        (one, other) in (duration(1), duration(1)),
        max_ejected in 1..=100u8,
    ) -> Outlier {
        let (base_ejection, max_ejection) = (one.min(other), one.max(other));
        Outlier { consecutive_failures, consecutive_5xx, base_ejection, max_ejection, max_ejected }
    }
}

prop_compose! {
    fn retry()(
        attempts in 1..=10u8,
        budget_percent in 0..=100u8,
        on in btree_set(select(RetryOn::ALL.to_vec()), 0..4),
    ) -> Retry {
        Retry { attempts, budget_percent, on: on.into_iter().map(|(_, on)| on).collect() }
    }
}

prop_compose! {
    fn server()(
        (host, port) in (host(), 1..=u16::MAX),
        weight in 1..=1000u16,
        (backup, drain) in (any::<bool>(), any::<bool>()),
        priority in 0..=100u8,
        zone in zone(),
        max_in_flight in option::of(1..=1_000_000u32),
    ) -> UpstreamServer {
        UpstreamServer { host, port, weight, backup, priority, zone, drain, max_in_flight }
    }
}

pub(super) fn zone() -> impl Strategy<Value = Option<String>> {
    option::of("[A-Za-z0-9_.-]{1,9}")
}

prop_compose! {
    /// An upstream with the default timeouts.
    pub(super) fn upstream(name: String)(
        servers in vec(server(), 1..4),
        balance in balance(),
        (sticky, health, outlier) in (option::of(sticky()), option::of(health()), option::of(outlier())),
        slow_start in option::of(duration(1)),
        panic_threshold in 0..=100u8,
        max_in_flight in option::of(1..=1_000_000u32),
        queue in option::of((1..=1_000_000u32, duration(1))),
        retry in retry(),
    ) -> Upstream {
        let mut kept: Vec<UpstreamServer> = Vec::new();
        for server in servers {
            if kept.iter().all(|other| (&other.host, other.port) != (&server.host, server.port)) {
                kept.push(server);
            }
        }
        let bounded = max_in_flight.is_some() || kept.iter().any(|server| server.max_in_flight.is_some());
        let queue = queue.filter(|_| bounded).map(|(size, timeout)| Queue { size, timeout });
        Upstream {
            balance,
            sticky,
            health,
            outlier,
            slow_start,
            panic_threshold,
            max_in_flight,
            queue,
            retry,
            ..Upstream::new(&name, kept)
        }
    }
}
