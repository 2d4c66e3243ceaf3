//! The policies of a vhost or route, each as an inline table that parses back to it.

use crate::print::{list, path, quoted};
use crate::sections::policies::cors::print_origin;
use crate::sections::policies::forward_auth::print_key;
use crate::sections::policies::jwt::print_source;
use crate::sections::policies::security_headers::PROFILES;
use crate::value::duration;
use crate::{Access, BasicAuth, Config, Cors, ForwardAuth, Jwks, Jwt, JwtKeys, SecurityHeaders};

pub(super) fn access(access: &Access) -> String {
    let networks =
        |networks: &[ipnet::IpNet]| list(networks.iter().map(|network| quoted(&network.to_string())));
    table(&[("allow", networks(&access.allow)), ("deny", networks(&access.deny))])
}

pub(super) fn headers(headers: &SecurityHeaders) -> String {
    let profile = PROFILES.iter().find(|(_, profile)| *profile == headers.profile);
    let field = |value: &Option<String>| quoted(value.as_deref().unwrap_or("off"));
    table(&[
        ("profile", quoted(profile.map_or("off", |(name, _)| name))),
        ("hsts", field(&headers.hsts)),
        ("content_type_options", field(&headers.content_type_options)),
        ("frame_options", field(&headers.frame_options)),
        ("referrer_policy", field(&headers.referrer_policy)),
        ("content_security_policy", field(&headers.content_security_policy)),
        ("permissions_policy", field(&headers.permissions_policy)),
        ("cross_origin_opener_policy", field(&headers.cross_origin_opener_policy)),
        ("cross_origin_embedder_policy", field(&headers.cross_origin_embedder_policy)),
        ("cross_origin_resource_policy", field(&headers.cross_origin_resource_policy)),
        ("replace", headers.replace.to_string()),
    ])
}

pub(super) fn cors(cors: &Cors) -> String {
    let texts = |texts: &[String]| list(texts.iter().map(|text| quoted(text)));
    table(&[
        ("origins", list(cors.origins.iter().map(|origin| quoted(&print_origin(origin))))),
        ("methods", texts(&cors.methods)),
        ("headers", texts(&cors.headers)),
        ("expose", texts(&cors.expose)),
        ("credentials", cors.credentials.to_string()),
        ("max_age", quoted(&duration::print(cors.max_age))),
    ])
}

pub(super) fn basic_auth(basic: &BasicAuth) -> String {
    let mut entries = vec![
        ("users_file", path(&basic.users_file)),
        ("realm", quoted(&basic.realm)),
        ("forward_authorization", basic.forward_authorization.to_string()),
    ];
    entries.extend(basic.user_header.as_ref().map(|name| ("user_header", quoted(name))));
    table(&entries)
}

pub(super) fn jwt(jwt: &Jwt, config: &Config) -> String {
    let texts = |texts: &[String]| list(texts.iter().map(|text| quoted(text)));
    let keys = match &jwt.keys {
        JwtKeys::File(file) => ("jwks_file", path(file)),
        JwtKeys::Fetched(jwks) => ("jwks", key_source(jwks, config)),
    };
    let claims = jwt.claims.iter().map(|(claim, values)| (quoted(claim), texts(values)));
    let forward = jwt.forward.iter().map(|(name, claim)| (quoted(claim), quoted(name)));
    table(&[
        keys,
        ("issuer", texts(&jwt.issuers)),
        ("audience", jwt.audiences.as_ref().map_or_else(|| quoted("any"), |audiences| texts(audiences))),
        ("algorithms", list(jwt.algorithms.iter().map(|algorithm| quoted(algorithm.name())))),
        ("claims", free(claims)),
        ("forward", free(forward)),
        ("source", quoted(&print_source(&jwt.source))),
        ("forward_token", jwt.forward_token.to_string()),
        ("leeway", quoted(&duration::print(jwt.leeway))),
        ("realm", quoted(&jwt.realm)),
    ])
}

fn key_source(jwks: &Jwks, config: &Config) -> String {
    table(&[
        ("upstream", quoted(config.upstreams.get(jwks.upstream).map_or("", |upstream| &upstream.name))),
        ("path", quoted(&jwks.path)),
        ("refresh", quoted(&duration::print(jwks.refresh))),
        ("timeout", quoted(&duration::print(jwks.timeout))),
    ])
}

pub(super) fn forward_auth(forward: &ForwardAuth, config: &Config) -> String {
    let texts = |texts: &[String]| list(texts.iter().map(|text| quoted(text)));
    let mut entries = vec![
        ("upstream", quoted(config.upstreams.get(forward.upstream).map_or("", |upstream| &upstream.name))),
        ("path", quoted(&forward.path)),
        ("request_headers", texts(&forward.request_headers)),
        ("response_headers", texts(&forward.response_headers)),
        ("timeout", quoted(&duration::print(forward.timeout))),
    ];
    let cache = forward.cache.as_ref().map(|cache| {
        let by = list(cache.by.iter().map(|key| quoted(&print_key(key))));
        ("cache", table(&[("ttl", quoted(&duration::print(cache.ttl))), ("by", by)]))
    });
    entries.extend(cache);
    table(&entries)
}

/// An inline table with keys of any kind.
fn free(entries: impl Iterator<Item = (String, String)>) -> String {
    let entries: Vec<_> = entries.map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// An inline table.
fn table(entries: &[(&str, String)]) -> String {
    let entries = entries.iter().map(|(key, value)| format!("{key} = {value}"));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}
