//! `jwt` and its `jwks`: whose tokens are taken, and what they must say.
//!
//! Owns the rule that nothing about a token is left to chance: issuer and audience are always named.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::{REALM, realm, values};
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Node, Read, Section};
use crate::sections::Names;
use crate::sections::tls::resolved;
use crate::value::{self, duration, field, path};
use crate::{Jwks, Jwt, JwtAlgorithm, JwtKeys, TokenSource};

/// Clocks that are kept by NTP are never this far apart.
const LEEWAY: Duration = Duration::from_secs(30);
/// Beyond it, an expired token would not be expired.
const MOST_LEEWAY: Duration = Duration::from_secs(300);
/// Issuers announce a new key for longer than this before they sign with it.
const REFRESH: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(5);

/// The key of a vhost or route.
pub(crate) fn read(section: &Section<'_>, upstreams: &Names) -> Read<Option<Jwt>> {
    super::table_or_off(section, "jwt", &schema::JWT, |table| jwt(table, upstreams))
}

fn jwt(section: &Section<'_>, upstreams: &Names) -> Option<Jwt> {
    let keys = keys(section, upstreams);
    let issuers = one_or_more(section, "issuer", "the iss of its tokens");
    let audiences = one_or_more(section, "audience", "the aud of its tokens, or \"any\"");
    let named = JwtAlgorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    let algorithms =
        match section.list("algorithms", "a list such as [\"ES256\"]", |text| algorithm(text, &named)) {
            Read::Good(list) if list.value.is_empty() => {
                section.here("algorithms", list.at, Flaw::new("the list is empty").help("name at least one"));
                Vec::new()
            }
            Read::Absent => vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
            list => values(list),
        };
    let claims = map(section, "claims", |node| claim(section, node)).into_iter().collect();
    let forward = forward(section);
    let source = section.read("source", "a string such as \"cookie:session\"", source);
    let forward_token = section.boolean("forward_token").or(true);
    let leeway = section.read("leeway", duration::EXPECTED, leeway).or(LEEWAY);
    let realm = section.read("realm", "a string", realm).or(REALM.to_owned());
    let audiences = audiences?;
    Some(Jwt {
        keys: keys?,
        issuers: issuers?,
        audiences: (audiences != ["any"]).then_some(audiences),
        algorithms,
        claims,
        forward,
        source: source.or(TokenSource::Authorization),
        forward_token,
        leeway,
        realm,
    })
}

fn keys(section: &Section<'_>, upstreams: &Names) -> Option<JwtKeys> {
    let file = section.read("jwks_file", "the path of a JWK Set", path::file);
    match (file, section.any("jwks")) {
        (Read::Good(file), None) => Some(JwtKeys::File(resolved(section, file))),
        (Read::Absent, Some(node)) => jwks(section, node, upstreams).map(JwtKeys::Fetched),
        (Read::Absent, None) => {
            if !section.may_hide("jwks") {
                section.missing("jwks_file", "the path of a JWK Set; or jwks, the upstream that serves one");
            }
            None
        }
        (Read::Good(_) | Read::Flawed, Some(node)) => {
            let flaw = Flaw::new("keys come either from jwks_file or from jwks, here both are set");
            section.here("jwks", node.at, flaw.help("remove one of them"));
            None
        }
        (Read::Flawed, None) => None,
    }
}

fn jwks<'a>(section: &Section<'a>, node: Node<'a>, upstreams: &Names) -> Option<Jwks> {
    let DeValue::Table(table) = node.value else {
        section.wrong_type("jwks", "a table with upstream and path", node, None);
        return None;
    };
    let section = section.inline(node, table, &schema::JWKS);
    let upstream = section.require("upstream", "the name of an upstream", |text| upstreams.upstream(text));
    let upstream = upstream.and_then(|name| upstreams.resolve(section.run().sink, "upstream", &name));
    let path = section.require("path", "such as \"/.well-known/jwks.json\"", field::target);
    let refresh = section.read("refresh", duration::EXPECTED, refresh).or(REFRESH);
    let timeout = section.read("timeout", duration::EXPECTED, duration::positive).or(TIMEOUT);
    Some(Jwks { upstream: upstream?, path: path?.value, refresh, timeout })
}

fn refresh(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if (Duration::from_secs(10)..=Duration::from_secs(86_400)).contains(&time) {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} is out of range", show(text))).help("choose 10s to 1d"))
}

fn leeway(text: &str) -> Result<Duration, Flaw> {
    let time = duration::any(text)?;
    if time <= MOST_LEEWAY {
        return Ok(time);
    }
    Err(Flaw::new(format!("{} keeps expired tokens alive", show(text))).help("choose 0s to 5m"))
}

fn algorithm(text: &str, named: &[(&str, JwtAlgorithm)]) -> Result<JwtAlgorithm, Flaw> {
    match text {
        "none" => Err(Flaw::new("\"none\" would take tokens that nobody signed")),
        "HS256" | "HS384" | "HS512" => Err(Flaw::new(format!("{} is not supported", show(text)))
            .help("its key could also sign; use an algorithm with a public key")),
        _ => value::word(text, named),
    }
}

fn source(text: &str) -> Result<TokenSource, Flaw> {
    match text.split_once(':') {
        None if text == "authorization" => Ok(TokenSource::Authorization),
        Some(("header", name)) => field::end_to_end(name).map(TokenSource::Header),
        Some(("cookie", name)) => field::token(name).map(TokenSource::Cookie),
        _ => Err(Flaw::new(format!("{} is no place for a token", show(text)))
            .help("write \"authorization\", \"header:NAME\" or \"cookie:NAME\"")),
    }
}

/// A string or a list of them; never empty.
fn one_or_more(section: &Section<'_>, key: &'static str, expected: &str) -> Option<Vec<String>> {
    let Some(node) = section.any(key) else {
        section.missing(key, expected);
        return None;
    };
    let texts = strings(section, key, node)?;
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        section.here(key, node.at, Flaw::new("it is empty").help(format!("write {expected}")));
        return None;
    }
    if texts.len() > 1 && texts.iter().any(|text| text == "any") && key == "audience" {
        section.here(key, node.at, Flaw::new("\"any\" can't go with others").help("remove one or the other"));
        return None;
    }
    Some(texts)
}

fn strings(section: &Section<'_>, key: &str, node: Node<'_>) -> Option<Vec<String>> {
    let wrong = |node| {
        section.wrong_type(key, "a string or a list of strings", node, None);
        None
    };
    match node.value {
        DeValue::String(text) => Some(vec![text.to_string()]),
        DeValue::Array(array) => {
            let text = |item: &toml::Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
            array.iter().map(text).collect::<Option<Vec<_>>>().map_or_else(|| wrong(node), Some)
        }
        _ => wrong(node),
    }
}

fn claim(section: &Section<'_>, node: Node<'_>) -> Option<Vec<String>> {
    let values = strings(section, "claims", node)?;
    if values.is_empty() {
        section.here("claims", node.at, Flaw::new("a claim with no value is met by no token"));
        return None;
    }
    Some(values)
}

/// A table whose keys are free, in the order of the file.
fn map<'a, T>(
    section: &Section<'a>,
    key: &'static str,
    read: impl Fn(Node<'a>) -> Option<T>,
) -> Vec<(String, T)> {
    let Some(node) = section.any(key) else { return Vec::new() };
    let DeValue::Table(table) = node.value else {
        section.wrong_type(key, "a table", node, None);
        return Vec::new();
    };
    let entries = table.iter().map(|(name, value)| {
        let at = crate::sink::Place { file: node.at.file, offset: value.span().start };
        (name.get_ref().to_string(), Node { at, value: value.get_ref() })
    });
    entries.filter_map(|(name, node)| Some((name, read(node)?))).collect()
}

/// Field names with the claim that each holds; written the other way round, as one reads it.
fn forward(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let named = map(section, "forward", |node| {
        let Some(text) = node.value.as_str() else {
            section.wrong_type("forward", "the name of a header field", node, None);
            return None;
        };
        let name = section.judge("forward", node.at, field::end_to_end(text))?;
        Some(At { at: node.at, value: name })
    });
    for (claim, At { at, value }) in named {
        if let Some(first) = fields.get(&value) {
            let flaw = Flaw::new(format!("{} already has the claim {}", show(&value), show(first)));
            section.here("forward", at, flaw.help("give each claim a field of its own"));
        }
        fields.insert(value, claim);
    }
    fields
}

/// Where a token is, as the configuration writes it.
pub(crate) fn print_source(source: &TokenSource) -> String {
    match source {
        TokenSource::Authorization => "authorization".to_owned(),
        TokenSource::Header(name) => format!("header:{name}"),
        TokenSource::Cookie(name) => format!("cookie:{name}"),
    }
}
