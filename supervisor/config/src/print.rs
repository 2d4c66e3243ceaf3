//! A [`Config`] as text that parses back to it, every default spelled out.
//!
//! Owns what `--print-config` shows, and so the one place to mask a value that is itself a secret
//! ([`path`]; today secrets are named by path only).

mod acme;
mod admin;
mod balancing;
mod client_auth;
mod policies;
mod routing;
mod tls;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;

use crate::sections::observe::{FORMATS, LEVELS, QUERIES};
use crate::sections::policy::{AMBIGUOUS, LOCATIONS, UNDERSCORES};
use crate::sections::routes::print_path;
use crate::sections::tracing::TRUST;
use crate::sections::upstreams::{PROTOCOLS, PROXY_VERSIONS};
use crate::sections::vhosts::print_host;
use crate::value::{duration, ratio, size};
use crate::*;

mod content;

impl Config {
    /// The configuration in effect, as TOML.
    ///
    /// Paths are shown as resolved, so they mean the same wherever the text is kept, if the paths
    /// of the sources were absolute. What is off or left to the machine stands as a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Out::default();
        server(&mut out, &self.server);
        hardening(&mut out, &self.hardening);
        storage(&mut out, &self.storage);
        tls::tls(&mut out, &self.tls);
        if let Some(settings) = &self.acme {
            acme::acme(&mut out, settings);
        }
        for item in &self.upstreams {
            upstream(&mut out, item);
        }
        for item in &self.vhosts {
            vhost(&mut out, item, self);
        }
        out.table("[defaults]");
        policy(&mut out, &self.defaults, self);
        limits(&mut out, &self.limits);
        logging(&mut out, &self.logging);
        tracing(&mut out, self);
        out.table("[metrics]");
        out.key("listen", addresses(&self.metrics.listen));
        admin::admin(&mut out, &self.admin);
        out.0
    }
}

#[derive(Default)]
struct Out(String);

impl Out {
    fn table(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.0.push_str(&format!("{gap}{title}\n"));
    }

    fn key(&mut self, key: &str, value: impl Display) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn comment(&mut self, key: &str, value: impl Display, why: &str) {
        self.0.push_str(&format!("# {key} = {value}  # {why}\n"));
    }

    fn note(&mut self, text: &str) {
        self.0.push_str(&format!("# {text}\n"));
    }

    fn time(&mut self, key: &str, value: std::time::Duration) {
        self.key(key, quoted(&duration::print(value)));
    }
}

fn server(out: &mut Out, server: &Server) {
    out.table("[server]");
    out.key("http", list(server.http.iter().map(listener)));
    out.key("https", list(server.https.iter().map(listener)));
    out.key(
        "trusted_proxies",
        list(server.trusted_proxies.iter().map(|network| quoted(&network.to_string()))),
    );
    match &server.zone {
        Some(zone) => out.key("zone", quoted(zone)),
        None => out.comment("zone", "(none)", "no server is nearer than another"),
    }
    match server.threads {
        Some(threads) => out.key("threads", threads),
        None => out.comment("threads", "(cores)", "one per available core"),
    }
    out.time("drain_delay", server.drain_delay);
    out.time("drain_timeout", server.drain_timeout);
    out.time("stop_timeout", server.stop_timeout);
}

fn listener(listener: &Listener) -> String {
    let limits = [
        ("max_connections", listener.max_connections),
        ("max_connections_per_client", listener.max_connections_per_client),
    ];
    let limits: String =
        limits.iter().filter_map(|(key, limit)| limit.map(|limit| format!(", {key} = {limit}"))).collect();
    let ways = [("proxy_protocol", listener.proxy_protocol), ("h2c", listener.h2c)];
    let ways = ways.iter().filter(|(_, on)| *on).map(|(key, _)| format!(", {key} = true"));
    let limits = ways.chain(own_limits(&listener.limits)).fold(limits, |limits, way| limits + &way);
    let address = quoted(&listener.address.to_string());
    if limits.is_empty() { address } else { format!("{{ address = {address}{limits} }}") }
}

/// Each with the comma before it.
fn own_limits(limits: &ListenerLimits) -> impl Iterator<Item = String> {
    let rate = |rate: MinRate| quoted(&min_rate(rate.bytes()));
    [
        ("header_timeout", limits.header_timeout.map(|time| quoted(&duration::print(time)))),
        ("min_body_rate", limits.min_body_rate.map(rate)),
        ("min_response_rate", limits.min_response_rate.map(rate)),
        ("max_h2_resets", limits.max_h2_resets.map(|count| count.to_string())),
        ("max_h2_control_frames", limits.max_h2_control_frames.map(|count| count.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, limit)| limit.map(|limit| format!(", {key} = {limit}")))
}

fn min_rate(rate: Option<u64>) -> String {
    rate.map_or_else(|| "off".to_owned(), size::print)
}

fn hardening(out: &mut Out, hardening: &Hardening) {
    out.table("[hardening]");
    out.key("profile", quoted(hardening.profile.name()));
    for control in Control::ALL {
        let level = quoted(hardening.level(control).name());
        match hardening.overrides.contains_key(&control) {
            true => out.key(control.name(), level),
            false => out.comment(control.name(), level, "by the profile"),
        }
    }
}

fn storage(out: &mut Out, storage: &Storage) {
    out.table("[storage]");
    let trusted = storage.trusted_filesystems.iter().map(|filesystem| quoted(filesystem.name()));
    out.key("trusted_filesystems", list(trusted));
}

fn upstream(out: &mut Out, upstream: &Upstream) {
    out.table("[[upstreams]]");
    out.key("name", quoted(&upstream.name));
    balancing::balancing(out, upstream);
    out.time("connect_timeout", upstream.connect_timeout);
    out.time("read_timeout", upstream.read_timeout);
    out.time("write_timeout", upstream.write_timeout);
    out.time("keepalive_timeout", upstream.keepalive_timeout);
    out.key("keepalive_requests", upstream.keepalive_requests);
    out.time("keepalive_time", upstream.keepalive_time);
    out.time("upgrade_idle_timeout", upstream.upgrade_idle_timeout);
    out.key(
        "protocol",
        quoted(PROTOCOLS.iter().find(|(_, known)| *known == upstream.protocol).map_or("", |(name, _)| name)),
    );
    let version = PROXY_VERSIONS.iter().find(|(_, known)| *known == upstream.proxy_protocol);
    out.key("proxy_protocol", quoted(version.map_or("off", |(name, _)| name)));
    match &upstream.tls {
        Some(tls) => upstream_tls(out, tls),
        None => out.comment("tls", "(none)", "plain TCP"),
    }
}

fn upstream_tls(out: &mut Out, tls: &UpstreamTls) {
    out.table("[upstreams.tls]");
    match &tls.ca {
        Some(ca) => out.key("ca", path(ca)),
        None => out.comment("ca", "(public)", "the CAs that browsers believe"),
    }
    match &tls.client {
        Some(client) => {
            out.key("cert", path(&client.cert));
            out.key("key", path(&client.key));
        }
        None => out.comment("cert", "(none)", "no client certificate"),
    }
    match &tls.server_name {
        Some(UpstreamHost::Ip(ip)) => out.key("server_name", quoted(&ip.to_string())),
        Some(UpstreamHost::Name(name) | UpstreamHost::Service(name)) => out.key("server_name", quoted(name)),
        None => out.comment("server_name", "(host)", "as in servers"),
    }
    out.key("min_version", quoted(tls::version(tls.min_version)));
    out.key("insecure_skip_verify", tls.insecure_skip_verify);
}

fn vhost(out: &mut Out, vhost: &Vhost, config: &Config) {
    out.table("[[vhosts]]");
    out.key("hosts", list(vhost.hosts.iter().map(|host| quoted(&print_host(host)))));
    tls::of_vhost(out, &vhost.certificate, config);
    out.key("default", vhost.hosts.contains(&HostPattern::Any));
    match vhost.redirect_to_https {
        true => out.key("redirect", quoted("https")),
        false => out.comment("redirect", "\"https\"", "none"),
    }
    out.key("client_auth", client_auth::client_auth(vhost.client_auth.as_ref()));
    local(out, &vhost.policy, config);
    for route in &vhost.routes {
        out.table("[[vhosts.routes]]");
        out.key("path", quoted(&print_path(&route.path)));
        routing::route(out, route, config);
        local(out, &route.policy, config);
    }
}

/// The settings of a vhost or route, inherited ones among them.
fn local(out: &mut Out, settings: &Policy, config: &Config) {
    out.key("limits", local_limits(&settings.limits));
    policy(out, settings, config);
}

fn local_limits(limits: &LocalLimits) -> String {
    let body = limits.max_body_size.map_or_else(|| "unlimited".to_owned(), size::print);
    let time = |time| quoted(&duration::print(time));
    let count = |count: Option<u32>| count.map_or_else(|| quoted("unlimited"), |count| count.to_string());
    let keys = [
        ("max_body_size", quoted(&body)),
        ("request_timeout", limits.request_timeout.map_or_else(|| quoted("off"), time)),
        ("read_timeout", time(limits.read_timeout)),
        ("write_timeout", time(limits.write_timeout)),
        ("max_concurrent", count(limits.max_concurrent)),
        ("max_concurrent_per_client", count(limits.max_concurrent_per_client)),
        ("max_queue", limits.max_queue.to_string()),
        ("queue_timeout", time(limits.queue_timeout)),
    ];
    inline(keys)
}

fn inline<const N: usize>(keys: [(&str, String); N]) -> String {
    format!("{{ {} }}", keys.map(|(key, value)| format!("{key} = {value}")).join(", "))
}

/// The settings that `[defaults]` has too.
fn policy(out: &mut Out, settings: &Policy, config: &Config) {
    routing::edits(out, "request_headers", &settings.request_headers);
    routing::edits(out, "response_headers", &settings.response_headers);
    out.key("upstream_host", quoted(settings.upstream_host.as_deref().unwrap_or("preserve")));
    out.key("upstream_location", word(settings.upstream_location, &LOCATIONS));
    out.key("underscores_in_headers", word(settings.underscores_in_headers, &UNDERSCORES));
    out.key("encoded_slash", word(settings.encoded_slash, &AMBIGUOUS));
    out.key("non_utf8_path", word(settings.non_utf8_path, &AMBIGUOUS));
    out.key("rate_limit", list(settings.rate_limits.iter().map(rate_limit)));
    out.key("access", settings.access.as_deref().map_or_else(off, policies::access));
    out.key("security_headers", settings.security_headers.as_deref().map_or_else(off, policies::headers));
    out.key("cors", settings.cors.as_deref().map_or_else(off, policies::cors));
    out.key("basic_auth", settings.basic_auth.as_deref().map_or_else(off, policies::basic_auth));
    out.key("jwt", settings.jwt.as_deref().map_or_else(off, |jwt| policies::jwt(jwt, config)));
    let forward = settings.forward_auth.as_deref();
    out.key("forward_auth", forward.map_or_else(off, |forward| policies::forward_auth(forward, config)));
    out.key("client_identity", settings.client_identity.as_deref().map_or_else(off, client_auth::identity));
    out.key("compression", content::compression(settings.compression.as_deref()));
    out.key("errors", content::errors(&settings.errors));
}

fn off() -> String {
    quoted("off")
}

fn rate_limit(rule: &RateLimit) -> String {
    inline([
        ("name", quoted(&rule.name)),
        ("requests", rule.requests.to_string()),
        ("per", quoted(&duration::print(rule.per))),
        ("burst", rule.burst.to_string()),
        (
            "by",
            match &rule.by[..] {
                [one] => quoted(&one.to_string()),
                several => list(several.iter().map(|key| quoted(&key.to_string()))),
            },
        ),
        ("mode", quoted(if rule.enforced { "enforce" } else { "observe" })),
    ])
}

fn limits(out: &mut Out, limits: &Limits) {
    out.table("[limits]");
    out.key("max_connections", limits.max_connections);
    out.key("max_connections_per_client", limits.max_connections_per_client);
    out.key("max_requests_per_client", limits.max_requests_per_client);
    out.key("ipv6_prefix", limits.ipv6_prefix);
    out.key("rate_limit_entries", limits.rate_limit_entries);
    match &limits.handshake_rate {
        Some(rate) => out.key("handshake_rate", handshake_rate(rate)),
        None => out.comment("handshake_rate", "(none)", "as many as clients like"),
    }
    out.key("max_uri_size", quoted(&size::print(u64::try_from(limits.max_uri_size).unwrap_or(u64::MAX))));
    out.key(
        "max_header_size",
        quoted(&size::print(u64::try_from(limits.max_header_size).unwrap_or(u64::MAX))),
    );
    out.key("max_header_count", limits.max_header_count);
    let body = limits.max_body_size.map_or_else(|| "unlimited".to_owned(), size::print);
    out.key("max_body_size", quoted(&body));
    out.time("header_timeout", limits.header_timeout);
    out.key("min_body_rate", quoted(&min_rate(limits.min_body_rate)));
    out.key("min_response_rate", quoted(&min_rate(limits.min_response_rate)));
    let total = limits.request_timeout.map_or_else(|| "off".to_owned(), duration::print);
    out.key("request_timeout", quoted(&total));
    out.time("read_timeout", limits.read_timeout);
    out.time("write_timeout", limits.write_timeout);
    out.time("keepalive_timeout", limits.keepalive_timeout);
    out.key("keepalive_requests", limits.keepalive_requests);
    out.key("max_h2_streams", limits.max_h2_streams);
    out.key("max_h2_resets", limits.max_h2_resets);
    out.key("max_h2_control_frames", limits.max_h2_control_frames);
    let memory = limits.memory();
    out.note("Memory that these limits allow to be taken, at the very most (docs/limits.md):");
    for (of, bytes) in [
        ("one HTTP/1.1 connection", memory.http1),
        ("one HTTP/2 connection", memory.http2),
        ("one client", memory.client),
        ("all connections", memory.all),
    ] {
        out.note(&format!("  {of}: {}", size::rounded_up(bytes)));
    }
}

fn handshake_rate(rate: &HandshakeRate) -> String {
    let HandshakeRate { handshakes, per, burst } = rate;
    let per = quoted(&duration::print(*per));
    inline([("handshakes", handshakes.to_string()), ("per", per), ("burst", burst.to_string())])
}

fn logging(out: &mut Out, logging: &Logging) {
    out.table("[logging]");
    out.key("level", word(logging.level, &LEVELS));
    out.key("access", logging.access);
    out.key("format", word(logging.format, &FORMATS));
    out.key("fields", list(logging.fields.iter().map(|field| quoted(field.name()))));
    out.comment("exclude_fields", "[]", "left out above");
    out.key("query", word(logging.query, &QUERIES));
    out.key("skip_paths", list(logging.skip_paths.iter().map(|path| quoted(path))));
}

fn tracing(out: &mut Out, config: &Config) {
    let tracing = &config.tracing;
    out.table("[tracing]");
    let RequestId { header, trust } = &tracing.request_id;
    let trust = word(*trust, &TRUST);
    out.key("request_id", format!("{{ header = {}, trust = {trust} }}", quoted(header)));
    out.key("propagate", tracing.propagate);
    out.key("trust", word(tracing.trust, &TRUST));
    out.key("sample_ratio", quoted(&ratio::print(tracing.sample_ratio)));
    match &tracing.otlp {
        Some(otlp) => out.key("otlp", collector(otlp, config)),
        None => out.comment("otlp", "(none)", "spans go nowhere"),
    }
}

fn collector(otlp: &Otlp, config: &Config) -> String {
    let upstream = config.upstreams.get(otlp.upstream).map_or("", |upstream| &upstream.name);
    let [upstream, path, service] = [upstream, &otlp.path, &otlp.service_name].map(quoted);
    let interval = quoted(&duration::print(otlp.interval));
    format!("{{ upstream = {upstream}, path = {path}, service_name = {service}, interval = {interval} }}")
}

/// The name of `value` in a section's list of words, which has every value.
fn word<T: PartialEq>(value: T, words: &[(&str, T)]) -> String {
    quoted(words.iter().find(|(_, listed)| *listed == value).map_or("", |(name, _)| name))
}

/// A path; the place to mask values, should a key ever hold a secret instead of naming its file.
fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn addresses(addresses: &[SocketAddr]) -> String {
    list(addresses.iter().map(|address| quoted(&address.to_string())))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    const FULL: &str = r#"
[server]
http = [{ address = "0.0.0.0:80", h2c = true, proxy_protocol = true }]
https = ["0.0.0.0:443"]
trusted_proxies = ["::1"]
[limits]
handshake_rate = { handshakes = 1, per = "1s" }
[tls]
session_tickets = { key_file = "t" }
[[tls.certificates]]
name = "c"
cert = "c"
key = "k"
ocsp = "o"
[[upstreams]]
name = "u"
servers = [{ address = "u:1", zone = "z", max_in_flight = 2 }]
hash = { by = "uri" }
sticky = { cookie = "c", secret_file = "s", ttl = "1h" }
queue = { size = 1 }
outlier = {}
health = { path = "/", host = "h", port = 1 }
[upstreams.tls]
[[upstreams]]
name = "v"
servers = ["v:1"]
health = { tcp = true }
[[upstreams]]
name = "w"
servers = ["v:1"]
health = { grpc = "" }
[acme]
directory = "https://a.example/d"
terms_of_service_agreed = true
profile = "p"
ca_file = "ca"
external_account = { key_id_file = "i", hmac_key_file = "h" }
renew_before = "1h"
dns = { provider = "rfc2136", server = "ns.example", zone = "a.example", key_name = "k", key_file = "k", algorithm = "hmac-sha512" }
storage = { redis = { address = "r:1", ca_file = "c", username = "u", password_file = "p", seal_key_file = "s" } }
[[acme.issuers]]
name = "other"
directory = "https://b.example:99/d?x"
terms_of_service_agreed = true
[[vhosts]]
hosts = ["*"]
routes = [
    { path = "/", upstream = "u", request_headers = { set = { X = "1" }, add = { Y = "2" }, remove = ["Z"] } },
    { path = "/s", static = { root = "s", fallback = "/f", cache_control = "no-cache" }, rewrite = { strip_prefix = "/s", add_prefix = "/t" }, methods = ["GET"] },
    { path = "/p", upstream = "u", rewrite = { replace_prefix = "/" }, headers = { A = "*" }, query = { a = "1" } },
    { path = "~ ^/(.*)$", upstream = "u", rewrite = { path = "/$1" } },
    { path = "/r", redirect = "https://{host}{path}" },
    { path = "/f", respond = { status = 503, body_file = "f" } },
    { path = "/q", respond = { status = 404 }, response_headers = { set = { X = "{client_ip}" } } },
    { path = "/c", respond = { status = 404 }, client_certificate = { san = ["a"], fingerprint = ["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"] } },
]
client_identity = { headers = ["client-cert"], subject_header = "a", san_header = "b", fingerprint_header = "c", sign_key_file = "k" }
client_auth = { mode = "required", ca = "c", crl = ["r"], allow_san = ["a"], allow_fingerprint = ["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"] }
[defaults]
rate_limit = { requests = 1, per = "1s" }

access = { deny = ["10.0.0.0/8"] }
security_headers = "strict"
cors = { origins = ["*"] }
compression = "on"
basic_auth = { users_file = "u", user_header = "x-user" }
jwt = { jwks_file = "k", issuer = "i", audience = "a", source = "cookie:t" }
[[vhosts]]
hosts = ["b"]
routes = [{ path = "/", upstream = "u" }]
basic_auth = "off"
jwt = { jwks = { upstream = "u", path = "/k" }, issuer = "i", audience = "a" }
forward_auth = { upstream = "u", path = "/v", cache = { ttl = "9s", by = ["header:cookie"] } }
[tracing]
otlp = { upstream = "u" }
"#;

    /// What can only stand in place of something in the other example.
    const OTHER: &str = r#"
[server]
http = ["0.0.0.0:80"]
[acme]
directory = "https://a.example/d"
terms_of_service_agreed = true
dns = { provider = "hook", socket = "/run/f/hook.sock" }
"#;

    #[test]
    fn spells_out_every_key() {
        let text = [FULL, OTHER]
            .map(|text| parse(&[Source { path: "f".into(), text: text.to_owned() }]).unwrap().to_toml())
            .concat();
        for schema in schema::ALL.iter().skip(1) {
            for key in schema.keys.iter().filter(|key| !matches!(**key, "certificates" | "routes" | "tls")) {
                let printed = text.contains(&format!("{key} = ")) || text.contains(&format!(".{key}]\n"));
                assert!(printed, "{key} of {} in\n{text}", schema.title);
            }
        }
    }

    #[test]
    fn shows_the_memory_that_the_limits_allow() {
        let text = parse(&[Source { path: "f".into(), text: FULL.to_owned() }]).unwrap().to_toml();
        for of in ["one HTTP/1.1 connection", "one HTTP/2 connection", "one client", "all connections"] {
            assert!(text.contains(&format!("\n#   {of}: ")), "{text}");
        }
    }

    #[test]
    fn shows_what_the_profile_asks_as_a_comment() {
        let text = parse(&[Source { path: "f".into(), text: FULL.to_owned() }]).unwrap().to_toml();
        assert!(text.contains("\n# storage = \"required\"  # by the profile\n"), "{text}");
        assert!(text.contains("\nmax_body_size = \"1MiB\"\n"), "{text}");
    }
}
