//! The tables of client certificates.

use super::Schema;

pub(crate) static CLIENT_AUTH: Schema = Schema {
    title: "[vhosts.client_auth]",
    keys: &[
        "mode",
        "ca",
        "crl",
        "crl_depth",
        "on_unknown_revocation",
        "on_expired_crl",
        "verify_depth",
        "allow_san",
        "allow_fingerprint",
    ],
    shared: &[],
    known_as: &[
        ("ssl_verify_client", "mode"),
        ("ssl_client_certificate", "ca"),
        ("ssl_crl", "crl"),
        ("ssl_verify_depth", "verify_depth"),
        ("verify", "mode"),
        ("ca_file", "ca"),
        ("client_ca", "ca"),
        ("trusted_ca_cert_file", "ca"),
        ("crl_file", "crl"),
        ("match_typed_subject_alt_names", "allow_san"),
        ("verify_certificate_hash", "allow_fingerprint"),
    ],
    planned: &[],
};
pub(crate) static CLIENT_CONDITION: Schema = Schema {
    title: "client_certificate of a route",
    keys: &["san", "fingerprint"],
    shared: &[],
    known_as: &[("allow_san", "san"), ("allow_fingerprint", "fingerprint"), ("sha256", "fingerprint")],
    planned: &[],
};
pub(crate) static CLIENT_IDENTITY: Schema = Schema {
    title: "client_identity",
    keys: &["headers", "subject_header", "san_header", "fingerprint_header", "sign_key_file", "key_id"],
    shared: &[],
    known_as: &[
        ("subject", "subject_header"),
        ("san", "san_header"),
        ("fingerprint", "fingerprint_header"),
        ("key_file", "sign_key_file"),
        ("keyid", "key_id"),
    ],
    planned: &[],
};
