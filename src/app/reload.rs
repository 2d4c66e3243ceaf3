//! SIGHUP: a new configuration in place of the old one, or the old one kept.
//!
//! Owns the rehearsal: everything that can fail (parse, keys, static roots, names) happens before
//! anything is replaced. Listeners and hardening are fixed at start and say so.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fluxheim_config::Config;
use fluxheim_posture::confine::Reach;
use fluxheim_trust::{Identity, Terms};
use hickory_resolver::TokioResolver;
use pingora::connectors::ConnectorOptions;
use tokio::task::JoinSet;

use crate::acme::dns::Runners;
use crate::acme::{Handle, Settings};
use crate::app::manners::Manners;
use crate::app::record::{Record, hash};
use crate::app::rotate::{self, Rotating};
use crate::app::{acme, fixed, patience};
use crate::cli::Configuration;
use crate::edge::jwks;
use crate::edge::live::Live;
use crate::listen::{Crowd, Handshakes};
use crate::rotation::Sight;
use crate::telemetry::Telemetry;
use crate::tls::{Certificates, ClientAuths, KeysRead, Outwards, Termination};
use crate::upstream::health::{self, Checking};
use crate::upstream::resolve::{self, Refreshing};

/// What a reload replaces.
pub(super) struct Reloadable {
    pub live: Arc<ArcSwap<Live>>,
    pub manners: Manners,
    pub crowd: Arc<ArcSwap<Crowd>>,
    pub termination: Arc<Termination>,
    pub handshakes: Arc<Handshakes>,
    /// Where the configuration had ACME at the start.
    pub acme: Option<Handle>,
    /// Where a socket was made for them at the start.
    pub runners: Option<Runners>,
    pub resolver: TokioResolver,
    pub telemetry: Arc<Telemetry>,
    /// Kept for as long as its pools are in use.
    pub refreshing: Refreshing,
    /// Likewise for its key sets.
    pub fetching: JoinSet<()>,
    /// How checks connect.
    pub connecting: ConnectorOptions,
    pub checking: Checking,
    /// What is read anew when it is replaced.
    pub rotating: Rotating,
    /// Whether PID 1 judged us as a process that holds secrets. Its verdict does not cover any that
    /// come later.
    pub judged_with_secrets: bool,
    /// The files this process was confined to at its start, for good; `None` when it wasn't.
    pub confined_to: Option<Reach>,
    pub record: Arc<Record>,
}

/// What came of a reload: what was taken, or every mistake.
pub(super) type Outcome = Result<Taken, Vec<String>>;

/// A configuration that is in use now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub sha256: String,
    /// Keys that differ and stay as they were until a restart.
    pub until_restart: Vec<&'static str>,
}

impl Reloadable {
    /// Reads `path` anew and swaps it in; on any mistake the old configuration stays.
    pub(super) async fn reload(&mut self, at: &Configuration) -> Outcome {
        let outcome = self.try_reload(at).await;
        self.record.tried(&outcome);
        outcome
    }

    async fn try_reload(&mut self, at: &Configuration) -> Outcome {
        match self.rehearse(at).await {
            Ok((Built { live, certificates, sights }, refreshing, settings)) => {
                let until_restart = fixed::changed(&self.live.load().config, &live.config);
                warn_of_fixed(&until_restart);
                let sha256 = hash(&live.config);
                self.termination.replace(&live.config, &live.clients.load(), certificates);
                if let (Some(acme), Some(settings)) = (&self.acme, settings) {
                    acme.follow(settings);
                }
                self.crowd.store(Arc::new(crowd(&live.config)));
                self.handshakes.follow(&live.config.limits);
                self.manners.follow(&live.config);
                self.telemetry.follow(&live.config);
                self.fetching = jwks::start(&live);
                self.checking = health::start(&live.pools, &self.connecting);
                self.rotating.follow(&live.config, sights);
                self.telemetry.metrics.files.follow(self.rotating.files());
                let live = Arc::new(live);
                let old = self.live.swap(Arc::clone(&live));
                live.pools.iter().for_each(|pool| pool.follow_drains());
                self.refreshing = refreshing;
                old.forget(&live, &self.telemetry.metrics);
                self.telemetry.metrics.reload(true);
                tracing::info!(sha256, "configuration reloaded");
                Ok(Taken { sha256, until_restart })
            }
            Err(mistakes) => {
                self.telemetry.metrics.reload(false);
                tracing::error!(%mistakes, "reload refused: the running configuration stays");
                Err(mistakes.lines().map(str::to_owned).collect())
            }
        }
    }

    async fn rehearse(&self, at: &Configuration) -> Result<Rehearsed, String> {
        let (at, confined_to, secrets) = (at.clone(), self.confined_to.clone(), self.judged_with_secrets);
        let runners = self.runners.clone();
        let work = move || read_anew(&at, confined_to.as_ref(), secrets, runners.as_ref());
        let read = tokio::task::spawn_blocking(|| patience::reading(work)).await;
        let (mut built, settings) = read.map_err(|error| error.to_string())??;
        built.live.inherit(&self.live.load());
        let mut refreshing = resolve::start(&built.live.pools, &self.resolver, &self.telemetry);
        refreshing.first_answers().await;
        Ok((built, refreshing, settings))
    }
}

/// Everything that a reload puts in place.
type Rehearsed = (Built, Refreshing, Option<Settings>);

/// How clients of new connections are told apart.
pub(super) fn crowd(config: &Config) -> Crowd {
    Crowd {
        per_client: config.limits.max_connections_per_client,
        ipv6_prefix: config.limits.ipv6_prefix,
        exempt: config.server.trusted_proxies.clone(),
    }
}

/// Everything that touches a file.
fn read_anew(
    at: &Configuration,
    confined_to: Option<&Reach>,
    judged_with_secrets: bool,
    runners: Option<&Runners>,
) -> Result<(Built, Option<Settings>), String> {
    let config = super::load(at)?;
    check_reach(&Reach::of(&config, &at.path), confined_to)?;
    if config.has_secrets() && !judged_with_secrets {
        return Err(FIRST_SECRETS.to_owned());
    }
    let settings = acme::settings(&config, runners)?;
    Ok((build(config)?, settings))
}

/// What lies outside could only fail to open, file by file, with nothing but "permission denied".
fn check_reach(wanted: &Reach, confined_to: Option<&Reach>) -> Result<(), String> {
    let Some(confined_to) = confined_to else { return Ok(()) };
    let beyond = wanted.beyond(confined_to);
    if beyond.is_empty() {
        return Ok(());
    }
    let folders = beyond.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(format!(
        "the new configuration uses files below {folders}, and Landlock confined this process at its start to \
         the folders of the configuration it had then: restart it, or keep the files below one of those"
    ))
}

const FIRST_SECRETS: &str = "the new configuration names the first secrets (private keys, or a file of users), and whether this \
    process may hold any was not asked when it started: restart it";

/// Everything that a configuration names, read.
pub(super) struct Built {
    pub live: Live,
    pub certificates: Certificates,
    /// What the files were like just before.
    pub sights: Vec<Sight>,
}

/// Builds everything that a configuration names; the error lists all that is wrong with any of it.
///
/// # Errors
/// Text for people, one mistake a line.
pub(super) fn build(config: Config) -> Result<Built, String> {
    // Before any of it is read: what is replaced meanwhile is then found to be another.
    let sights = rotate::sights(&config);
    let terms = Terms::of(&config, Identity::current());
    let certificates = Certificates::load(&config, &terms).map_err(|errors| join(&errors));
    let outwards = Outwards::load(&config, &terms).map_err(|errors| join(&errors));
    let all = outwards.as_ref().map_or(&[][..], |outwards| &outwards.all);
    let clients = ClientAuths::load(&config, &terms).map_err(|errors| join(&errors));
    let believed = clients.clone().unwrap_or_default();
    let live = Live::new(config, all, believed).map_err(|errors| join(&errors));
    match (live, certificates, outwards, clients) {
        (Ok(live), Ok(certificates), Ok(outwards), Ok(clients)) => {
            tell(&certificates, &outwards, &clients, &live.config);
            Ok(Built { live, certificates, sights })
        }
        (live, certificates, outwards, clients) => {
            let mistakes = [live.err(), certificates.err(), outwards.err(), clients.err()];
            Err(mistakes.into_iter().flatten().collect::<Vec<_>>().join("\n"))
        }
    }
}

/// What is to be said of files that are used all the same, and of what is not asked of upstreams.
fn tell(certificates: &Certificates, outwards: &Outwards, clients: &ClientAuths, config: &Config) {
    let warnings = certificates.warnings().chain(&outwards.warnings).chain(clients.warnings());
    warnings.for_each(|warning| tracing::warn!("{warning}"));
    let mut keys = certificates.keys_read();
    keys.add(outwards.keys_read);
    tell_keeping(&keys);
    for upstream in &config.upstreams {
        if upstream.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify) {
            tracing::warn!(
                upstream = upstream.name,
                "insecure_skip_verify is on: whoever answers is believed to be this upstream"
            );
        }
    }
}

fn join<E: ToString>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// In what memory the keys were while they were read.
fn tell_keeping(keys: &KeysRead) {
    let KeysRead { secret_memory, locked, unlocked, worst } = *keys;
    if secret_memory + locked + unlocked > 0 {
        tracing::info!(secret_memory, locked, unlocked, "private keys read");
    }
    if let Some(keeping) = worst {
        tracing::warn!(
            unlocked,
            "private keys were read through {keeping}: raise the limit of locked memory (Docker, Podman: \
             --ulimit memlock=-1:-1); Kubernetes has no field for it: keep memory off swap (no_swap)"
        );
    }
}

/// What a reload can't change is said, not silently ignored.
fn warn_of_fixed(keys: &[&str]) {
    if !keys.is_empty() {
        let keys = keys.join(", ");
        tracing::warn!(keys, "changed, and as before until a restart");
    }
}
