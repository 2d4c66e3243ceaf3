//! `[tls]` and what is below it.

use super::Schema;

pub(crate) static TLS: Schema = Schema {
    title: "[tls]",
    keys: &[
        "profile",
        "min_version",
        "strict_sni",
        "handshake_timeout",
        "watch",
        "watch_poll",
        "session_cache_size",
        "session_tickets",
        "offload_threads",
        "certificates",
    ],
    shared: &[],
    known_as: &[
        ("ssl_protocols", "min_version"),
        ("certificate", "certificates"),
        ("cert", "certificates"),
        ("ssl_session_tickets", "session_tickets"),
        ("ssl_session_cache", "session_cache_size"),
        ("strict-sni", "strict_sni"),
        ("ssl_reject_handshake", "strict_sni"),
    ],
    planned: &["ciphers", "client_ca"],
};
pub(crate) static SESSION_TICKETS: Schema = Schema {
    title: "[tls.session_tickets]",
    keys: &["enabled", "key_file", "rotation"],
    shared: &[],
    known_as: &[
        ("ssl_session_ticket_key", "key_file"),
        ("key", "key_file"),
        ("keys", "key_file"),
        ("lifetime", "rotation"),
        ("ssl_session_timeout", "rotation"),
    ],
    planned: &[],
};
pub(crate) static CERTIFICATE: Schema = Schema {
    title: "[[tls.certificates]]",
    keys: &["name", "cert", "key", "ocsp"],
    shared: &[],
    known_as: &[
        ("ssl_certificate", "cert"),
        ("ssl_certificate_key", "key"),
        ("ssl_stapling_file", "ocsp"),
        ("certificate", "cert"),
        ("chain", "cert"),
        ("private_key", "key"),
    ],
    planned: &[],
};
pub(crate) static HANDSHAKE_RATE: Schema = Schema {
    title: "handshake_rate",
    keys: &["handshakes", "per", "burst"],
    shared: &[],
    known_as: &[("requests", "handshakes"), ("connections", "handshakes"), ("period", "per")],
    planned: &[],
};
