//! What may be set in `[defaults]`, on a vhost or on a route.
//!
//! Owns how they inherit: key by key, the nearest one that is set holds. Rules of a single setting stand
//! in modules of their own.

use std::sync::Arc;

use crate::flaw::{Flaw, show};
use crate::section::{Read, Section};
use crate::sections::policies::{access, basic_auth, cors, forward_auth, jwt, security_headers};
use crate::sections::{Names, client_auth, compression, errors, headers, limits, rates};
use crate::value::pattern::Captures;
use crate::value::{self, host};
use crate::{Ambiguous, Policy, TokenSource, Underscores, UpstreamLocation, schema};

/// `[defaults]`, which limits are no part of: those of the whole server stand in `[limits]`. Values of
/// fields may use the groups of `captures`.
pub(crate) fn read(
    section: &Section<'_>,
    inherited: &Policy,
    upstreams: &Names,
    captures: &Captures,
) -> Policy {
    let headers = |key, inherited| headers::read(section, key, captures, inherited);
    let upstream_host = section.read("upstream_host", "a host, or \"preserve\"", upstream_host);
    let policy = Policy {
        rate_limits: rates::read(section, &inherited.rate_limits),
        access: over(access::read(section), inherited.access.as_ref()),
        security_headers: over(security_headers::read(section), inherited.security_headers.as_ref()),
        cors: over(cors::read(section), inherited.cors.as_ref()),
        basic_auth: over(basic_auth::read(section), inherited.basic_auth.as_ref()),
        jwt: over(jwt::read(section, upstreams), inherited.jwt.as_ref()),
        forward_auth: over(forward_auth::read(section, upstreams), inherited.forward_auth.as_ref()),
        client_identity: over(client_auth::identity(section), inherited.client_identity.as_ref()),
        compression: compression::read(section, inherited.compression.as_ref()),
        errors: errors::read(section, &inherited.errors),
        request_headers: headers("request_headers", &inherited.request_headers),
        response_headers: headers("response_headers", &inherited.response_headers),
        upstream_host: upstream_host
            .good()
            .map_or_else(|| inherited.upstream_host.clone(), |host| host.value),
        upstream_location: word(section, "upstream_location", &LOCATIONS).or(inherited.upstream_location),
        underscores_in_headers: word(section, "underscores_in_headers", &UNDERSCORES)
            .or(inherited.underscores_in_headers),
        encoded_slash: word(section, "encoded_slash", &AMBIGUOUS).or(inherited.encoded_slash),
        non_utf8_path: word(section, "non_utf8_path", &AMBIGUOUS).or(inherited.non_utf8_path),
        ..inherited.clone()
    };
    check_authorization(section, &policy);
    policy
}

/// A field can't hold a password and a token at once: nobody would ever come in.
fn check_authorization(section: &Section<'_>, policy: &Policy) {
    let token = policy.jwt.as_ref().is_some_and(|jwt| jwt.source == TokenSource::Authorization);
    let Some(key) = ["jwt", "basic_auth"].into_iter().find(|key| section.any(key).is_some()) else { return };
    if token && policy.basic_auth.is_some() {
        let flaw = Flaw::new("basic_auth and jwt would both be read from Authorization");
        let help = "set one of them to \"off\" here, or give jwt another source";
        section.here(key, section.place(key), flaw.help(help));
    }
}

/// What is set here, else what holds around it. `"off"` is set, and is nothing.
fn over<T>(here: Read<Option<T>>, inherited: Option<&Arc<T>>) -> Option<Arc<T>> {
    match here {
        Read::Absent => inherited.cloned(),
        Read::Flawed => None,
        Read::Good(here) => here.value.map(Arc::new),
    }
}

fn word<T: Copy>(section: &Section<'_>, key: &'static str, words: &[(&str, T)]) -> Read<T> {
    section.read(key, "a word", |text| value::word(text, words))
}

/// The words for what becomes of fields with underscores.
pub(crate) const UNDERSCORES: [(&str, Underscores); 3] =
    [("drop", Underscores::Drop), ("pass", Underscores::Pass), ("refuse", Underscores::Refuse)];
/// The words for what becomes of places that upstreams name.
pub(crate) const LOCATIONS: [(&str, UpstreamLocation); 3] = [
    ("host", UpstreamLocation::Host),
    ("prefix", UpstreamLocation::Prefix),
    ("pass", UpstreamLocation::Pass),
];
/// The words for what becomes of ambiguous paths.
pub(crate) const AMBIGUOUS: [(&str, Ambiguous); 2] =
    [("refuse", Ambiguous::Refuse), ("pass", Ambiguous::Pass)];

/// The settings of a vhost or route, over those that hold around it. Values of fields may use the groups
/// of `captures`.
pub(crate) fn local(
    section: &Section<'_>,
    inherited: &Policy,
    upstreams: &Names,
    captures: &Captures,
) -> Policy {
    let mut policy = read(section, inherited, upstreams, captures);
    policy.limits = limits::local(&section.table("limits", &schema::LOCAL_LIMITS), inherited.limits);
    policy
}

fn upstream_host(text: &str) -> Result<Option<String>, Flaw> {
    if text == "preserve" {
        return Ok(None);
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if port.is_some_and(|port| !is_port(port)) || name.contains('*') {
        return Err(Flaw::new(format!("{} is not a host", show(text)))
            .help("such as \"app.internal\" or \"app.internal:8080\""));
    }
    host::pattern(name)?;
    Ok(Some(text.to_ascii_lowercase()))
}
