//! Keeps the addresses of named upstream servers fresh.
//!
//! Owns the resolver (hickory: never getaddrinfo, so a static binary needs no NSS) and one task per
//! upstream. A failed refresh keeps the last answer; records are asked again when they expire.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxheim_config::{UpstreamHost, UpstreamServer};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::telemetry::Telemetry;
use crate::upstream::Pool;
use crate::upstream::service::{self, Found};

/// Why names can't be resolved at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up name resolution from /etc/resolv.conf and /etc/hosts: {0}")]
pub struct ResolverError(String);

/// A resolver by the system's own configuration; without one, only /etc/hosts answers.
///
/// # Errors
/// [`ResolverError`] when the configuration exists and can't be used.
pub fn resolver() -> Result<TokioResolver, ResolverError> {
    build(None)
}

/// One that remembers nothing: for records that are looked for until they are there.
///
/// # Errors
/// As [`resolver`].
pub fn forgetful() -> Result<TokioResolver, ResolverError> {
    build(Some(0))
}

fn build(cache: Option<u64>) -> Result<TokioResolver, ResolverError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::warn!(%error, "no usable /etc/resolv.conf: only addresses and /etc/hosts names will resolve");
        TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = cache.unwrap_or(options.cache_size);
    builder.build().map_err(|error| ResolverError(error.to_string()))
}

/// The refresh tasks of one set of pools; dropped, they end.
#[derive(Debug)]
pub struct Refreshing {
    _tasks: JoinSet<()>,
    /// Closed once every task had its first answer.
    awaited: mpsc::Receiver<Infallible>,
}

impl Refreshing {
    /// Resolves when every name had its first answer, good or bad, or a while has passed: a name
    /// server that never answers must not keep us from starting.
    pub fn first_answers(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (_, empty) = mpsc::channel(1);
        let mut awaited = std::mem::replace(&mut self.awaited, empty);
        async move {
            let _ = tokio::time::timeout(FIRST_ANSWER, awaited.recv()).await;
        }
    }
}

/// Starts a refresh task for every pool with names.
#[must_use]
pub fn start(pools: &[Arc<Pool>], resolver: &TokioResolver, telemetry: &Arc<Telemetry>) -> Refreshing {
    let mut tasks = JoinSet::new();
    let (unanswered, awaited) = mpsc::channel(1);
    for pool in named(pools) {
        let refresh = Refresh {
            pool: Arc::clone(pool),
            resolver: resolver.clone(),
            telemetry: Arc::clone(telemetry),
            failing: BTreeSet::new(),
        };
        tasks.spawn(refresh.run(unanswered.clone()));
    }
    Refreshing { _tasks: tasks, awaited }
}

fn named(pools: &[Arc<Pool>]) -> impl Iterator<Item = &Arc<Pool>> {
    let has_name = |server: &UpstreamServer| !matches!(server.host, UpstreamHost::Ip(_));
    pools.iter().filter(move |pool| pool.config.servers.iter().any(has_name))
}

struct Refresh {
    pool: Arc<Pool>,
    resolver: TokioResolver,
    telemetry: Arc<Telemetry>,
    /// Servers whose name did not resolve last time; said once.
    failing: BTreeSet<usize>,
}

impl Refresh {
    async fn run(mut self, unanswered: mpsc::Sender<Infallible>) {
        let mut wait = self.once().await;
        drop(unanswered);
        loop {
            tokio::time::sleep(wait).await;
            wait = self.once().await;
        }
    }

    /// Asks for every server once; returns how long the answers hold.
    async fn once(&mut self) -> Duration {
        let mut wait = LONGEST;
        let pool = Arc::clone(&self.pool);
        for (at, server) in pool.config.servers.iter().enumerate() {
            let (addresses, holds) = self.server(at, server).await;
            wait = wait.min(holds);
            // At once: the next name may take long to answer.
            let mut known = self.pool.known();
            if let (Some(addresses), Some(known_here)) = (addresses, known.get_mut(at)) {
                *known_here = addresses;
                self.pool.replace(known);
            }
        }
        self.telemetry.metrics.upstream_addresses(&self.pool.config.name, self.pool.addresses());
        wait.max(SHORTEST)
    }

    async fn server(&mut self, at: usize, server: &UpstreamServer) -> (Option<Vec<Found>>, Duration) {
        let (name, found) = match &server.host {
            UpstreamHost::Ip(ip) => return (Some(vec![SocketAddr::new(*ip, server.port).into()]), LONGEST),
            UpstreamHost::Name(name) => (name, self.named(name, server.port).await),
            UpstreamHost::Service(name) => (name, service::find(&self.resolver, name).await),
        };
        match found {
            Ok((found, until)) => {
                if self.failing.remove(&at) {
                    tracing::info!(upstream = self.pool.config.name, name, "name resolves again");
                }
                (Some(found), until.saturating_duration_since(Instant::now()))
            }
            Err(error) => {
                if self.failing.insert(at) {
                    self.tell(name, &error);
                }
                (None, SHORTEST)
            }
        }
    }

    async fn named(&self, name: &str, port: u16) -> Result<(Vec<Found>, Instant), NetError> {
        let answer = self.resolver.lookup_ip(name).await?;
        let mut found: Vec<Found> = answer.iter().map(|ip| SocketAddr::new(ip, port).into()).collect();
        // Servers rotate their answers; a stable order keeps the table from changing.
        found.sort_unstable();
        Ok((found, answer.valid_until()))
    }

    /// Said when it begins, not each time that it is still so.
    fn tell(&self, name: &str, error: &dyn std::fmt::Display) {
        let upstream = &self.pool.config.name;
        match self.pool.addresses() {
            0 => {
                tracing::warn!(upstream, name, %error, "name does not resolve: requests get 502 until it does")
            }
            _ => {
                tracing::warn!(upstream, name, %error, "name does not resolve; the last known addresses stay")
            }
        }
    }
}

/// Between two refreshes at least, whatever the records' TTL.
const SHORTEST: Duration = Duration::from_secs(5);
/// Between two refreshes at most: /etc/hosts answers carry a TTL of a day.
const LONGEST: Duration = Duration::from_secs(60);
/// How long readiness waits for the first answers.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
