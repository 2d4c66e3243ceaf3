//! `[acme]`: certificates by RFC 8555.
//!
//! Owns how the keys bear on each other and on the vhosts; records and state have modules of their own.

mod dns;
mod issuers;
mod storage;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::flaw::{Flaw, listed, show};
use crate::schema;
use crate::section::{Read, Section};
use crate::sections::vhosts::print_host;
use crate::value::{self, duration};
use crate::{Acme, AcmeChallenge, AcmeIssuer, BeforeFirst, Config, HostPattern, KeyType, TsigAlgorithm};

pub(crate) use dns::print_server;
pub(crate) use issuers::DEFAULT as DEFAULT_ISSUER;

/// Challenges by name.
pub(crate) const CHALLENGES: [(&str, AcmeChallenge); 4] = [
    named(AcmeChallenge::Http01),
    named(AcmeChallenge::TlsAlpn01),
    named(AcmeChallenge::Dns01),
    named(AcmeChallenge::DnsPersist01),
];
/// Kinds of keys by name.
pub(crate) const KEY_TYPES: [(&str, KeyType); 5] = [
    (KeyType::EcdsaP256.name(), KeyType::EcdsaP256),
    (KeyType::EcdsaP384.name(), KeyType::EcdsaP384),
    (KeyType::Rsa2048.name(), KeyType::Rsa2048),
    (KeyType::Rsa3072.name(), KeyType::Rsa3072),
    (KeyType::Rsa4096.name(), KeyType::Rsa4096),
];
/// Algorithms of TSIG by name; those on SHA-1 and MD5 are not to be used any more (RFC 8945 section 6).
pub(crate) const TSIG: [(&str, TsigAlgorithm); 3] = [
    (TsigAlgorithm::HmacSha256.name(), TsigAlgorithm::HmacSha256),
    (TsigAlgorithm::HmacSha384.name(), TsigAlgorithm::HmacSha384),
    (TsigAlgorithm::HmacSha512.name(), TsigAlgorithm::HmacSha512),
];
/// What may come before the first certificate.
pub(crate) const BEFORE_FIRST: [(&str, BeforeFirst); 2] =
    [("placeholder", BeforeFirst::Placeholder), ("refuse", BeforeFirst::Refuse)];

/// Let's Encrypt takes 300 orders of an account within three hours.
const ORDERS_PER_HOUR: u32 = 100;
/// Several, so that one slow name doesn't hold up the others; few, so that a CA isn't stormed.
const CONCURRENT_ORDERS: u32 = 8;

const fn named(challenge: AcmeChallenge) -> (&'static str, AcmeChallenge) {
    (challenge.name(), challenge)
}

/// How control over names is shown, as far as that can be told: what hosts and listeners are judged by,
/// whatever else is wrong.
pub(crate) struct Asking {
    /// Of each issuer; `None` where a flaw hides it.
    challenges: Vec<Option<AcmeChallenge>>,
}

/// The table, if there is one, and how it asks.
pub(crate) fn read(root: &Section<'_>) -> (Option<Acme>, Option<Asking>) {
    let Some(section) = root.optional("acme", &schema::ACME) else { return (None, None) };
    let (issuers, ways) = issuers::read(&section);
    let provided = section.has("dns") || section.may_hide("dns");
    if let (Some(way), false) =
        (ways.iter().find(|way| way.challenge == Some(AcmeChallenge::Dns01)), provided)
    {
        let whose = way
            .name
            .as_deref()
            .map_or_else(|| "an issuer".to_owned(), |name| format!("issuer {}", show(name)));
        let flaw = Flaw::new(format!("{whose} needs records, and nothing says how"));
        section.here("challenge", way.at, flaw.help("add [acme.dns] with a provider"));
    }
    let asking = Asking { challenges: ways.iter().map(|way| way.challenge).collect() };
    (acme(&section, issuers), Some(asking))
}

fn acme(section: &Section<'_>, issuers: Option<Vec<AcmeIssuer>>) -> Option<Acme> {
    let before = section.read("before_first", "a word", |text| value::word(text, &BEFORE_FIRST));
    let renew = section.read("renew_before", duration::EXPECTED, renew_before).good();
    let orders = section.number("max_orders_per_hour", 1..=100_000).or(ORDERS_PER_HOUR);
    let concurrent = section.number("max_concurrent_orders", 1..=64).or(CONCURRENT_ORDERS);
    let dns = dns::read(section);
    let storage = storage::read(&section.table("storage", &schema::ACME_STORAGE));
    Some(Acme {
        issuers: issuers?,
        before_first: before.or(BeforeFirst::Placeholder),
        renew_before: renew.map(|at| at.value),
        max_orders_per_hour: orders,
        max_concurrent_orders: concurrent,
        dns,
        storage: storage?,
    })
}

/// Less would leave no time for a second try.
fn renew_before(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if time >= Duration::from_secs(60) {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} leaves no time to renew", show(text)))
        .help("choose at least 1m, or leave it out for a third of each certificate's life"))
}

/// What the vhosts ask of ACME can be had.
pub(crate) fn check(root: &Section<'_>, config: &Config, asking: Option<&Asking>) {
    let hook = config.acme.as_ref().and_then(Acme::hook);
    let admin = config.admin.socket.as_deref().map(plain);
    if hook.is_some_and(|hook| admin == Some(plain(&hook.socket))) {
        let flaw = Flaw::new("dns.socket: the admin API listens there, by [admin]");
        root.run().sink.absence(root.place("acme"), flaw.help("name a socket of its own in [acme.dns]"));
    }
    if !config.vhosts.iter().any(|vhost| vhost.certificate == crate::VhostCertificate::Acme) {
        return;
    }
    let (sink, place) = (root.run().sink, root.place("vhosts"));
    let hosts: Vec<_> = config.acme_hosts().collect();
    if hosts.is_empty() {
        let flaw = Flaw::new("certificate: \"acme\" needs names, and hosts has none but \"*\"");
        sink.absence(place, flaw.help("list the names, as in hosts = [\"example.com\", \"*\"]"));
    }
    if config.server.https.is_empty() {
        let flaw = Flaw::new("https: nothing serves the certificates that certificate = \"acme\" asks for");
        sink.silence(root.place("server"), flaw.help("add https to [server]"));
    }
    match asking {
        Some(asking) => check_challenges(root, asking, &hosts, config),
        None if root.has("acme") || root.may_hide("acme") => {}
        None => {
            let flaw = Flaw::new("certificate = \"acme\" has no issuer: there is no [acme]");
            sink.absence(place, flaw.help("add [acme] with directory and terms_of_service_agreed"));
        }
    }
}

/// `path` without the ways around: two that are the same by that would be one socket. Links are not looked up here.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            // Above the root is the root.
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::Normal(_) | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

/// Some issuer can validate each host, and somebody answers the CA.
fn check_challenges(root: &Section<'_>, asking: &Asking, hosts: &[&HostPattern], config: &Config) {
    let sink = root.run().sink;
    if asking.challenges.contains(&Some(AcmeChallenge::Http01)) && config.server.http.is_empty() {
        let flaw = Flaw::new("http: the CA asks over plain HTTP on port 80, where nothing listens");
        let help = "add http to [server], or choose another challenge in [acme]";
        sink.silence(root.place("server"), flaw.help(help));
    }
    // One that can't be told may be the one that can.
    let Some(used) = asking.challenges.iter().copied().collect::<Option<Vec<_>>>() else { return };
    for host in hosts.iter().filter(|host| !used.iter().any(|challenge| challenge.can_validate(host))) {
        sink.absence(root.place("vhosts"), impossible(&used, host));
    }
}

fn impossible(used: &[AcmeChallenge], host: &HostPattern) -> Flaw {
    let used: BTreeSet<_> = used.iter().map(|challenge| challenge.name()).collect();
    let flaw = Flaw::new(format!(
        "certificate: no issuer can validate {} by {}",
        show(&print_host(host)),
        listed(used)
    ));
    match host {
        HostPattern::Wildcard(_) => flaw.help(
            "wildcards take challenge = \"dns-persist-01\" or \"dns-01\" in [acme] or one of its issuers",
        ),
        HostPattern::Exact(_) | HostPattern::Any => flaw.help(
            "addresses take challenge = \"http-01\" or \"tls-alpn-01\" in [acme] or one of its issuers",
        ),
    }
}

/// What a file's path is asked for with.
fn file(section: &Section<'_>, key: &'static str) -> Read<std::path::PathBuf> {
    match section.read(key, "the path of a file", value::path::file) {
        Read::Good(at) => {
            let place = at.at;
            let value = crate::sections::tls::resolved(section, at);
            Read::Good(crate::section::At { at: place, value })
        }
        Read::Absent => Read::Absent,
        Read::Flawed => Read::Flawed,
    }
}

/// [`file`] that must be there.
fn needed_file(section: &Section<'_>, key: &'static str, expected: &str) -> Option<std::path::PathBuf> {
    match file(section, key) {
        Read::Absent => {
            section.missing(key, expected);
            None
        }
        read => read.good().map(|at| at.value),
    }
}
