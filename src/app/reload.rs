//! SIGHUP: a new configuration in place of the old one, or the old one kept.
//!
//! Owns the rehearsal: everything that can fail (parse, keys, static roots, names) happens before
//! anything is replaced. Listeners and hardening are fixed at start and say so.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fluxheim_config::Config;
use fluxheim_trust::Identity;
use hickory_resolver::TokioResolver;

use crate::edge::live::Live;
use crate::telemetry::Telemetry;
use crate::tls::{self, Certificates};
use crate::upstream::resolve::{self, Refreshing};

/// What a reload replaces.
pub(super) struct Reloadable {
    pub live: Arc<ArcSwap<Live>>,
    pub certificates: Arc<tls::Resolver>,
    pub resolver: TokioResolver,
    pub telemetry: Arc<Telemetry>,
    /// Kept for as long as its pools are in use.
    pub refreshing: Refreshing,
    /// Whether PID 1 judged us as a process that holds secrets. Its verdict does not cover any that
    /// come later.
    pub judged_with_secrets: bool,
}

impl Reloadable {
    /// Reads `path` anew and swaps it in; on any mistake the old configuration stays.
    pub(super) async fn reload(&mut self, path: &Path) {
        match self.rehearse(path).await {
            Ok((live, certificates, refreshing)) => {
                warn_of_fixed(&self.live.load().config, &live.config);
                self.certificates.replace(certificates);
                self.live.store(Arc::new(live));
                self.refreshing = refreshing;
                tracing::info!("configuration reloaded");
            }
            Err(mistakes) => tracing::error!(%mistakes, "reload refused: the running configuration stays"),
        }
    }

    async fn rehearse(&self, path: &Path) -> Result<(Live, Certificates, Refreshing), String> {
        let config = super::load(path)?;
        if config.has_secrets() && !self.judged_with_secrets {
            return Err(FIRST_SECRETS.to_owned());
        }
        let certificates = certificates(&config)?;
        let live = Live::new(config).map_err(|error| error.to_string())?;
        let mut refreshing = resolve::start(&live.pools, &self.resolver, &self.telemetry);
        refreshing.first_answers().await;
        Ok((live, certificates, refreshing))
    }
}

const FIRST_SECRETS: &str = "the new configuration names the first private keys, and whether this \
    process may hold any was not asked when it started: restart it";

/// Loads every certificate; the error lists all that is wrong.
///
/// # Errors
/// Text for people, one file a line.
pub(super) fn certificates(config: &Config) -> Result<Certificates, String> {
    Certificates::load(config, &Identity::current())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// What a reload can't change is said, not silently ignored.
fn warn_of_fixed(old: &Config, new: &Config) {
    let same_server = old.server.http == new.server.http
        && old.server.https == new.server.https
        && old.server.threads == new.server.threads
        && old.metrics == new.metrics;
    if !same_server || old.tls.min_version != new.tls.min_version || old.hardening != new.hardening {
        tracing::warn!(
            "listeners, threads, tls.min_version, metrics and hardening change only with a restart"
        );
    }
    if old.limits.max_connections != new.limits.max_connections || old.logging != new.logging {
        tracing::warn!("limits.max_connections and logging change only with a restart");
    }
}
