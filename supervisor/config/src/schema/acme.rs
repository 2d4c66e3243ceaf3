//! The tables of ACME.

use super::Schema;

pub(crate) static ACME: Schema = Schema {
    title: "[acme]",
    keys: &[
        "before_first",
        "renew_before",
        "max_orders_per_hour",
        "max_concurrent_orders",
        "issuers",
        "dns",
        "storage",
    ],
    shared: ISSUER_KEYS,
    known_as: &KNOWN_OF_ALL,
    planned: &[],
};
/// What is about one CA; `[acme]` itself may have it too.
pub(crate) static ACME_ISSUER: Schema = Schema {
    title: "[[acme.issuers]]",
    keys: &[
        "name",
        "directory",
        "contact",
        "terms_of_service_agreed",
        "challenge",
        "profile",
        "key_type",
        "ca_file",
        "external_account",
    ],
    shared: &[],
    known_as: KNOWN,
    planned: &[],
};
const ISSUER_KEYS: &[&str] = &[
    "directory",
    "contact",
    "terms_of_service_agreed",
    "challenge",
    "profile",
    "key_type",
    "ca_file",
    "external_account",
];
/// Of the keys that only `[acme]` itself has, and after them of those about one CA.
static KNOWN_OF_ALL: [(&str, &str); OWN.len() + KNOWN.len()] = {
    let mut all = [("", ""); OWN.len() + KNOWN.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < OWN.len() { OWN[at] } else { KNOWN[at - OWN.len()] };
        at += 1;
    }
    all
};
const OWN: &[(&str, &str)] = &[
    ("certificatesResolvers", "issuers"),
    ("resolvers", "issuers"),
    ("cas", "issuers"),
    ("renewal_window_ratio", "renew_before"),
    ("dns_challenge", "dns"),
    ("state_path", "storage"),
];
const KNOWN: &[(&str, &str)] = &[
    ("ca", "directory"),
    ("ca_server", "directory"),
    ("server", "directory"),
    ("uri", "directory"),
    ("dir", "directory"),
    ("staging", "directory"),
    ("email", "contact"),
    ("emails", "contact"),
    ("mail", "contact"),
    ("accept_terms_of_service", "terms_of_service_agreed"),
    ("agree_tos", "terms_of_service_agreed"),
    ("challenges", "challenge"),
    ("ca_root", "ca_file"),
    ("trusted_roots", "ca_file"),
    ("eab", "external_account"),
];
pub(crate) static EXTERNAL_ACCOUNT: Schema = Schema {
    title: "[acme.external_account]",
    keys: &["key_id_file", "hmac_key_file"],
    shared: &[],
    known_as: &[
        ("kid", "key_id_file"),
        ("key_id", "key_id_file"),
        ("hmac", "hmac_key_file"),
        ("mac_key", "hmac_key_file"),
    ],
    planned: &[],
};
pub(crate) static ACME_DNS: Schema = Schema {
    title: "[acme.dns]",
    keys: &[
        "provider",
        "server",
        "zone",
        "key_name",
        "key_file",
        "algorithm",
        "ttl",
        "socket",
        "timeout",
        "propagation_timeout",
    ],
    shared: &[],
    known_as: &[
        ("nameserver", "server"),
        ("tsig_key", "key_name"),
        ("tsig_secret", "key_file"),
        ("tsig_algorithm", "algorithm"),
        ("key", "key_file"),
    ],
    planned: &[],
};
pub(crate) static ACME_STORAGE: Schema = Schema {
    title: "[acme.storage]",
    keys: &["path", "redis"],
    shared: &[],
    known_as: &[("folder", "path"), ("valkey", "redis"), ("root", "path")],
    planned: &[],
};
pub(crate) static ACME_REDIS: Schema = Schema {
    title: "[acme.storage.redis]",
    keys: &[
        "address",
        "tls",
        "ca_file",
        "username",
        "password_file",
        "seal_key_file",
        "prefix",
        "database",
        "timeout",
    ],
    shared: &[],
    known_as: &[
        ("url", "address"),
        ("host", "address"),
        ("user", "username"),
        ("password", "password_file"),
        ("encryption_key_file", "seal_key_file"),
        ("seal_key_files", "seal_key_file"),
        ("db", "database"),
        ("key_prefix", "prefix"),
    ],
    planned: &[],
};
