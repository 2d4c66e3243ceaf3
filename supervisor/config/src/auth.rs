//! How clients prove who they are: policies of a vhost or route.
//!
//! Owns the validated types; judges no request. Policies are made only by [`crate::parse`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `basic_auth`: a user name and password (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// Lines of `user:hash`, the hash in the PHC format of argon2id.
    pub users_file: PathBuf,
    /// What the browser's dialogue shows. Default "restricted".
    pub realm: String,
    /// Whether the upstream gets the `Authorization` field. Default false.
    pub forward_authorization: bool,
    /// The field that tells the upstream who it is; lower case.
    pub user_header: Option<String>,
}

/// `jwt`: a signed token (RFC 7519, RFC 8725).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    pub keys: JwtKeys,
    /// Any of them fits `iss`. Never empty.
    pub issuers: Vec<String>,
    /// Any of them fits `aud`; `None` is `"any"`, which asks for no audience.
    pub audiences: Option<Vec<String>>,
    /// Never empty.
    pub algorithms: Vec<JwtAlgorithm>,
    /// What else the token must say: each claim with the values of which it must have one.
    pub claims: BTreeMap<String, Vec<String>>,
    /// Claims that the upstream is told, by the name of the request field, which is lower case.
    pub forward: BTreeMap<String, String>,
    pub source: TokenSource,
    /// Whether the upstream gets the token too, where it is in a field of its own. Default true.
    pub forward_token: bool,
    /// How far clocks may be apart. Default 30s.
    pub leeway: Duration,
    /// Default "restricted".
    pub realm: String,
}

/// Where the keys are that tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKeys {
    /// A JWK Set (RFC 7517) on disk, read at start and reload.
    File(PathBuf),
    /// A JWK Set that an upstream serves.
    Fetched(Jwks),
}

impl JwtKeys {
    /// The file, if they are in one.
    #[must_use]
    pub const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(file) => Some(file),
            Self::Fetched(_) => None,
        }
    }
}

/// `jwks`: keys that an upstream serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwks {
    /// Index into [`crate::Config::upstreams`].
    pub upstream: usize,
    /// Path and query of the key set.
    pub path: String,
    /// How often it is asked for. Default 5m.
    pub refresh: Duration,
    /// The longest one answer may take. Default 5s.
    pub timeout: Duration,
}

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JwtAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits at least.
    Rs256,
    /// RSASSA-PSS with SHA-256, 2048 bits at least.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// The name in configuration and in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Where a request has its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer` (RFC 6750).
    Authorization,
    /// The whole of a field; lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// `forward_auth`: another service is asked whether a request may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardAuth {
    /// Index into [`crate::Config::upstreams`].
    pub upstream: usize,
    /// Path and query that are asked for.
    pub path: String,
    /// Fields of the request that the service gets; lower case.
    pub request_headers: Vec<String>,
    /// Fields of its answer that the upstream gets; lower case. What a client sends by these names
    /// is removed.
    pub response_headers: Vec<String>,
    /// The longest it may take. Default 5s.
    pub timeout: Duration,
    /// How long a permit holds; `None` asks each time.
    pub cache: Option<AuthCache>,
}

/// `cache` of `forward_auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthCache {
    pub ttl: Duration,
    /// What two requests must have in common to share a permit. Names a field at least once.
    pub by: Vec<AuthKey>,
}

/// A part of a request that a kept permit is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthKey {
    ClientIp,
    Method,
    Host,
    /// Without the query.
    Path,
    /// Path and query.
    Target,
    /// A request field; lower case.
    Header(String),
}
