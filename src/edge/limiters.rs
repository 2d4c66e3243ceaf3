//! The rate and concurrency limits of each route, compiled, and their state.
//!
//! Owns which requests share a bucket or a queue: those of one route, and those of all routes of a vhost
//! that leave the limit to it. A reload keeps what was counted under rules that are still the same.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use fluxheim_config::{Config, Policy, RateKey, RateLimit, Vhost};
use http::{HeaderMap, HeaderValue};

use crate::edge::concurrency::{Concurrency, Terms};
use crate::policy::rate::{Rate, Table, Verdict};
use crate::types::Client;

/// All of a configuration's.
#[derive(Debug)]
pub struct Limiters {
    /// `None` where nothing asks for it.
    buckets: Option<Arc<Buckets>>,
    vhosts: Vec<OfVhost>,
    /// For requests that no vhost answers.
    no_vhost: Limiter,
}

#[derive(Debug)]
struct OfVhost {
    /// For requests that no route takes.
    own: Arc<Limiter>,
    routes: Vec<Arc<Limiter>>,
}

impl OfVhost {
    fn all(&self) -> impl Iterator<Item = &Arc<Limiter>> {
        std::iter::once(&self.own).chain(&self.routes)
    }
}

/// The table and the clock it lives by.
#[derive(Debug)]
struct Buckets {
    table: Table,
    entries: usize,
    began: Instant,
}

/// Those of a route.
#[derive(Debug)]
pub struct Limiter {
    scope: Scope,
    rules: Vec<Rule>,
    /// `RateLimit-Policy`, where a rule is enforced.
    pub policy: Option<HeaderValue>,
    pub concurrency: Option<Arc<Concurrency>>,
}

/// Where a limit was set; `route` is `None` on a vhost. Routes of one path are told apart by what else they ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scope {
    vhost: String,
    route: Option<(fluxheim_config::PathMatch, fluxheim_config::Conditions)>,
}

#[derive(Debug)]
struct Rule {
    config: RateLimit,
    rate: Rate,
    scope: Scope,
}

/// A request as rules count it.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    pub client: Client,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
}

/// What the rules of a route say to a request.
#[derive(Debug, Default)]
pub struct Said<'a> {
    /// `RateLimit`, where a rule is enforced.
    pub field: Option<HeaderValue>,
    /// The enforced rule that denies it, and how many whole seconds to wait.
    pub denied: Option<(&'a RateLimit, u64)>,
    /// Buckets that had to make room before they were full, since the last request.
    pub forgotten: u64,
    /// Rules that would deny it, if they were enforced.
    pub observed: Vec<&'a RateLimit>,
}

impl Limiters {
    /// Compiles them; `names` are those of the vhosts.
    #[must_use]
    pub fn new(config: &Config, names: &[String]) -> Self {
        let vhosts: Vec<_> =
            config.vhosts.iter().zip(names).map(|(vhost, name)| limiters(vhost, name)).collect();
        let entries = config.limits.rate_limit_entries;
        let no_vhost = limiter(&config.defaults, Scope { vhost: "-".to_owned(), route: None }, None);
        let wanted = !no_vhost.rules.is_empty()
            || vhosts.iter().flat_map(OfVhost::all).any(|limiter| !limiter.rules.is_empty());
        let buckets =
            wanted.then(|| Arc::new(Buckets { table: Table::new(entries), entries, began: Instant::now() }));
        Self { buckets, vhosts, no_vhost }
    }

    /// Vhost, name and mode of every rule: what series of metrics there may be.
    #[must_use]
    pub fn series(&self) -> BTreeSet<(&str, &str, &'static str)> {
        let all = self.vhosts.iter().flat_map(OfVhost::all).map(Arc::as_ref).chain([&self.no_vhost]);
        all.flat_map(|limiter| {
            let of = |rule: &'_ Rule| if rule.config.enforced { "enforce" } else { "observe" };
            limiter.rules.iter().map(move |rule| (&*limiter.scope.vhost, &*rule.config.name, of(rule)))
        })
        .collect()
    }

    /// Takes over what the same rules of `old` have counted.
    pub fn inherit(&mut self, old: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.buckets, &old.buckets)
            && mine.entries == theirs.entries
        {
            *mine = Arc::clone(theirs);
        }
        let known: std::collections::HashMap<_, _> = old
            .vhosts
            .iter()
            .flat_map(OfVhost::all)
            .filter_map(|limiter| Some((&limiter.scope, limiter.concurrency.as_ref()?)))
            .collect();
        for limiter in
            self.vhosts.iter_mut().flat_map(|of| std::iter::once(&mut of.own).chain(&mut of.routes))
        {
            let Some(theirs) = known.get(&limiter.scope) else { continue };
            if limiter.concurrency.as_ref().is_some_and(|mine| mine.terms == theirs.terms) {
                let concurrency = Some(Arc::clone(theirs));
                let (scope, policy) = (limiter.scope.clone(), limiter.policy.clone());
                let rules = limiter.rules.iter().map(Rule::again).collect();
                *limiter = Arc::new(Limiter { scope, rules, policy, concurrency });
            }
        }
    }

    /// The limits of a route; those of the vhost where no route takes a request, and of `[defaults]` where
    /// no vhost does.
    #[must_use]
    pub fn of(&self, vhost: Option<usize>, route: Option<usize>) -> &Limiter {
        let Some(of) = vhost.and_then(|vhost| self.vhosts.get(vhost)) else { return &self.no_vhost };
        route.and_then(|route| of.routes.get(route)).unwrap_or(&of.own)
    }

    /// Asks all rules of `limiter`. A request that one denies has taken nothing from the others.
    #[must_use]
    pub fn ask<'a>(&self, limiter: &'a Limiter, request: Counted<'_>) -> Said<'a> {
        let mut said = Said::default();
        let Some(buckets) = self.buckets.as_deref().filter(|_| !limiter.rules.is_empty()) else {
            return said;
        };
        let now = u64::try_from(buckets.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut taken = Vec::with_capacity(limiter.rules.len());
        let mut field = String::new();
        for rule in &limiter.rules {
            let key = rule.key(&buckets.table, request);
            let verdict = buckets.table.take(key, rule.rate, now);
            match verdict {
                Verdict::Pass { remaining, reset } => {
                    taken.push((key, rule.rate));
                    if rule.config.enforced {
                        append(&mut field, &rule.config.name, remaining, seconds(reset));
                    }
                }
                Verdict::Over { wait } if rule.config.enforced => {
                    append(&mut field, &rule.config.name, 0, seconds(wait));
                    said.denied = Some((&rule.config, seconds(wait)));
                    break;
                }
                Verdict::Over { .. } => said.observed.push(&rule.config),
            }
        }
        if said.denied.is_some() {
            taken.iter().for_each(|(key, rate)| buckets.table.put_back(*key, *rate, now));
        }
        said.forgotten = buckets.table.forgotten();
        said.field = HeaderValue::try_from(field).ok().filter(|field| !field.is_empty());
        said
    }
}

impl Rule {
    fn again(&self) -> Self {
        Self { config: self.config.clone(), rate: self.rate, scope: self.scope.clone() }
    }

    /// Rules that differ in anything never share a bucket.
    fn key(&self, table: &Table, request: Counted<'_>) -> u64 {
        table.key((&self.scope, &self.config, Sight { keys: &self.config.by, request }))
    }
}

/// A request as far as some keys see it.
struct Sight<'a> {
    keys: &'a [RateKey],
    request: Counted<'a>,
}

impl Hash for Sight<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Each part ends where the next begins: strings and byte slices are hashed with their length or an end.
        for key in self.keys {
            match key {
                RateKey::ClientIp => self.request.client.hash(state),
                RateKey::Vhost => {}
                RateKey::Path => self.request.path.hash(state),
                RateKey::Header(name) => {
                    self.request.headers.get(name).map(HeaderValue::as_bytes).hash(state);
                }
            }
        }
    }
}

fn limiters(vhost: &Vhost, name: &str) -> OfVhost {
    let own = Arc::new(limiter(&vhost.policy, Scope { vhost: name.to_owned(), route: None }, None));
    let of_route = |route: &fluxheim_config::Route| {
        let same_rates = route.policy.rate_limits == vhost.policy.rate_limits;
        if same_rates && Terms::of(&route.policy.limits) == Terms::of(&vhost.policy.limits) {
            return Arc::clone(&own);
        }
        let scope = Scope { vhost: name.to_owned(), route: Some((route.path.clone(), route.when.clone())) };
        Arc::new(limiter(&route.policy, scope, Some((&vhost.policy, &own))))
    };
    OfVhost { routes: vhost.routes.iter().map(of_route).collect(), own }
}

/// What a route leaves to its vhost, `around`, it shares with it.
fn limiter(policy: &Policy, scope: Scope, around: Option<(&Policy, &Arc<Limiter>)>) -> Limiter {
    let shared = around.filter(|(around, _)| around.rate_limits == policy.rate_limits);
    let rule_scope = shared.map_or(&scope, |(_, limiter)| &limiter.scope);
    let rules = policy.rate_limits.iter().map(|config| Rule {
        rate: Rate::new(config.requests, config.per, config.burst),
        config: config.clone(),
        scope: rule_scope.clone(),
    });
    let rules: Vec<_> = rules.collect();
    let terms = Terms::of(&policy.limits);
    let of_vhost = around.filter(|(around, _)| Terms::of(&around.limits) == terms);
    let concurrency = match of_vhost {
        Some((_, limiter)) => limiter.concurrency.clone(),
        None => terms.map(Concurrency::new).map(Arc::new),
    };
    Limiter { policy: policy_field(&policy.rate_limits), scope, rules, concurrency }
}

/// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, section 3): how many in what time.
fn policy_field(rules: &[RateLimit]) -> Option<HeaderValue> {
    let rules = rules.iter().filter(|rule| rule.enforced);
    let items =
        rules.map(|rule| format!("\"{}\";q={};w={}", rule.name, rule.requests, rule.per.as_secs().max(1)));
    HeaderValue::try_from(items.collect::<Vec<_>>().join(", ")).ok().filter(|field| !field.is_empty())
}

/// One item of `RateLimit` (the same, section 4): how many are left, and until when.
fn append(field: &mut String, name: &str, remaining: u64, seconds: u64) {
    let comma = if field.is_empty() { "" } else { ", " };
    field.push_str(&format!("{comma}\"{name}\";r={remaining};t={seconds}"));
}

/// Whole ones, so that after them it is so.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
