//! Active checks: is a server able to take requests, before one is spent on finding out?
//!
//! Owns when which server is checked, and what follows from a result; what a check does is `probe`'s. One
//! task for each upstream with `health`; a bound over all of them on the checks at once. A server that was
//! not checked yet is taken to be healthy, and its first result is believed at once.

mod grpc;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::probe::Probe;
use super::Pool;
use super::clock::Tick;
use super::endpoint::Endpoint;

/// The checks of one set of pools; dropped, they end.
#[derive(Debug)]
pub struct Checking {
    _tasks: JoinSet<()>,
}

/// Starts checking every pool with `health`.
#[must_use]
pub fn start(pools: &[Arc<Pool>], options: &ConnectorOptions) -> Checking {
    let mut tasks = JoinSet::new();
    let connector = Arc::new(Connector::new(Some(options.clone())));
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    for pool in pools.iter().filter(|pool| pool.config.health.is_some()) {
        let (pool, connector, slots) = (Arc::clone(pool), Arc::clone(&connector), Arc::clone(&slots));
        tasks.spawn(Checks { pool, connector, slots }.run());
    }
    Checking { _tasks: tasks }
}

struct Checks {
    pool: Arc<Pool>,
    connector: Arc<Connector>,
    slots: Arc<Semaphore>,
}

impl Checks {
    async fn run(self) {
        let Some(interval) = self.pool.config.health.as_ref().map(|health| health.interval) else { return };
        // Not all upstreams in the same moment.
        tokio::time::sleep(interval.min(SPREAD).mul_f64(fastrand::f64())).await;
        loop {
            let began = Instant::now();
            self.round().await;
            // Many instances that started together drift apart.
            let next = interval.mul_f64(0.9 + 0.2 * fastrand::f64());
            tokio::time::sleep_until(began + next).await;
        }
    }

    /// Checks every address there is once.
    async fn round(&self) {
        let mut checks = JoinSet::new();
        for (endpoint, host) in self.pool.to_check() {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            let Some(probe) = self.probe(&endpoint, host) else { return };
            let (pool, connector) = (Arc::clone(&self.pool), Arc::clone(&self.connector));
            checks.spawn(async move {
                let result = probe.run(&connector).await;
                drop(slot);
                pool.report(&endpoint, &result, Tick::now());
            });
        }
        while checks.join_next().await.is_some() {}
    }

    fn probe(&self, endpoint: &Endpoint, host: String) -> Option<Probe> {
        let health = self.pool.config.health.as_ref()?;
        let mut address = endpoint.address;
        if let Some(port) = health.port {
            address.set_port(port);
        }
        let peer = self.pool.link.peer(address, None, Some(health.timeout));
        Some(Probe { check: health.check.clone(), timeout: health.timeout, address, peer, host })
    }
}

impl Pool {
    /// Every endpoint with the `Host` that its server goes by.
    fn to_check(&self) -> Vec<(Arc<Endpoint>, String)> {
        let table = self.table.load();
        let to_check = table.members.iter().filter_map(|member| {
            let name = super::seen::name(self.config.servers.get(member.server)?);
            Some((Arc::clone(&member.endpoint), name))
        });
        to_check.collect()
    }

    /// Takes the result of a check.
    fn report(&self, endpoint: &Endpoint, result: &Result<(), String>, now: Tick) {
        let Some(health) = &self.config.health else { return };
        if !endpoint.checked(result.is_ok(), health.healthy_after, health.unhealthy_after, now) {
            return;
        }
        let (upstream, server) = (&self.config.name, endpoint.address);
        match result {
            Ok(()) => tracing::info!(upstream, %server, "server is healthy again"),
            Err(reason) => tracing::warn!(upstream, %server, reason, "server is unhealthy"),
        }
        self.change(now, |_| ());
    }
}

/// Checks at once, over all upstreams: a burst that no file limit or name server notices.
const AT_ONCE: usize = 64;
/// Over how long the first checks are spread.
const SPREAD: Duration = Duration::from_millis(200);
