//! Keeps the key sets of upstreams fresh.
//!
//! Owns when they are asked for: at once, then at intervals, earlier when a token names a key that is not
//! there, but never more often than a minimum, whoever sends such tokens. A set that can't be had or read
//! leaves the last good one in place; before there is one, tokens of it let nobody in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxheim_config::Jwks;
use http::header;
use pingora::http::RequestHeader;
use tokio::task::JoinSet;

use crate::edge::ask::Asker;
use crate::edge::live::Live;
use crate::policy::jwt::keys::{self, KeyRing, Keys};
use crate::upstream::Pool;

/// One key set and who serves it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) jwks: Jwks,
    pub(super) ring: Arc<KeyRing>,
}

/// Starts a task for each key set of `live`; dropped, they end.
#[must_use]
pub fn start(live: &Live) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for source in live.key_sources() {
        if let Some(pool) = live.pools.get(source.jwks.upstream) {
            let fetch =
                Fetch { source: source.clone(), pool: Arc::clone(pool), asker: Arc::clone(live.asker()) };
            tasks.spawn(fetch.run());
        }
    }
    tasks
}

struct Fetch {
    source: Source,
    pool: Arc<Pool>,
    asker: Arc<Asker>,
}

impl Fetch {
    async fn run(self) {
        loop {
            let asked = Instant::now();
            let next = if self.once().await { self.source.jwks.refresh } else { SOON };
            self.rest(asked, next).await;
        }
    }

    /// Until `next` after `asked`, or until a token names an unknown key.
    async fn rest(&self, asked: Instant, next: Duration) {
        loop {
            tokio::time::sleep(LOOK.min(next)).await;
            let since = asked.elapsed();
            if since >= next || (since >= LEAST && self.source.ring.take_missed()) {
                return;
            }
        }
    }

    /// Whether the set was had.
    async fn once(&self) -> bool {
        let (upstream, path) = (self.pool.config.name.as_str(), self.source.jwks.path.as_str());
        match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(upstream, path, "key set read");
                self.source.ring.replace(keys);
                true
            }
            Err(reason) => {
                tracing::warn!(
                    upstream,
                    path,
                    reason,
                    "key set not read: the last one stays, if there is one"
                );
                false
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let Jwks { path, timeout, .. } = &self.source.jwks;
        let request = request(&self.pool, path).map_err(|error| error.to_string())?;
        let answer = self.asker.ask(&self.pool, &request, keys::MOST_BYTES, *timeout).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.head.status != http::StatusCode::OK {
            return Err(format!("it answered {}", answer.head.status.as_u16()));
        }
        Keys::parse(&answer.body).map_err(|error| error.to_string())
    }
}

fn request(pool: &Pool, path: &str) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build(http::Method::GET, path.as_bytes(), Some(4))?;
    request.insert_header(header::HOST, pool.authority())?;
    request.insert_header(header::ACCEPT, "application/jwk-set+json, application/json")?;
    request.insert_header(header::USER_AGENT, concat!("fluxheim/", env!("CARGO_PKG_VERSION")))?;
    Ok(request)
}

/// After a failure.
const SOON: Duration = Duration::from_secs(10);
/// Between two questions, whatever tokens name.
const LEAST: Duration = Duration::from_secs(30);
/// How soon an unknown key is noticed.
const LOOK: Duration = Duration::from_secs(5);
