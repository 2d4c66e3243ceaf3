//! Upstreams: their servers, and how they are spoken to. How one is chosen is in `balancing`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::TlsVersion;
use crate::balancing::{Balance, Health, Outlier, Queue, Retry, Sticky};

/// `[[upstreams]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Unique among upstreams.
    pub name: String,
    pub balance: Balance,
    pub sticky: Option<Sticky>,
    /// Never empty.
    pub servers: Vec<UpstreamServer>,
    pub health: Option<Health>,
    pub outlier: Option<Outlier>,
    /// Over how long a server that is new or back gets up to its share.
    pub slow_start: Option<Duration>,
    /// Percent of a level's servers that must be healthy for their health to count. Default 50; 0 always
    /// believes it.
    pub panic_threshold: u8,
    /// Requests in flight over all servers.
    pub max_in_flight: Option<u32>,
    pub queue: Option<Queue>,
    pub retry: Retry,
    /// TCP connect. Default 5s.
    pub connect_timeout: Duration,
    /// Longest gap between two reads of a response. Default 60s.
    pub read_timeout: Duration,
    /// Longest wait for one write of a request. Default 60s.
    pub write_timeout: Duration,
    /// How long an idle connection is kept for reuse. Default 60s; zero keeps none.
    pub keepalive_timeout: Duration,
    /// Requests on one HTTP/1.1 connection, at least 1. Default 1000.
    pub keepalive_requests: u32,
    /// After what time an HTTP/1.1 connection is used for one last request. Default 1h.
    pub keepalive_time: Duration,
    /// Longest silence, in both directions, of a connection that switched protocols. Default 5m.
    pub upgrade_idle_timeout: Duration,
    pub protocol: UpstreamProtocol,
    /// The PROXY protocol header that each connection begins with. Default: none.
    pub proxy_protocol: Option<ProxyVersion>,
    /// `None` speaks plain TCP.
    pub tls: Option<UpstreamTls>,
}

/// The HTTP version spoken with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 (RFC 9112)
    Http1,
    /// HTTP/2 over TLS (RFC 9113 section 3.2)
    H2,
    /// HTTP/2 over plain TCP with prior knowledge (RFC 9113 section 3.3)
    H2c,
    /// By ALPN (RFC 7301): HTTP/2 where the server takes it, else HTTP/1.1
    Auto,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// One line of text
    V1,
    /// Binary
    V2,
}

/// `[upstreams.tls]`: whom to believe to be the upstream, and who to be for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file with the CAs that may vouch for it; `None` believes those that browsers believe.
    pub ca: Option<PathBuf>,
    /// What to show when the server asks for a certificate.
    pub client: Option<ClientCertificate>,
    /// The name its certificate must be for, also sent as SNI: a name in lower case, or an IP address.
    /// `None` is the host in `servers`, which then is only one or all of them addresses.
    pub server_name: Option<UpstreamHost>,
    /// Default 1.2.
    pub min_version: TlsVersion,
    /// Believes anybody to be the upstream. Default false.
    pub insecure_skip_verify: bool,
}

/// A certificate to show to upstreams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM chain, leaf first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    pub host: UpstreamHost,
    pub port: u16,
    /// 1 to 1000; default 1.
    pub weight: u16,
    /// Used only while no other server can be. Default false.
    pub backup: bool,
    /// The lowest number that has healthy servers is used. 0 to 100; default 0.
    pub priority: u8,
    /// Where it runs.
    pub zone: Option<String>,
    /// Gets no new clients, only those that stick to it. Default false.
    pub drain: bool,
    /// Requests in flight, for each of its addresses.
    pub max_in_flight: Option<u32>,
}

/// An address, or a name to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UpstreamHost {
    Ip(IpAddr),
    /// Lower case, valid per RFC 1123 (underscores allowed, as container networks use them).
    Name(String),
    /// A service to look up (SRV, RFC 2782), which has addresses, ports and weights of its own; the port
    /// beside it is 0. Lower case.
    Service(String),
}
