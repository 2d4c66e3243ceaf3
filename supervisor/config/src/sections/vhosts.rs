//! `[[vhosts]]` and `[[vhosts.routes]]`: who is answered, and how.
//!
//! Owns the rules that no host stands in two vhosts and no path twice in one; routes nothing.

use std::collections::BTreeMap;

use super::{Names, files, policy};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::sink::Place;
use crate::value::{self, host, path};
use crate::{Action, HostPattern, PathMatch, Policy, Route, Vhost};

const HOSTS: &str = "a list such as [\"example.com\"]";

/// What vhosts may refer to.
pub(crate) struct References {
    pub(crate) certificates: Names,
    pub(crate) upstreams: Names,
}

impl Vhost {
    /// A vhost with default settings.
    #[must_use]
    pub fn new(hosts: Vec<HostPattern>, routes: Vec<Route>) -> Self {
        Self { hosts, certificate: None, policy: Policy::default(), routes }
    }
}

impl Route {
    /// A route with default settings.
    #[must_use]
    pub fn new(path: PathMatch, action: Action) -> Self {
        Self { path, action, policy: Policy::default() }
    }
}

/// All vhosts.
pub(crate) fn read(root: &Section<'_>, references: &References, defaults: &Policy) -> Vec<Vhost> {
    let mut taken = BTreeMap::new();
    let tables = root.tables("vhosts", &schema::VHOST);
    tables.iter().filter_map(|table| vhost(table, references, defaults, &mut taken)).collect()
}

fn vhost(
    section: &Section<'_>,
    references: &References,
    defaults: &Policy,
    taken: &mut BTreeMap<HostPattern, Place>,
) -> Option<Vhost> {
    let hosts = hosts(section, taken);
    let certificate = section.read("certificate", "the name of a certificate", certificate_name).good();
    let certificate = certificate
        .and_then(|name| references.certificates.resolve(section.run().sink, "certificate", &name));
    let policy = policy::local(section, defaults, &references.upstreams);
    let routes = routes(section, &references.upstreams, &policy);
    Some(Vhost { hosts: hosts?, certificate, policy, routes })
}

fn certificate_name(text: &str) -> Result<String, Flaw> {
    if text == "acme" {
        return Err(Flaw::new("certificates by ACME are not supported in this version")
            .help("name one of [[tls.certificates]]"));
    }
    Ok(text.to_owned())
}

fn hosts(section: &Section<'_>, taken: &mut BTreeMap<HostPattern, Place>) -> Option<Vec<HostPattern>> {
    let hosts = match section.list("hosts", HOSTS, host::pattern) {
        Read::Absent => {
            section.missing("hosts", "the names it answers for; [\"*\"] is every other one");
            return None;
        }
        read => read.good()?,
    };
    if hosts.value.is_empty() {
        section.here("hosts", hosts.at, Flaw::new("the list is empty").help("[\"*\"] is every other host"));
    }
    for At { at, value } in &hosts.value {
        if let Some(first) = taken.get(value) {
            let first = section.describe(*first);
            let flaw = Flaw::new(format!("{} is already answered for, in {first}", show(&print_host(value))));
            section.here("hosts", *at, flaw.help("name each host in one vhost"));
        }
        taken.entry(value.clone()).or_insert(*at);
    }
    Some(hosts.value.into_iter().map(|host| host.value).collect())
}

fn routes(section: &Section<'_>, upstreams: &Names, inherited: &Policy) -> Vec<Route> {
    let mut taken: BTreeMap<PathMatch, Place> = BTreeMap::new();
    let tables = section.tables("routes", &schema::ROUTE);
    if tables.is_empty() {
        section.missing("routes", "at least one [[vhosts.routes]]");
    }
    tables.iter().filter_map(|table| route(table, upstreams, inherited, &mut taken)).collect()
}

fn route(
    section: &Section<'_>,
    upstreams: &Names,
    inherited: &Policy,
    taken: &mut BTreeMap<PathMatch, Place>,
) -> Option<Route> {
    let path = section.require("path", "such as \"/\" or \"= /exact\"", path::route);
    if let Some(At { at, value }) = &path {
        if let Some(first) = taken.get(value) {
            let flaw = Flaw::new(format!(
                "{} has a route already, in {}",
                show(&print_path(value)),
                section.describe(*first)
            ));
            section.here("path", *at, flaw.help("keep one of them"));
        }
        taken.entry(value.clone()).or_insert(*at);
    }
    let action = action(section, upstreams);
    let policy = policy::local(section, inherited, upstreams);
    Some(Route { path: path?.value, action: action?, policy })
}

fn action(section: &Section<'_>, upstreams: &Names) -> Option<Action> {
    let upstream = section.read("upstream", "the name of an upstream", value::name);
    let files = files::read(section);
    match (upstream, files) {
        (Read::Good(name), Read::Absent) => {
            upstreams.resolve(section.run().sink, "upstream", &name).map(Action::Upstream)
        }
        (Read::Absent, Read::Good(files)) => Some(Action::Static(files.value)),
        (Read::Absent, Read::Absent) => {
            if !section.may_hide("static") {
                section.missing("upstream", "the name of an upstream; or static, a folder of files");
            }
            None
        }
        (Read::Good(_), Read::Good(files)) => {
            let flaw = Flaw::new("a route has either upstream or static, this one has both");
            section.here("static", files.at, flaw.help("remove one of them"));
            None
        }
        _ => None,
    }
}

/// A host as the configuration writes it.
pub(crate) fn print_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(below) => format!("*.{below}"),
        HostPattern::Any => "*".to_owned(),
    }
}

/// A route's path as the configuration writes it.
pub(crate) fn print_path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("= {path}"),
        PathMatch::Prefix(path) => path.clone(),
    }
}
