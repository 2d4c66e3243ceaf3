//! `forward_auth` and its `cache`: who is asked, and what is kept of the answer.
//!
//! Owns the rule that a kept permit is bound to what names the user; asks nobody.

use std::time::Duration;

use toml::de::DeValue;

use super::values;
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{Node, Read, Section};
use crate::sections::Names;
use crate::value::{self, duration, field};
use crate::{AuthCache, AuthKey, ForwardAuth};

/// A login service that takes longer is down.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A user who was locked out must not stay in for longer.
const MOST_TTL: Duration = Duration::from_secs(3600);
/// What login services look at.
const REQUEST_HEADERS: [&str; 6] =
    ["accept", "accept-language", "authorization", "cookie", "user-agent", "x-requested-with"];

/// The key of a vhost or route.
pub(crate) fn read(section: &Section<'_>, upstreams: &Names) -> Read<Option<ForwardAuth>> {
    super::table_or_off(section, "forward_auth", &schema::FORWARD_AUTH, |table| auth(table, upstreams))
}

fn auth(section: &Section<'_>, upstreams: &Names) -> Option<ForwardAuth> {
    let upstream = section.require("upstream", "the name of an upstream", |text| upstreams.upstream(text));
    let upstream = upstream.and_then(|name| upstreams.resolve(section.run().sink, "upstream", &name));
    let path = section.require("path", "such as \"/verify\"", field::target);
    let expected = "a list such as [\"cookie\"]";
    let request_headers = match section.list("request_headers", expected, field::end_to_end) {
        Read::Absent => REQUEST_HEADERS.map(str::to_owned).to_vec(),
        list => values(list),
    };
    let response_headers =
        values(section.list("response_headers", "a list such as [\"remote-user\"]", field::end_to_end));
    let timeout = section.read("timeout", duration::EXPECTED, duration::positive).or(TIMEOUT);
    let cache = section.any("cache").and_then(|node| cache(section, node, &request_headers));
    Some(ForwardAuth {
        upstream: upstream?,
        path: path?.value,
        request_headers,
        response_headers,
        timeout,
        cache,
    })
}

fn cache<'a>(section: &Section<'a>, node: Node<'a>, sent: &[String]) -> Option<AuthCache> {
    let DeValue::Table(table) = node.value else {
        section.wrong_type("cache", "a table with ttl and by", node, None);
        return None;
    };
    let section = section.inline(node, table, &schema::AUTH_CACHE);
    let ttl = section.require("ttl", "how long a permit holds, such as \"10s\"", ttl);
    let by = match section.list("by", "a list such as [\"header:cookie\", \"host\"]", key) {
        Read::Absent => {
            section.missing(
                "by",
                "what a permit is bound to, such as [\"header:cookie\", \"host\", \"target\"]",
            );
            return None;
        }
        list => list.good()?,
    };
    let names_user = |key: &AuthKey| matches!(key, AuthKey::Header(name) if sent.contains(name));
    if !by.value.iter().any(|key| names_user(&key.value)) {
        let flaw = Flaw::new("nothing of it tells one user from another");
        section.here("by", by.at, flaw.help("add a field of request_headers, such as \"header:cookie\""));
        return None;
    }
    Some(AuthCache { ttl: ttl?.value, by: by.value.into_iter().map(|key| key.value).collect() })
}

fn ttl(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if time <= MOST_TTL {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} is too long to shut somebody out", show(text))).help("choose up to 1h"))
}

fn key(text: &str) -> Result<AuthKey, Flaw> {
    match text.strip_prefix("header:") {
        Some(name) => field::name(name).map(AuthKey::Header),
        None => value::word(text, &KEYS.each_ref().map(|(name, key)| (*name, key))).cloned(),
    }
}

/// Parts of a request by name.
static KEYS: [(&str, AuthKey); 5] = [
    ("client_ip", AuthKey::ClientIp),
    ("method", AuthKey::Method),
    ("host", AuthKey::Host),
    ("path", AuthKey::Path),
    ("target", AuthKey::Target),
];

/// A part of a request, as the configuration writes it.
pub(crate) fn print_key(key: &AuthKey) -> String {
    match key {
        AuthKey::ClientIp => "client_ip".to_owned(),
        AuthKey::Method => "method".to_owned(),
        AuthKey::Host => "host".to_owned(),
        AuthKey::Path => "path".to_owned(),
        AuthKey::Target => "target".to_owned(),
        AuthKey::Header(name) => format!("header:{name}"),
    }
}
