//! The validated configuration: what every other part of Fluxheim reads.
//!
//! Owns the types of a configuration that has passed every check; values of these types are made
//! only by [`crate::parse`]. Touches no file, no clock, no network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::acme::Acme;
use crate::admin::Admin;
use crate::auth::{BasicAuth, ForwardAuth, Jwt};
use crate::client_auth::{ClientAuth, ClientIdentity};
use crate::content::{Compression, Errors, StaticFiles};
use crate::hardening::{Control, Level, Profile};
use crate::limits::{Limits, ListenerLimits, LocalLimits, RateLimit};
use crate::observing::{Logging, Tracing};
use crate::policies::{Access, Cors, SecurityHeaders};
use crate::routing::{
    Ambiguous, Conditions, HeaderEdits, Redirect, Respond, Rewrite, Underscores, UpstreamLocation,
};
use crate::tls::{Tls, VhostCertificate};
use crate::upstreams::Upstream;

/// A whole configuration, free of mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub server: Server,
    pub hardening: Hardening,
    pub storage: Storage,
    pub tls: Tls,
    /// `None` where no certificate is ordered.
    pub acme: Option<Acme>,
    pub upstreams: Vec<Upstream>,
    pub vhosts: Vec<Vhost>,
    /// `[defaults]`: also what holds for requests that no vhost answers.
    pub defaults: Policy,
    pub limits: Limits,
    pub logging: Logging,
    pub tracing: Tracing,
    pub metrics: Metrics,
    pub admin: Admin,
}

impl Config {
    /// Whether this configuration makes the process hold secrets: private keys, those of
    /// ACME among them, hashes of passwords, keys of sticky cookies, of session tickets and of signatures.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        let client_keys = self.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()?.client.as_ref());
        !self.tls.certificates.is_empty()
            || self.acme.is_some()
            || self.tls.session_tickets.key_file.is_some()
            || client_keys.count() > 0
            || self.upstreams.iter().any(|upstream| upstream.sticky.is_some())
            || self.policies().any(|(_, policy)| policy.basic_auth.is_some() || policy.signs())
    }

    /// Every set of settings there is, with the index of its vhost; `[defaults]` have none.
    pub fn policies(&self) -> impl Iterator<Item = (Option<usize>, &Policy)> {
        let vhosts = self.vhosts.iter().enumerate().flat_map(|(index, vhost)| {
            let routes = vhost.routes.iter().map(|route| &route.policy);
            std::iter::once(&vhost.policy).chain(routes).map(move |policy| (Some(index), policy))
        });
        std::iter::once((None, &self.defaults)).chain(vhosts)
    }
}

/// `[server]`: where to listen, whom to believe, how to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Plain HTTP listeners.
    pub http: Vec<Listener>,
    /// TLS listeners; needs at least one certificate.
    pub https: Vec<Listener>,
    /// Whose `X-Forwarded-*`, `Forwarded` and PROXY protocol headers are believed. Default: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// Where this instance runs; servers of the same zone come first. Default: nowhere in particular.
    pub zone: Option<String>,
    /// Worker threads; `None` means one per available core.
    pub threads: Option<NonZeroUsize>,
    /// After SIGTERM: how long to keep accepting while already reported as not ready. Default 0s.
    pub drain_delay: Duration,
    /// After that: the longest wait for requests in flight. Default 8s.
    pub drain_timeout: Duration,
    /// What the container runtime allows between SIGTERM and SIGKILL. Default 10s (Docker's).
    /// `drain_delay + drain_timeout + 1s` must fit in it.
    pub stop_timeout: Duration,
}

/// Where to listen, and what holds there instead of `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    /// Connections of this listener at once; `None` leaves it to [`Limits::max_connections`], which
    /// holds over all of them either way.
    pub max_connections: Option<usize>,
    /// Connections of one client to this listener; `None` leaves it to
    /// [`Limits::max_connections_per_client`], whose count is shared by all listeners.
    pub max_connections_per_client: Option<usize>,
    /// Whether every connection begins with a PROXY protocol header, which is taken from
    /// [`Server::trusted_proxies`] only. Default false.
    pub proxy_protocol: bool,
    /// Whether a plain listener takes HTTP/2 with prior knowledge (RFC 9113 section 3.3). Default false.
    pub h2c: bool,
    /// What else holds for its connections.
    pub limits: ListenerLimits,
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            max_connections: None,
            max_connections_per_client: None,
            proxy_protocol: false,
            h2c: false,
            limits: ListenerLimits::default(),
        }
    }
}

/// `[hardening]`: the profile and the single controls set beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardening {
    pub profile: Profile,
    /// Only the controls that the file names; [`Hardening::level`] resolves the rest.
    pub overrides: BTreeMap<Control, Level>,
}

impl Hardening {
    /// Whether `control` is applied at all, not only read.
    #[must_use]
    pub fn applies(&self, control: Control) -> bool {
        self.level(control) >= Level::BestEffort
    }

    /// The level that holds for `control`: the file's own word, else the profile's.
    #[must_use]
    pub fn level(&self, control: Control) -> Level {
        self.overrides.get(&control).copied().unwrap_or_else(|| self.profile.level(control))
    }
}

/// `[storage]`: what the rules on files take on trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// Kinds of filesystems whose access rules the operator vouches for. Default: none.
    pub trusted_filesystems: Vec<AdvisoryFilesystem>,
}

/// A filesystem on which a server or a program decides who may read, not the mode that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdvisoryFilesystem {
    Nfs,
    Cifs,
    NineP,
    /// virtiofs and fuse-overlayfs too: the kernel shows them alike.
    Fuse,
    Ceph,
    Afs,
    Lustre,
    Vboxsf,
    /// vfat and exfat, which keep no owners.
    Fat,
    /// Any that is not known here.
    Other,
}

impl AdvisoryFilesystem {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Nfs,
        Self::Cifs,
        Self::NineP,
        Self::Fuse,
        Self::Ceph,
        Self::Afs,
        Self::Lustre,
        Self::Vboxsf,
        Self::Fat,
        Self::Other,
    ];

    /// The name in configuration and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nfs => "nfs",
            Self::Cifs => "cifs",
            Self::NineP => "9p",
            Self::Fuse => "fuse",
            Self::Ceph => "ceph",
            Self::Afs => "afs",
            Self::Lustre => "lustre",
            Self::Vboxsf => "vboxsf",
            Self::Fat => "fat",
            Self::Other => "other",
        }
    }
}

/// `[[vhosts]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vhost {
    /// Never empty; no pattern stands in two vhosts.
    pub hosts: Vec<HostPattern>,
    /// What is served for its hosts.
    pub certificate: VhostCertificate,
    /// `None` asks no client for a certificate.
    pub client_auth: Option<ClientAuth>,
    /// `redirect = "https"`: requests over plain HTTP are sent to the same place over TLS.
    pub redirect_to_https: bool,
    /// What holds for requests that no route of it takes.
    pub policy: Policy,
    /// Never empty; no two routes of a vhost have the same path and conditions.
    pub routes: Vec<Route>,
}

/// A host that a vhost answers for. Names are lower case, without port or trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `example.com`, or an IP address literal (IPv6 without brackets).
    Exact(String),
    /// `*.example.com` holds `example.com`: one or more labels in front of it match.
    Wildcard(String),
    /// `*`: whatever no other vhost answers for.
    Any,
}

/// `[[vhosts.routes]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub path: PathMatch,
    pub when: Conditions,
    pub action: Action,
    pub rewrite: Option<Rewrite>,
    pub policy: Policy,
}

/// What may be set for all vhosts, for one, or for one route of it.
///
/// Each setting is what the route says, else its vhost, else `[defaults]` or `[limits]`: whoever reads a
/// policy need not look further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub limits: LocalLimits,
    /// All of them hold; none by default.
    pub rate_limits: Vec<RateLimit>,
    /// Who may come in. `None` is everybody, as is each that follows.
    pub access: Option<Arc<Access>>,
    pub security_headers: Option<Arc<SecurityHeaders>>,
    pub cors: Option<Arc<Cors>>,
    pub basic_auth: Option<Arc<BasicAuth>>,
    pub jwt: Option<Arc<Jwt>>,
    pub forward_auth: Option<Arc<ForwardAuth>>,
    /// What the upstream is told of a client's certificate.
    pub client_identity: Option<Arc<ClientIdentity>>,
    /// Whether and how responses are packed.
    pub compression: Option<Arc<Compression>>,
    /// How failures are told.
    pub errors: Arc<Errors>,
    /// Of the request that goes to the upstream.
    pub request_headers: HeaderEdits,
    /// Of every response.
    pub response_headers: HeaderEdits,
    /// The `Host` that the upstream gets; `None` (`"preserve"`) is the client's.
    pub upstream_host: Option<String>,
    pub upstream_location: UpstreamLocation,
    pub underscores_in_headers: Underscores,
    /// `%2F` in a path. A path that has it goes only where it would go with a slash in its place.
    pub encoded_slash: Ambiguous,
    /// A path that is not UTF-8 once percent-decoded.
    pub non_utf8_path: Ambiguous,
}

impl Policy {
    /// What holds where nothing is set, under the limits of the whole server.
    #[must_use]
    pub fn under(limits: &Limits) -> Self {
        Self {
            limits: LocalLimits::under(limits),
            rate_limits: Vec::new(),
            access: None,
            security_headers: None,
            cors: None,
            basic_auth: None,
            jwt: None,
            forward_auth: None,
            client_identity: None,
            compression: None,
            errors: Arc::default(),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            upstream_host: None,
            upstream_location: UpstreamLocation::default(),
            underscores_in_headers: Underscores::default(),
            encoded_slash: Ambiguous::default(),
            non_utf8_path: Ambiguous::default(),
        }
    }
}

impl Policy {
    /// Whether requests are signed.
    fn signs(&self) -> bool {
        self.client_identity.as_ref().is_some_and(|identity| identity.signature.is_some())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::under(&Limits::default())
    }
}

/// Which request paths a route takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathMatch {
    /// `= /x`
    Exact(String),
    /// `/x`: segment-wise, so `/x` takes `/x` and `/x/y` but not `/xy`; `/x/` takes `/x/` and below.
    Prefix(String),
    /// `~ pattern`: paths in which this regular expression finds something.
    Regex(String),
}

/// What a route does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Index into [`Config::upstreams`].
    Upstream(usize),
    /// Serve the files of a folder.
    Static(StaticFiles),
    Redirect(Redirect),
    Respond(Respond),
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[metrics]`: `/metrics`, `/livez` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Empty by default: no listener.
    pub listen: Vec<SocketAddr>,
}
