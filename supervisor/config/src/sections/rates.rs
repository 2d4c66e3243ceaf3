//! `rate_limit` of a vhost, a route or `[defaults]`: one rule or several.
//!
//! Owns what a rule may say and that no two of a list have one name; counts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Node, Read, Section};
use crate::sink::Place;
use crate::value::{self, duration};
use crate::{HandshakeRate, RateKey, RateLimit};

/// Above a million the time between two requests is no longer told apart.
const REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
/// Below a second nothing could be said of it in a header; above a day it is a quota to keep elsewhere.
const PER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Each is a look-up for every request.
const MOST_RULES: usize = 8;
/// More would be a bucket for hardly more than one request.
const MOST_KEYS: usize = 4;

const RULE: &str = "{ requests = 100, per = \"1s\" } or a list of such";
const BY: &str = "\"client_ip\", \"vhost\", \"path\" or \"header:NAME\", or a list of these";

/// The rules at `rate_limit`; those that hold around it where it is absent.
pub(crate) fn read(section: &Section<'_>, inherited: &[RateLimit]) -> Vec<RateLimit> {
    let rules = match section.one_or_more("rate_limit", RULE) {
        Read::Absent => return inherited.to_vec(),
        nodes => nodes.map_items(|node| rule(section, node)),
    };
    let Some(rules) = rules.good() else { return Vec::new() };
    if rules.value.len() > MOST_RULES {
        let flaw = Flaw::new(format!("there are {} rules", rules.value.len()));
        section.here("rate_limit", rules.at, flaw.help(format!("{MOST_RULES} is the most")));
    }
    report_duplicates(section, &rules.value);
    rules.value.into_iter().map(|rule| rule.value).collect()
}

fn rule(section: &Section<'_>, node: Node<'_>) -> Option<At<RateLimit>> {
    let DeValue::Table(table) = node.value else {
        section.wrong_type("rate_limit", RULE, node, None);
        return None;
    };
    let table = section.inline(node, table, &schema::RATE_LIMIT);
    let requests = match table.number("requests", REQUESTS) {
        Read::Absent => {
            table.missing("requests", "how many are allowed in the time of per");
            None
        }
        read => read.good(),
    };
    let per = table.require("per", "a duration such as \"1s\"", per);
    let by = keys(&table);
    let burst = table.number("burst", REQUESTS);
    let name = table.read("name", "a name", value::name);
    let modes = [("enforce", true), ("observe", false)];
    let enforced =
        table.read("mode", "\"enforce\" or \"observe\"", |text| value::word(text, &modes)).certain(true);
    let (requests, by) = (requests?.value, by?);
    let value = RateLimit {
        name: name.certain(named_after(&by))?,
        requests,
        per: per?.value,
        burst: burst.certain(requests)?,
        by,
        enforced: enforced?,
    };
    Some(At { at: node.at, value })
}

/// What is counted by: one key, or several together.
fn keys(table: &Section<'_>) -> Option<Vec<RateKey>> {
    let keys = match table.one_or_more("by", BY) {
        Read::Absent => return Some(vec![RateKey::ClientIp]),
        nodes => nodes.map_items(|node| {
            let text = table.text("by", BY, node)?;
            table.judge("by", node.at, key(text)).map(|value| At { at: node.at, value })
        }),
    };
    let keys = keys.good()?;
    let distinct: BTreeSet<_> = keys.value.iter().map(|key| &key.value).collect();
    let flaw = match keys.value.len() {
        0 => Flaw::new("the list is empty").help(format!("known are {BY}")),
        count if count > MOST_KEYS => {
            Flaw::new(format!("there are {count} keys")).help(format!("{MOST_KEYS} is the most"))
        }
        count if count > distinct.len() => Flaw::new("a key stands there twice").help("remove one of them"),
        count if count > 1 && distinct.contains(&RateKey::Vhost) => {
            Flaw::new("\"vhost\" counts all requests together, whatever stands beside it").help("remove it")
        }
        _ => return Some(keys.value.into_iter().map(|key| key.value).collect()),
    };
    table.here("by", keys.at, flaw);
    None
}

fn named_after(keys: &[RateKey]) -> String {
    keys.iter().map(|key| key.to_string().replace(':', "-")).collect::<Vec<_>>().join("-")
}

/// `handshake_rate` of `[limits]`.
pub(crate) fn handshakes(section: &Section<'_>) -> Option<HandshakeRate> {
    let table = section.optional("handshake_rate", &schema::HANDSHAKE_RATE)?;
    let handshakes = match table.number("handshakes", REQUESTS) {
        Read::Absent => {
            table.missing("handshakes", "how many are allowed in the time of per");
            None
        }
        read => read.good(),
    };
    let per = table.require("per", "a duration such as \"1s\"", per);
    let burst = table.number("burst", REQUESTS);
    let handshakes = handshakes?.value;
    Some(HandshakeRate { handshakes, per: per?.value, burst: burst.certain(handshakes)? })
}

fn per(text: &str) -> Result<Duration, Flaw> {
    let per = duration::positive(text)?;
    if PER.contains(&per) {
        return Ok(per);
    }
    Err(Flaw::new(format!("{} is out of range", show(text))).help("choose 1s to 1d"))
}

fn key(text: &str) -> Result<RateKey, Flaw> {
    let fixed = [("client_ip", RateKey::ClientIp), ("vhost", RateKey::Vhost), ("path", RateKey::Path)];
    if let Some((_, key)) = fixed.into_iter().find(|(name, _)| *name == text) {
        return Ok(key);
    }
    let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    match text.strip_prefix("header:") {
        Some(name) if !name.is_empty() && name.len() <= 40 && name.bytes().all(token) => {
            Ok(RateKey::Header(name.to_ascii_lowercase()))
        }
        Some(name) => Err(Flaw::new(format!("{} is not a header's name", show(name)))),
        None => Err(Flaw::new(format!("unknown key {}", show(text))).help(format!("known are {BY}"))),
    }
}

fn report_duplicates(section: &Section<'_>, rules: &[At<RateLimit>]) {
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    for At { at, value } in rules {
        if let Some(first) = seen.insert(&value.name, *at) {
            let flaw = Flaw::new(format!(
                "{} is already the name of a rule, in {}",
                show(&value.name),
                section.describe(first)
            ));
            section.here("rate_limit", *at, flaw.help("give each rule a name of its own"));
        }
    }
}
