//! Who may come in by address, and what browsers are told: policies of a vhost or route.
//!
//! Owns the validated types; judges no request. Policies are made only by [`crate::parse`].

use std::time::Duration;

use ipnet::IpNet;

/// `access`: who may come in, by client address. A client in `deny` is refused whatever `allow` says;
/// where `allow` has an entry, so is a client that is in none of its networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
}

/// `security_headers`: response fields that tell browsers what to refuse. `None` is a field that is
/// not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHeaders {
    pub profile: HeaderProfile,
    /// `Strict-Transport-Security` (RFC 6797); sent over TLS only.
    pub hsts: Option<String>,
    /// `X-Content-Type-Options`
    pub content_type_options: Option<String>,
    /// `X-Frame-Options` (RFC 7034), and the same as `frame-ancestors` of a policy of our own.
    pub frame_options: Option<String>,
    /// `Referrer-Policy`
    pub referrer_policy: Option<String>,
    /// `Content-Security-Policy`
    pub content_security_policy: Option<String>,
    /// `Permissions-Policy`
    pub permissions_policy: Option<String>,
    /// `Cross-Origin-Opener-Policy`
    pub cross_origin_opener_policy: Option<String>,
    /// `Cross-Origin-Embedder-Policy`
    pub cross_origin_embedder_policy: Option<String>,
    /// `Cross-Origin-Resource-Policy`
    pub cross_origin_resource_policy: Option<String>,
    /// Whether they take the place of what an upstream sends under the same name. Default false.
    pub replace: bool,
}

/// Which fields are sent that a configuration doesn't name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderProfile {
    /// None.
    Off,
    /// What hardly any site notices.
    Basic,
    /// What a site must be made for.
    Strict,
}

/// `cors`: which pages of other origins may use this one (the Fetch standard).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Never empty.
    pub origins: Vec<Origin>,
    /// Upper case; `*` alone is every method. Default GET, HEAD, POST.
    pub methods: Vec<String>,
    /// Request fields beyond the safelisted ones, lower case; `*` alone is every one. Default none.
    pub headers: Vec<String>,
    /// Response fields that scripts may read beyond the safelisted ones, lower case. Default none.
    pub expose: Vec<String>,
    /// Whether cookies and the like come along; never together with a `*`. Default false.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight. Default 10m.
    pub max_age: Duration,
}

/// Origins of pages, as browsers write them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// `*`
    Any,
    /// `https://app.example`: lower case, without a default port.
    Exact(String),
    /// `https://*.example.com:8443`: one or more labels stand between the two parts.
    Below {
        /// `https://`
        scheme: String,
        /// `.example.com:8443`
        rest: String,
    },
}
