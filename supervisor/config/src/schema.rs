//! The names of every table and key, and what to say to a name that is none of them.
//!
//! Owns the vocabulary that docs/configuration.md documents (a test compares both); values and
//! their rules belong to `sections`.

mod acme;
mod admin;
mod balancing;
mod client_auth;
mod content;
mod observing;
mod policies;
mod routing;
mod tls;
mod upstreams;

use crate::flaw::{Flaw, listed, nearest, show};

pub(crate) use acme::{ACME, ACME_DNS, ACME_ISSUER, ACME_REDIS, ACME_STORAGE, EXTERNAL_ACCOUNT};
pub(crate) use admin::ADMIN;
pub(crate) use balancing::{HASH, HEALTH, OUTLIER, QUEUE, RETRY, STICKY};
pub(crate) use client_auth::{CLIENT_AUTH, CLIENT_CONDITION, CLIENT_IDENTITY};
pub(crate) use content::{COMPRESSION, ERRORS, STATIC};
pub(crate) use observing::{LOGGING, METRICS, OTLP, REQUEST_ID, TRACING};
pub(crate) use policies::{ACCESS, AUTH_CACHE, BASIC_AUTH, CORS, FORWARD_AUTH, JWKS, JWT, SECURITY_HEADERS};
pub(crate) use routing::{HEADER_EDITS, REDIRECT, RESPOND, REWRITE};
pub(crate) use tls::{CERTIFICATE, HANDSHAKE_RATE, SESSION_TICKETS, TLS};
pub(crate) use upstreams::{UPSTREAM, UPSTREAM_SERVER, UPSTREAM_TLS};

/// One table: how messages call it and which keys it has.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [&'static str],
    /// Keys that it shares with other tables, which document them.
    pub(crate) shared: &'static [&'static str],
    /// Names that people bring from elsewhere, and the key that does it here.
    known_as: &'static [(&'static str, &'static str)],
    /// Keys of later versions.
    planned: &'static [&'static str],
}

pub(crate) static ROOT: Schema = Schema {
    title: "the file",
    keys: &[
        "server",
        "hardening",
        "storage",
        "tls",
        "acme",
        "upstreams",
        "vhosts",
        "defaults",
        "limits",
        "logging",
        "tracing",
        "metrics",
        "admin",
    ],
    shared: &[],
    known_as: &[
        ("virtual_hosts", "vhosts"),
        ("sites", "vhosts"),
        ("backends", "upstreams"),
        ("log", "logging"),
    ],
    planned: &["cache"],
};
pub(crate) static SERVER: Schema = Schema {
    title: "[server]",
    keys: &[
        "http",
        "https",
        "trusted_proxies",
        "zone",
        "threads",
        "drain_delay",
        "drain_timeout",
        "stop_timeout",
    ],
    shared: &[],
    known_as: &[
        ("listen", "http"),
        ("bind", "http"),
        ("workers", "threads"),
        ("worker_processes", "threads"),
        ("real_ip_from", "trusted_proxies"),
        ("grace_period", "drain_timeout"),
    ],
    planned: &[],
};
pub(crate) static LISTENER: Schema = Schema {
    title: "an entry of http or https",
    keys: &[
        "address",
        "max_connections",
        "max_connections_per_client",
        "proxy_protocol",
        "h2c",
        "header_timeout",
        "min_body_rate",
        "min_response_rate",
        "max_h2_resets",
        "max_h2_control_frames",
    ],
    shared: &[],
    known_as: &[
        ("listen", "address"),
        ("bind", "address"),
        ("maxconn", "max_connections"),
        ("accept_proxy", "proxy_protocol"),
        ("http2", "h2c"),
    ],
    planned: &[],
};
pub(crate) static HARDENING: Schema = Schema {
    title: "[hardening]",
    keys: &[
        "profile",
        "core_dumps",
        "coredump_filter",
        "dumpable",
        "no_swap",
        "memory_lock",
        "capabilities",
        "securebits",
        "no_new_privs",
        "mdwe",
        "seccomp",
        "landlock",
        "identity",
        "fds",
        "umask",
        "environment",
        "read_only_root",
        "storage",
        "aslr",
        "ptrace_scope",
        "stop_budget",
    ],
    shared: &[],
    known_as: &[
        ("mlock", "memory_lock"),
        ("swap", "no_swap"),
        ("coredump", "core_dumps"),
        ("user", "identity"),
        ("env", "environment"),
        ("read_only", "read_only_root"),
        ("read_only_rootfs", "read_only_root"),
        ("ptrace", "ptrace_scope"),
    ],
    planned: &[],
};
pub(crate) static STORAGE: Schema = Schema {
    title: "[storage]",
    keys: &["trusted_filesystems"],
    shared: &[],
    known_as: &[("filesystems", "trusted_filesystems")],
    planned: &[],
};
pub(crate) static VHOST: Schema = Schema {
    title: "[[vhosts]]",
    keys: &["hosts", "default", "redirect", "certificate", "client_auth", "limits", "routes"],
    shared: DEFAULTS.keys,
    known_as: &[
        ("server_name", "hosts"),
        ("domains", "hosts"),
        ("names", "hosts"),
        ("locations", "routes"),
        ("default_server", "default"),
        ("ssl_verify_client", "client_auth"),
        ("client_ca", "client_auth"),
        ("https_redirect", "redirect"),
        ("force_https", "redirect"),
    ],
    planned: &[],
};
pub(crate) static ROUTE: Schema = Schema {
    title: "[[vhosts.routes]]",
    keys: &[
        "path",
        "methods",
        "headers",
        "query",
        "client_certificate",
        "upstream",
        "static",
        "redirect",
        "respond",
        "rewrite",
        "limits",
    ],
    shared: DEFAULTS.keys,
    known_as: &[
        ("location", "path"),
        ("prefix", "path"),
        ("proxy_pass", "upstream"),
        ("reverse_proxy", "upstream"),
        ("backend", "upstream"),
        ("root", "static"),
        ("file_server", "static"),
        ("encode", "compression"),
        ("gzip", "compression"),
        ("error_page", "errors"),
        ("handle_errors", "errors"),
        ("proxy_redirect", "upstream_location"),
        ("method", "methods"),
        ("header", "headers"),
        ("query_params", "query"),
        ("return", "respond"),
        ("direct_response", "respond"),
    ],
    planned: &["cache"],
};
/// Settings of vhosts and routes. What stands here holds for every vhost that doesn't say otherwise, and
/// what a vhost says for every route of it that doesn't; see [`crate::Policy`].
pub(crate) static DEFAULTS: Schema = Schema {
    title: "[defaults]",
    keys: &[
        "rate_limit",
        "access",
        "security_headers",
        "cors",
        "basic_auth",
        "jwt",
        "forward_auth",
        "client_identity",
        "compression",
        "errors",
        "request_headers",
        "response_headers",
        "upstream_host",
        "upstream_location",
        "underscores_in_headers",
        "encoded_slash",
        "non_utf8_path",
    ],
    shared: &[],
    known_as: &[
        ("encode", "compression"),
        ("gzip", "compression"),
        ("error_page", "errors"),
        ("handle_errors", "errors"),
    ],
    planned: &[],
};
pub(crate) static RATE_LIMIT: Schema = Schema {
    title: "a rule of rate_limit",
    keys: &["name", "requests", "per", "burst", "by", "mode"],
    shared: &[],
    known_as: &[
        ("rate", "requests"),
        ("average", "requests"),
        ("period", "per"),
        ("window", "per"),
        ("key", "by"),
        ("events", "requests"),
    ],
    planned: &[],
};
/// The limits that a vhost or route may set for itself.
pub(crate) static LOCAL_LIMITS: Schema = Schema {
    title: "limits of a vhost or route",
    keys: &[
        "max_body_size",
        "request_timeout",
        "read_timeout",
        "write_timeout",
        "max_concurrent",
        "max_concurrent_per_client",
        "max_queue",
        "queue_timeout",
    ],
    shared: &[],
    known_as: &[
        ("client_max_body_size", "max_body_size"),
        ("request_body", "max_body_size"),
        ("timeout", "request_timeout"),
        ("max_connections", "max_concurrent"),
        ("in_flight_req", "max_concurrent"),
    ],
    planned: &[],
};
pub(crate) static LIMITS: Schema = Schema {
    title: "[limits]",
    keys: &[
        "max_connections",
        "max_connections_per_client",
        "max_requests_per_client",
        "ipv6_prefix",
        "rate_limit_entries",
        "handshake_rate",
        "max_uri_size",
        "max_header_size",
        "max_header_count",
        "max_body_size",
        "header_timeout",
        "min_body_rate",
        "min_response_rate",
        "request_timeout",
        "read_timeout",
        "write_timeout",
        "keepalive_timeout",
        "keepalive_requests",
        "max_h2_streams",
        "max_h2_resets",
        "max_h2_control_frames",
    ],
    shared: &[],
    known_as: &[
        ("client_max_body_size", "max_body_size"),
        ("worker_connections", "max_connections"),
        ("limit_conn", "max_connections_per_client"),
        ("client_body_timeout", "read_timeout"),
        ("client_header_timeout", "header_timeout"),
        ("send_timeout", "write_timeout"),
        ("idle_timeout", "keepalive_timeout"),
        ("max_concurrent_streams", "max_h2_streams"),
    ],
    planned: &[],
};

/// Every table, in the order of the documentation.
pub(crate) static ALL: [&Schema; 54] = [
    &ROOT,
    &SERVER,
    &LISTENER,
    &HARDENING,
    &STORAGE,
    &TLS,
    &SESSION_TICKETS,
    &CERTIFICATE,
    &ACME,
    &ACME_ISSUER,
    &EXTERNAL_ACCOUNT,
    &ACME_DNS,
    &ACME_STORAGE,
    &ACME_REDIS,
    &UPSTREAM,
    &HASH,
    &STICKY,
    &HEALTH,
    &OUTLIER,
    &QUEUE,
    &RETRY,
    &UPSTREAM_TLS,
    &UPSTREAM_SERVER,
    &VHOST,
    &CLIENT_AUTH,
    &ROUTE,
    &CLIENT_CONDITION,
    &STATIC,
    &REDIRECT,
    &RESPOND,
    &REWRITE,
    &LOCAL_LIMITS,
    &DEFAULTS,
    &HEADER_EDITS,
    &RATE_LIMIT,
    &ACCESS,
    &SECURITY_HEADERS,
    &CORS,
    &BASIC_AUTH,
    &JWT,
    &JWKS,
    &FORWARD_AUTH,
    &AUTH_CACHE,
    &CLIENT_IDENTITY,
    &COMPRESSION,
    &ERRORS,
    &LIMITS,
    &HANDSHAKE_RATE,
    &LOGGING,
    &TRACING,
    &REQUEST_ID,
    &OTLP,
    &METRICS,
    &ADMIN,
];

/// What to say to an unknown key, and whether it stands for a key that then must not be called missing.
pub(crate) struct Unknown {
    pub(crate) flaw: Flaw,
    pub(crate) meant: Option<&'static str>,
}

impl Schema {
    /// Whether `key` is one of this table's.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.all_keys().any(|known| known == key)
    }

    /// Its own keys and those it shares.
    fn all_keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().chain(self.shared).copied()
    }

    /// The message for `key`, which is none of this table's keys.
    pub(crate) fn unknown(&self, key: &str) -> Unknown {
        if self.planned.contains(&key) {
            let flaw = Flaw::new(format!("{} is not supported in this version", self.named(key)));
            return Unknown { flaw: flaw.help("remove it"), meant: None };
        }
        let flaw = Flaw::new(format!("unknown key {} in {}", show(key), self.title));
        if matches!(key, "websocket" | "websockets" | "enable_websocket") {
            let help = "remove it: WebSocket is passed on by itself, for every route with an upstream";
            return Unknown { flaw: flaw.help(help), meant: None };
        }
        if let Some((_, here)) = self.known_as.iter().find(|(other, _)| *other == key) {
            let help = format!("here it is called \"{here}\"{}", as_in(key));
            return Unknown { flaw: flaw.help(help), meant: Some(here) };
        }
        if let Some(near) = nearest(key, self.all_keys()) {
            return Unknown { flaw: flaw.help(format!("did you mean \"{near}\"?")), meant: Some(near) };
        }
        let homes = listed(ALL.iter().filter(|schema| schema.has(key)).map(|schema| schema.title));
        let help = if homes.is_empty() {
            format!("known keys are {}", listed(self.all_keys()))
        } else {
            format!("it belongs in {homes}")
        };
        Unknown { flaw: flaw.help(help), meant: None }
    }

    fn named(&self, key: &str) -> String {
        if std::ptr::eq(self, &raw const ROOT) {
            format!("[{key}]")
        } else {
            format!("{key} in {}", self.title)
        }
    }
}

/// How that is written here, where the value is another one too.
fn as_in(other: &str) -> &'static str {
    match other {
        "users" => {
            ", as in users_file = \"users\", a file with a line of name:hash for each user; fluxheim --hash-password \
             makes hashes"
        }
        "email" | "emails" | "mail" => ", as in contact = [\"mailto:ops@example.com\"]",
        "staging" => {
            ", as in directory = \"https://acme-staging-v02.api.letsencrypt.org/directory\" for trials at Let's \
             Encrypt"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Control;

    fn told(schema: &Schema, key: &str) -> String {
        let Flaw { message, help } = schema.unknown(key).flaw;
        format!("{message}; {}", help.unwrap())
    }

    #[test]
    fn names_the_near_key_the_foreign_key_the_home_or_all_keys() {
        assert_eq!(told(&SERVER, "htp"), "unknown key \"htp\" in [server]; did you mean \"http\"?");
        assert_eq!(
            told(&VHOST, "server_name"),
            "unknown key \"server_name\" in [[vhosts]]; here it is called \"hosts\""
        );
        assert_eq!(told(&ROOT, "http"), "unknown key \"http\" in the file; it belongs in [server]");
        assert_eq!(
            told(&LOGGING, "colour"),
            "unknown key \"colour\" in [logging]; known keys are level, access, format, fields, exclude_fields, query, \
             skip_paths"
        );
    }

    #[test]
    fn tells_a_later_version_from_an_unknown_key() {
        assert_eq!(told(&ROOT, "cache"), "[cache] is not supported in this version; remove it");
        assert_eq!(
            told(&ROUTE, "cache"),
            "cache in [[vhosts.routes]] is not supported in this version; remove it"
        );
    }

    /// The keys in the tables of the documentation, by the section's heading.
    fn documented() -> BTreeMap<String, Vec<&'static str>> {
        let mut sections: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut title = String::new();
        for line in include_str!("../../../docs/configuration.md").lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                title = heading.replace('`', "");
            } else if let Some((key, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`')) {
                sections.entry(title.clone()).or_default().push(key);
            }
        }
        sections
    }

    #[test]
    fn the_documentation_has_every_key_and_no_other() {
        let documented = documented();
        let with_keys = || ALL.iter().filter(|schema| !schema.keys.is_empty());
        assert_eq!(documented.len(), with_keys().count(), "{:?}", documented.keys());
        for schema in with_keys() {
            let title = match schema.title {
                "the file" => "Top level",
                "an entry of http or https" => "An entry of http or https",
                "an entry of servers" => "An entry of servers",
                "a rule of rate_limit" => "A rule of rate_limit",
                "limits of a vhost or route" => "Limits of a vhost or route",
                "cache of forward_auth" => "Cache of forward_auth",
                "redirect of a route" => "Redirect of a route",
                "respond of a route" => "Respond of a route",
                "rewrite of a route" => "Rewrite of a route",
                "edits of header fields" => "Edits of header fields",
                title => title,
            };
            let keys = documented.get(title).map(Vec::as_slice);
            assert_eq!(keys, Some(schema.keys), "docs/configuration.md, {title}");
        }
    }

    #[test]
    fn hardening_has_a_key_for_every_control() {
        let controls: Vec<_> = Control::ALL.iter().map(|control| control.name()).collect();
        assert_eq!(HARDENING.keys[0], "profile");
        assert_eq!(&HARDENING.keys[1..], controls);
    }

    #[test]
    fn foreign_and_planned_names_are_not_keys_and_lead_to_keys() {
        for schema in ALL {
            for (other, here) in schema.known_as {
                assert!(!schema.has(other) && schema.has(here), "{other} -> {here}");
            }
            assert!(schema.planned.iter().all(|key| !schema.has(key)), "{}", schema.title);
        }
    }
}
