//! `[[vhosts]]`: who is answered.
//!
//! Owns the rule that no host stands in two vhosts; what is done for them is `routes`.

use std::collections::BTreeMap;

use super::{Names, client_auth, policy, routes};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::sink::Place;
use crate::value::host;
use crate::value::pattern::Captures;
use crate::{ClientAuth, HostPattern, Policy, Route, Vhost, VhostCertificate};

const HOSTS: &str = "a list such as [\"example.com\"]";
const CERTIFICATE: &str = "the name of a certificate, or a list of names";

/// What vhosts may refer to.
pub(crate) struct References {
    pub(crate) certificates: Names,
    pub(crate) upstreams: Names,
}

impl Vhost {
    /// A vhost with default settings.
    #[must_use]
    pub fn new(hosts: Vec<HostPattern>, routes: Vec<Route>) -> Self {
        Self {
            hosts,
            certificate: VhostCertificate::ByName,
            client_auth: None,
            redirect_to_https: false,
            policy: Policy::default(),
            routes,
        }
    }
}

/// All vhosts, and whether one asks clients for certificates, or may have been meant to.
pub(crate) fn read(root: &Section<'_>, references: &References, defaults: &Policy) -> (Vec<Vhost>, bool) {
    let mut taken = BTreeMap::new();
    let mut asks = false;
    let tables = root.tables("vhosts", &schema::VHOST);
    let vhosts = tables.iter().filter_map(|table| {
        let client_auth = client_auth::read(table);
        asks |= !matches!(client_auth, Ok(None));
        vhost(table, references, defaults, client_auth, &mut taken)
    });
    (vhosts.collect(), asks)
}

fn vhost(
    section: &Section<'_>,
    references: &References,
    defaults: &Policy,
    client_auth: Result<Option<ClientAuth>, ()>,
    taken: &mut BTreeMap<HostPattern, Place>,
) -> Option<Vhost> {
    let hosts = hosts(section, taken);
    let certificate = certificate(section, &references.certificates);
    let redirect = section.read("redirect", "\"https\"", redirect);
    let policy = policy::local(section, defaults, &references.upstreams, &Captures::default());
    // Of one that is flawed, nothing is known.
    let certificates = !matches!(client_auth, Ok(None));
    if !certificates {
        client_auth::check_asked(section, &policy, defaults);
    }
    let routes = routes::read(section, &references.upstreams, &policy, certificates);
    Some(Vhost {
        hosts: hosts?,
        certificate,
        client_auth: client_auth.ok().flatten(),
        redirect_to_https: redirect.or(false),
        policy,
        routes,
    })
}

/// One name, or several of certificates that differ in their kind of key.
fn certificate(section: &Section<'_>, known: &Names) -> VhostCertificate {
    if section.any("certificate").is_some_and(|node| node.value.as_str() == Some("acme")) {
        return VhostCertificate::Acme;
    }
    let names = section.one_or_more("certificate", CERTIFICATE).map_items(|node| {
        let text = section.text("certificate", "the name of a certificate", node)?;
        let name = section.judge("certificate", node.at, certificate_name(text))?;
        Some(At { at: node.at, value: name })
    });
    let Some(names) = names.good() else { return VhostCertificate::ByName };
    if names.value.is_empty() {
        let flaw =
            Flaw::new("the list is empty").help("remove it to serve whichever certificate fits the name");
        section.here("certificate", names.at, flaw);
    }
    let mut indices = Vec::new();
    for name in &names.value {
        let Some(index) = known.resolve(section.run().sink, "certificate", name) else { continue };
        if indices.contains(&index) {
            let flaw = Flaw::new(format!("{} stands here twice", show(&name.value)));
            section.here("certificate", name.at, flaw.help("keep one of them"));
        }
        indices.push(index);
    }
    VhostCertificate::Own(indices)
}

fn certificate_name(text: &str) -> Result<String, Flaw> {
    if text == "acme" {
        return Err(Flaw::new("\"acme\" stands beside others").help("write certificate = \"acme\" alone"));
    }
    Ok(text.to_owned())
}

/// `"https"` is the one redirect that every route of a vhost may need.
fn redirect(text: &str) -> Result<bool, Flaw> {
    match text {
        "https" => Ok(true),
        _ => Err(Flaw::new(format!("{} is not \"https\"", show(text)))
            .help("to send requests elsewhere, give a route: { path = \"/\", redirect = \"https://...\" }")),
    }
}

fn hosts(section: &Section<'_>, taken: &mut BTreeMap<HostPattern, Place>) -> Option<Vec<HostPattern>> {
    let default = section.boolean("default");
    let is_default = matches!(default, Read::Good(At { value: true, .. }));
    let mut hosts = match section.list("hosts", HOSTS, host::pattern) {
        Read::Absent if is_default => At { at: section.place("default"), value: Vec::new() },
        Read::Absent => {
            section.missing("hosts", "the names it answers for; [\"*\"] is every other one");
            return None;
        }
        read => read.good()?,
    };
    // The default vhost is the one that has "*" among its hosts, however that is written.
    if is_default && hosts.value.iter().all(|host| host.value != HostPattern::Any) {
        hosts.value.push(At { at: section.place("default"), value: HostPattern::Any });
    }
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
    let hosts: Vec<_> = hosts.value.into_iter().map(|host| host.value).collect();
    if matches!(default, Read::Good(At { value: false, .. })) && hosts.contains(&HostPattern::Any) {
        let flaw = Flaw::new("hosts has \"*\", which makes this vhost the default");
        section.here("default", section.place("default"), flaw.help("remove default, or \"*\" from hosts"));
    }
    Some(hosts)
}

/// A host as the configuration writes it.
pub(crate) fn print_host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(below) => format!("*.{below}"),
        HostPattern::Any => "*".to_owned(),
    }
}
