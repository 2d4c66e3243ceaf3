//! The tables of access, authentication and what browsers are told.

use super::Schema;

pub(crate) static ACCESS: Schema = Schema {
    title: "access",
    keys: &["allow", "deny"],
    shared: &[],
    known_as: &[("whitelist", "allow"), ("source_range", "allow"), ("blacklist", "deny"), ("block", "deny")],
    planned: &[],
};
pub(crate) static SECURITY_HEADERS: Schema = Schema {
    title: "security_headers",
    keys: &[
        "profile",
        "hsts",
        "content_type_options",
        "frame_options",
        "referrer_policy",
        "content_security_policy",
        "permissions_policy",
        "cross_origin_opener_policy",
        "cross_origin_embedder_policy",
        "cross_origin_resource_policy",
        "replace",
    ],
    shared: &[],
    known_as: &[
        ("strict_transport_security", "hsts"),
        ("x_frame_options", "frame_options"),
        ("frame_ancestors", "content_security_policy"),
        ("csp", "content_security_policy"),
        ("coop", "cross_origin_opener_policy"),
        ("coep", "cross_origin_embedder_policy"),
        ("corp", "cross_origin_resource_policy"),
        ("nosniff", "content_type_options"),
    ],
    planned: &[],
};
pub(crate) static CORS: Schema = Schema {
    title: "cors",
    keys: &["origins", "methods", "headers", "expose", "credentials", "max_age"],
    shared: &[],
    known_as: &[
        ("allow_origins", "origins"),
        ("allowed_origins", "origins"),
        ("allow_origin", "origins"),
        ("allow_methods", "methods"),
        ("allow_headers", "headers"),
        ("expose_headers", "expose"),
        ("allow_credentials", "credentials"),
    ],
    planned: &[],
};
pub(crate) static BASIC_AUTH: Schema = Schema {
    title: "basic_auth",
    keys: &["users_file", "realm", "forward_authorization", "user_header"],
    shared: &[],
    known_as: &[
        ("auth_basic_user_file", "users_file"),
        ("file", "users_file"),
        ("htpasswd", "users_file"),
        ("header_field", "user_header"),
        ("users", "users_file"),
    ],
    planned: &[],
};
pub(crate) static JWT: Schema = Schema {
    title: "jwt",
    keys: &[
        "jwks_file",
        "jwks",
        "issuer",
        "audience",
        "algorithms",
        "claims",
        "forward",
        "source",
        "forward_token",
        "leeway",
        "realm",
    ],
    shared: &[],
    known_as: &[
        ("iss", "issuer"),
        ("issuers", "issuer"),
        ("aud", "audience"),
        ("audiences", "audience"),
        ("jwks_uri", "jwks"),
        ("jwks_url", "jwks"),
        ("clock_skew", "leeway"),
        ("required_claims", "claims"),
    ],
    planned: &[],
};
pub(crate) static JWKS: Schema = Schema {
    title: "jwks",
    keys: &["upstream", "path", "refresh", "timeout"],
    shared: &[],
    known_as: &[("url", "path"), ("uri", "path"), ("interval", "refresh")],
    planned: &[],
};
pub(crate) static FORWARD_AUTH: Schema = Schema {
    title: "forward_auth",
    keys: &["upstream", "path", "request_headers", "response_headers", "timeout", "cache"],
    shared: &[],
    known_as: &[
        ("uri", "path"),
        ("address", "upstream"),
        ("copy_headers", "response_headers"),
        ("auth_response_headers", "response_headers"),
        ("auth_request_headers", "request_headers"),
    ],
    planned: &[],
};
pub(crate) static AUTH_CACHE: Schema = Schema {
    title: "cache of forward_auth",
    keys: &["ttl", "by"],
    shared: &[],
    known_as: &[("key", "by"), ("time", "ttl")],
    planned: &[],
};
