//! `[[vhosts.routes]]`: which requests each takes, and what it does with them.
//!
//! Owns the rule that every route of a vhost can be reached; routes nothing.

use std::collections::BTreeMap;

use super::{Names, actions, client_auth, conditions, policy};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Section};
use crate::sink::Place;
use crate::value::path;
use crate::value::pattern::Captures;
use crate::{Action, Conditions, PathMatch, Policy, Route};

const PATH: &str = "such as \"/\", \"= /exact\" or \"~ ^/u/(\\\\d+)$\"";

/// Where each path stands, with each set of conditions.
type Taken = BTreeMap<(PathMatch, Conditions), Place>;

impl Route {
    /// A route with default settings.
    #[must_use]
    pub fn new(path: PathMatch, action: Action) -> Self {
        Self { path, when: Conditions::default(), action, rewrite: None, policy: Policy::default() }
    }
}

/// The routes of a vhost.
///
/// `certificates` says whether the vhost asks clients for theirs.
pub(crate) fn read(
    section: &Section<'_>,
    upstreams: &Names,
    inherited: &Policy,
    certificates: bool,
) -> Vec<Route> {
    let mut taken = Taken::new();
    let tables = section.tables("routes", &schema::ROUTE);
    if tables.is_empty() {
        section.missing("routes", "at least one [[vhosts.routes]]");
    }
    tables
        .iter()
        .filter_map(|table| {
            let when = conditions::read(table, certificates);
            let policy = |captures: &Captures| {
                let policy = policy::local(table, inherited, upstreams, captures);
                if !certificates {
                    client_auth::check_asked(table, &policy, inherited);
                }
                policy
            };
            route(table, upstreams, policy, when, &mut taken)
        })
        .collect()
}

fn route(
    section: &Section<'_>,
    upstreams: &Names,
    policy: impl FnOnce(&Captures) -> Policy,
    when: Conditions,
    taken: &mut Taken,
) -> Option<Route> {
    let path = section.require("path", PATH, path::route);
    let (path, captures) = match path {
        Some(At { at, value: (path, captures) }) => (Some(At { at, value: path }), captures),
        None => (None, Captures::default()),
    };
    if let Some(path) = &path {
        check_reachable(section, path, &when, taken);
    }
    let path = path.map(|path| path.value);
    let action = actions::read(section, upstreams, &captures);
    let rewrite = actions::rewrite(section, path.as_ref(), &captures);
    let policy = policy(&captures);
    Some(Route { path: path?, when, action: action?, rewrite, policy })
}

fn check_reachable(section: &Section<'_>, path: &At<PathMatch>, when: &Conditions, taken: &mut Taken) {
    let key = |when: &Conditions| (path.value.clone(), when.clone());
    let shown = || show(&print_path(&path.value));
    if let Some(first) = taken.get(&key(when)) {
        let flaw = Flaw::new(format!("{} has a route already, in {}", shown(), section.describe(*first)));
        section.here(
            "path",
            path.at,
            flaw.help(
                "keep one of them, or tell them apart by methods, headers, query or client_certificate",
            ),
        );
    } else if let Some(first) = taken.get(&key(&Conditions::default())) {
        let before = section.describe(*first);
        let flaw =
            Flaw::new(format!("{} can't be reached: the route in {before} takes every request", shown()));
        section.here("path", path.at, flaw.help("put the one without conditions last"));
    }
    taken.entry(key(when)).or_insert(path.at);
}

/// A route's path as the configuration writes it.
pub(crate) fn print_path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("= {path}"),
        PathMatch::Prefix(path) => path.clone(),
        PathMatch::Regex(pattern) => format!("~ {pattern}"),
    }
}
