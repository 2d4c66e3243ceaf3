//! The tables that requests are served from, built from one configuration and never changed.
//!
//! Owns what a reload would replace as a whole: routes, upstream pools, static roots, names for
//! logs. Opening the static roots is the only thing here that touches files.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fluxheim_config::{Action, Config, Policy, Redirect, Route, Upstream, Vhost};
use fluxheim_trust::{Identity, Terms};
use http::HeaderName;

use crate::edge::ask::Asker;
use crate::edge::consult::Permits;
use crate::edge::errors::Pages;
use crate::edge::files::Site;
use crate::edge::fresh;
use crate::edge::jwks::Source;
use crate::edge::limiters::Limiters;
use crate::edge::local::Fixed;
use crate::edge::passwords::Passwords;
use crate::edge::rules::RuleTable;
use crate::edge::shape::Shapes;
use crate::policy::keyed::NoRandomness;
use crate::policy::{Permit, Rules};
use crate::route::{BadPattern, Routed, Routes};
use crate::telemetry;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::meters::VhostMeters;
use crate::telemetry::servers::{ServerSample, UpstreamSample};
use crate::tls::{ClientAuths, Outward};
use crate::upstream::clock::Tick;
use crate::upstream::{Pool, ServerListed};

/// Immutable; shared by reference with every request.
#[derive(Debug)]
pub struct Live {
    pub config: Config,
    pub routes: Routes,
    pub shapes: Shapes,
    pub pools: Vec<Arc<Pool>>,
    pub limiters: Limiters,
    /// Whose client certificates each vhost believes; replaced with the files that say so.
    pub clients: ArcSwap<ClientAuths>,
    targets: Vec<Vec<Target>>,
    vhosts: Vec<VhostMeters>,
    rules: RuleTable,
    passwords: Passwords,
    asker: Arc<Asker>,
    permits: Permits,
    /// How logs call each vhost's routes.
    route_names: Vec<Vec<String>>,
    /// The field that has a request's id.
    pub request_id_field: HeaderName,
    /// The operator's own pages for failures.
    pub pages: Pages,
}

/// What a route leads to, ready to use.
#[derive(Debug, Clone)]
pub enum Target {
    Upstream(Arc<Pool>),
    Static(Arc<Site>),
    Redirect(Arc<Redirect>),
    Respond(Arc<Fixed>),
    /// The same place over TLS.
    Https,
}

/// Why the tables can't be built.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Parsing rules this out.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// A static root can't be opened.
    #[error("static root of vhost {vhost}: {reason}")]
    StaticRoot {
        /// First host pattern of the vhost.
        vhost: String,
        /// What went wrong and how to mend it.
        reason: String,
    },
    /// A file that a policy or `respond` names can't be used.
    #[error("{0}")]
    Policy(String),
    /// Passwords can't be judged.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The key of an upstream's sticky cookies can't be used.
    #[error("sticky cookie of upstream {upstream:?}: {reason}")]
    StickyKey {
        /// Name in the configuration.
        upstream: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// An index of the configuration leads nowhere; parsing rules this out.
    #[error("vhost {vhost} names an upstream that does not exist")]
    NoSuchUpstream {
        /// First host pattern of the vhost.
        vhost: String,
    },
}

impl Live {
    /// Builds the tables; `outwards` is what was read for the TLS of each upstream, `clients` what was read
    /// for the certificates of clients.
    ///
    /// # Errors
    /// Every [`LiveError`], with the vhost at fault.
    pub fn new(
        config: Config,
        outwards: &[Option<Outward>],
        clients: ClientAuths,
    ) -> Result<Self, Vec<LiveError>> {
        let (pools, mut errors) = pools(&config, outwards);
        if !errors.is_empty() {
            // Routes refer to pools by their place.
            return Err(errors);
        }
        let mut targets = Vec::new();
        for vhost in &config.vhosts {
            let (good, bad): (Vec<_>, Vec<_>) = vhost
                .routes
                .iter()
                .map(|route| target(vhost, &route.action, &pools))
                .partition(Result::is_ok);
            targets.push(good.into_iter().filter_map(Result::ok).collect());
            errors.extend(bad.into_iter().filter_map(Result::err));
        }
        let rules = RuleTable::new(&config).map_err(|wrong| errors.extend(wrong)).ok();
        let passwords = Passwords::new().map_err(|error| errors.push(error.into())).ok();
        let permits = Permits::new().map_err(|error| errors.push(error.into())).ok();
        let pages = Pages::read(&config)
            .map_err(|wrong| errors.extend(wrong.into_iter().map(LiveError::Policy)))
            .ok();
        let (Some(rules), Some(passwords), Some(permits), Some(pages), true) =
            (rules, passwords, permits, pages, errors.is_empty())
        else {
            return Err(errors);
        };
        let names: Vec<_> = config.vhosts.iter().map(Vhost::label).collect();
        let routes = match Routes::new(&config.vhosts) {
            Ok(routes) if errors.is_empty() => routes,
            Ok(_) => return Err(errors),
            Err(bad) => {
                errors.push(bad.into());
                return Err(errors);
            }
        };
        let vhosts = config.vhosts.iter().map(|vhost| VhostMeters::new(&vhost.label())).collect();
        let route_names =
            config.vhosts.iter().map(|vhost| vhost.routes.iter().map(Route::label).collect()).collect();
        let request_id_field = telemetry::request_id_field(&config.tracing);
        let shapes = Shapes::new(&config);
        let limiters = Limiters::new(&config, &names);
        Ok(Self {
            routes,
            shapes,
            pools,
            limiters,
            clients: ArcSwap::from_pointee(clients),
            targets,
            rules,
            passwords,
            asker: Arc::new(Asker::new()),
            permits,
            vhosts,
            route_names,
            request_id_field,
            pages,
            config,
        })
    }

    /// Takes over the state of what is the same in `old`.
    pub fn inherit(&mut self, old: &Self) {
        self.pools.iter().for_each(|pool| pool.inherit(&old.pools));
        self.limiters.inherit(&old.limiters);
        self.passwords = old.passwords.clone();
        self.asker = Arc::clone(&old.asker);
        for source in &self.rules.sources {
            let same = |other: &&Source| self.is_same_source(source, old, other);
            if let Some(other) = old.rules.sources.iter().find(same) {
                source.ring.inherit(&other.ring);
            }
        }
    }

    /// What a permitted request leads to.
    #[must_use]
    pub fn target(&self, permit: &Permit) -> Option<&Target> {
        let routed = permit.routed();
        self.targets.get(routed.vhost())?.get(routed.route())
    }

    /// What the configuration says of a route.
    #[must_use]
    pub fn route(&self, routed: Routed) -> Option<&Route> {
        self.config.vhosts.get(routed.vhost())?.routes.get(routed.route())
    }

    /// The settings for requests of `route` in `vhost`: those of the vhost where no route takes them, the
    /// defaults where no vhost does.
    #[must_use]
    pub fn policy(&self, vhost: Option<usize>, route: Option<usize>) -> &Policy {
        let Some(vhost) = vhost.and_then(|vhost| self.config.vhosts.get(vhost)) else {
            return &self.config.defaults;
        };
        let route = route.and_then(|route| vhost.routes.get(route));
        route.map_or(&vhost.policy, |route| &route.policy)
    }

    /// The route's name in logs.
    #[must_use]
    pub fn route_name(&self, vhost: Option<usize>, route: Option<usize>) -> Option<&str> {
        self.route_names.get(vhost?)?.get(route?).map(String::as_str)
    }

    /// Where passwords are judged.
    pub(super) const fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Who asks upstreams questions of our own.
    pub(crate) const fn asker(&self) -> &Arc<Asker> {
        &self.asker
    }

    /// The permits of other services. A reload forgets them: they were given under other rules.
    pub(super) const fn permits(&self) -> &Permits {
        &self.permits
    }

    /// The key sets that upstreams serve.
    pub(super) fn key_sources(&self) -> &[Source] {
        &self.rules.sources
    }

    /// Whether both are the same set of the same servers.
    fn is_same_source(&self, source: &Source, earlier: &Self, other: &Source) -> bool {
        let upstream =
            |live: &Self, source: &Source| live.config.upstreams.get(source.jwks.upstream).cloned();
        source.jwks.path == other.jwks.path && upstream(self, source) == upstream(earlier, other)
    }

    /// The files of users and keys that policies name.
    pub(super) const fn rule_table(&self) -> &RuleTable {
        &self.rules
    }

    /// The request fields that are only ours to send.
    #[must_use]
    pub fn claims(&self) -> &[HeaderName] {
        &self.rules.claims
    }

    /// The compiled policies for the same requests as [`Live::policy`].
    #[must_use]
    pub fn rules(&self, vhost: Option<usize>, route: Option<usize>) -> &Rules {
        self.rules.of(vhost, route)
    }

    /// Every upstream server as it is now.
    #[must_use]
    pub fn sample_servers(&self) -> UpstreamSample {
        let now = Tick::now();
        let mut sample = UpstreamSample::default();
        for pool in &self.pools {
            let upstream = &pool.config.name;
            sample.servers.extend(pool.servers(now).into_iter().map(|seen| ServerSample {
                upstream: upstream.clone(),
                server: seen.server,
                address: seen.address.to_string(),
                healthy: seen.healthy,
                ejected: seen.ejected,
                draining: seen.draining,
                in_flight: seen.in_flight,
            }));
            if pool.config.queue.is_some() {
                sample.waiting.push((upstream.clone(), pool.waiting()));
            }
        }
        sample
    }

    /// Every upstream with its servers as they are now.
    pub fn list_upstreams(&self) -> impl Iterator<Item = (&Arc<Pool>, Vec<ServerListed>)> {
        let now = Tick::now();
        self.pools.iter().map(move |pool| (pool, pool.listed(now)))
    }

    /// What the vhost counts, and its name in logs; `None` where no vhost answers.
    #[must_use]
    pub fn meters(&self, vhost: Option<usize>) -> Option<&VhostMeters> {
        self.vhosts.get(vhost?)
    }

    /// Drops the series of what `next` has no more.
    pub fn forget(&self, next: &Self, metrics: &Metrics) {
        let gone = |vhost: &&VhostMeters| !next.vhosts.iter().any(|kept| kept.name() == vhost.name());
        self.vhosts.iter().filter(gone).for_each(|vhost| metrics.forget_vhost(vhost));
        for (vhost, rule, mode) in self.limiters.series().difference(&next.limiters.series()) {
            metrics.forget_rate_limit(vhost, rule, mode);
        }
        let gone = |pool: &&Arc<Pool>| !next.pools.iter().any(|kept| kept.config.name == pool.config.name);
        self.pools.iter().filter(gone).for_each(|pool| metrics.forget_upstream(&pool.meters));
    }
}

/// Every pool, with the key of its sticky cookies and what was read for its TLS.
fn pools(config: &Config, outwards: &[Option<Outward>]) -> (Vec<Arc<Pool>>, Vec<LiveError>) {
    let terms = Terms::of(config, Identity::current());
    let outwards = outwards.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let pools = config.upstreams.iter().zip(outwards);
    let (good, bad): (Vec<_>, Vec<_>) =
        pools.map(|(upstream, outward)| pool(config, upstream, outward, &terms)).partition(Result::is_ok);
    (good.into_iter().flatten().map(Arc::new).collect(), bad.into_iter().filter_map(Result::err).collect())
}

fn pool(
    config: &Config,
    upstream: &Upstream,
    outward: Option<&Outward>,
    terms: &Terms,
) -> Result<Pool, LiveError> {
    let sticky = fluxheim_trust::sticky_key(upstream);
    let sticky = sticky.map(|object| fresh::sticky_key(&upstream.name, &object, terms)).transpose();
    let sticky = sticky.map_err(|reason| LiveError::StickyKey { upstream: upstream.name.clone(), reason })?;
    Ok(Pool::new(upstream.clone(), outward, config.server.zone.as_deref(), sticky))
}

fn target(vhost: &Vhost, action: &Action, pools: &[Arc<Pool>]) -> Result<Target, LiveError> {
    match action {
        Action::Upstream(index) => pools
            .get(*index)
            .map(|pool| Target::Upstream(Arc::clone(pool)))
            .ok_or_else(|| LiveError::NoSuchUpstream { vhost: vhost.label() }),
        Action::Static(files) => Site::open(files)
            .map(|site| Target::Static(Arc::new(site)))
            .map_err(|error| LiveError::StaticRoot { vhost: vhost.label(), reason: error.to_string() }),
        Action::Redirect(redirect) => Ok(Target::Redirect(Arc::new(redirect.clone()))),
        Action::Respond(respond) => {
            Fixed::new(respond).map(|fixed| Target::Respond(Arc::new(fixed))).map_err(LiveError::Policy)
        }
    }
}
