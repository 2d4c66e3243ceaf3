//! `[acme]`: certificates by RFC 8555.
//!
//! Owns how the keys bear on each other and on the vhosts; records and state have modules of their own.

mod dns;
mod issuers;
mod storage;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::flaw::{Flaw, listed, show};
use crate::schema;
use crate::section::{Read, Section};
use crate::sections::vhosts::print_host;
use crate::value::{self, duration};
use crate::{Acme, AcmeChallenge, BeforeFirst, Config, HostPattern, KeyType, TsigAlgorithm};

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

/// The table, if there is one.
pub(crate) fn read(root: &Section<'_>) -> Option<Acme> {
    let section = root.optional("acme", &schema::ACME)?;
    let issuers = issuers::read(&section);
    let before = section.read("before_first", "a word", |text| value::word(text, &BEFORE_FIRST));
    let renew = section.read("renew_before", duration::EXPECTED, renew_before).good();
    let orders = section.number("max_orders_per_hour", 1..=100_000).or(ORDERS_PER_HOUR);
    let concurrent = section.number("max_concurrent_orders", 1..=64).or(CONCURRENT_ORDERS);
    let dns = dns::read(&section);
    let storage = storage::read(&section.table("storage", &schema::ACME_STORAGE));
    let issuers = issuers?;
    let by_record = issuers.iter().find(|issuer| issuer.challenge == AcmeChallenge::Dns01);
    if let (Some(issuer), false) = (by_record, section.has("dns") || section.may_hide("dns")) {
        let flaw = Flaw::new(format!("issuer {} needs records, and nothing says how", show(&issuer.name)));
        section.here("challenge", section.place("challenge"), flaw.help("add [acme.dns] with a provider"));
    }
    Some(Acme {
        issuers,
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
pub(crate) fn check(root: &Section<'_>, config: &Config) {
    let hosts: Vec<_> = config.acme_hosts().collect();
    let sink = root.run().sink;
    let place = root.place("vhosts");
    let asked = config.vhosts.iter().any(|vhost| vhost.certificate == crate::VhostCertificate::Acme);
    let Some(acme) = &config.acme else {
        if asked && !root.has("acme") && !root.may_hide("acme") {
            let flaw = Flaw::new("certificate = \"acme\" has no issuer: there is no [acme]");
            sink.absence(place, flaw.help("add [acme] with directory and terms_of_service_agreed"));
        }
        return;
    };
    if asked && hosts.is_empty() {
        let flaw = Flaw::new("certificate: \"acme\" needs names, and hosts has none but \"*\"");
        sink.absence(place, flaw.help("list the names, as in hosts = [\"example.com\", \"*\"]"));
    }
    for host in hosts {
        if acme.issuers_for(host).next().is_none() {
            sink.absence(place, impossible(acme, host));
        }
    }
    if asked {
        check_listeners(root, acme, config);
    }
}

fn impossible(acme: &Acme, host: &HostPattern) -> Flaw {
    let used: BTreeSet<_> = acme.issuers.iter().map(|issuer| issuer.challenge.name()).collect();
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

/// Somebody must answer the CA, and somebody must want what it issues.
fn check_listeners(root: &Section<'_>, acme: &Acme, config: &Config) {
    let sink = root.run().sink;
    let uses = |challenge| acme.issuers.iter().any(|issuer| issuer.challenge == challenge);
    let server = root.place("server");
    if uses(AcmeChallenge::Http01) && config.server.http.is_empty() {
        let flaw = Flaw::new("http: the CA asks over plain HTTP on port 80, where nothing listens");
        sink.absence(server, flaw.help("add http to [server], or choose another challenge in [acme]"));
    }
    if config.server.https.is_empty() {
        let flaw = Flaw::new("https: nothing serves the certificates that certificate = \"acme\" asks for");
        sink.absence(server, flaw.help("add https to [server]"));
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
