//! How an upstream chooses among its servers: the part of the model that is about choosing.
//!
//! Owns the types alone; what they mean at run time is the proxy's. Words are those of nginx, HAProxy
//! and Envoy.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How an upstream picks its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// At random, by weight.
    Random,
    /// The fewest requests in flight, by weight.
    LeastConn,
    /// The better of two drawn at random, by latency and requests in flight.
    P2c,
    /// The same server for the same key.
    Hash(Hash),
}

/// `hash`: consistent hashing, which moves few keys when servers come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    pub by: HashBy,
    /// Default: ketama.
    pub kind: HashKind,
}

/// What is hashed. A request that has none of it gets a server at random.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HashBy {
    #[default]
    ClientIp,
    /// The first field of that name, lower case.
    Header(String),
    /// The cookie of that name.
    Cookie(String),
    /// Path and query.
    Uri,
}

/// How keys are spread over servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HashKind {
    /// A ring of points: the least movement.
    #[default]
    Ketama,
    /// Google's lookup table: even shares, one look-up, slightly more movement.
    Maglev,
}

/// `sticky`: a signed cookie keeps a client with its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// Name of the cookie.
    pub cookie: String,
    /// Holds the key of the signature, at least 32 bytes. Resolved against the folder of the file that
    /// names it.
    pub secret_file: PathBuf,
    /// How long a cookie is good for; `None` is as long as the browser's session.
    pub ttl: Option<Duration>,
    /// The `Secure` attribute. Default true.
    pub secure: bool,
    /// Default: lax.
    pub same_site: SameSite,
}

/// The `SameSite` attribute of a cookie (RFC 6265bis).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    #[default]
    Lax,
    None,
}

/// `health`: active checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub check: HealthCheck,
    /// From one check of a server to the next. Default 5s.
    pub interval: Duration,
    /// For a whole check; no longer than the interval. Default 2s.
    pub timeout: Duration,
    /// Good checks in a row that make a server healthy. Default 2.
    pub healthy_after: u32,
    /// Bad checks in a row that make it unhealthy. Default 3.
    pub unhealthy_after: u32,
    /// Another port than that of requests.
    pub port: Option<u16>,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// `GET path`.
    Http {
        path: String,
        /// The `Host` field; `None` is the server's own name or address.
        host: Option<String>,
        /// Statuses that are good. Default: 200 to 399.
        expect_status: Vec<StatusRange>,
    },
    /// A connection and nothing more.
    Tcp,
    /// `grpc.health.v1.Health/Check`; the empty service is the server as a whole.
    Grpc { service: String, host: Option<String> },
}

/// Statuses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    pub first: u16,
    pub last: u16,
}

impl StatusRange {
    /// Every success and redirection (RFC 9110 sections 15.3 and 15.4).
    pub const GOOD: Self = Self { first: 200, last: 399 };

    /// Whether `status` is one of them.
    #[must_use]
    pub const fn has(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl std::fmt::Display for StatusRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `outlier`: servers that fail requests are left out for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlier {
    /// Requests in a row without a connection, or a response in time, or with 502, 503 or 504; 0 doesn't
    /// count them. Default 5.
    pub consecutive_failures: u32,
    /// Responses of 500 to 599 in a row; 0 doesn't count them. Default 0.
    pub consecutive_5xx: u32,
    /// The first ejection's length; the next ones last twice, three times as long and so on. Default 30s.
    pub base_ejection: Duration,
    /// The longest ejection. Default 5m.
    pub max_ejection: Duration,
    /// Percent of an upstream's servers that may be ejected at once. Default 50.
    pub max_ejected: u8,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            consecutive_5xx: 0,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected: 50,
        }
    }
}

/// `queue`: where requests wait while every server is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Requests that may wait at once.
    pub size: u32,
    /// How long one waits. Default 5s.
    pub timeout: Duration,
}

/// `retry`: which failed attempts are made again, at another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts at one request, the first included. Default 4.
    pub attempts: u8,
    /// Retries in flight, in percent of an upstream's requests in flight; three are always allowed.
    /// Attempts without a connection cost no server anything and are not counted. Default 20.
    pub budget_percent: u8,
    /// Default: connect.
    pub on: BTreeSet<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 4, budget_percent: 20, on: BTreeSet::from([RetryOn::Connect]) }
    }
}

/// What an attempt may be made again after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryOn {
    /// No connection: nothing was sent, so any request may go out again.
    Connect,
    /// The connection ended before a response.
    Reset,
    /// No response in time.
    Timeout,
    Status429,
    Status500,
    Status502,
    Status503,
    Status504,
}

impl RetryOn {
    /// Every one, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("connect", Self::Connect),
        ("reset", Self::Reset),
        ("timeout", Self::Timeout),
        ("429", Self::Status429),
        ("500", Self::Status500),
        ("502", Self::Status502),
        ("503", Self::Status503),
        ("504", Self::Status504),
    ];

    /// What a response of that status is.
    #[must_use]
    pub const fn of_status(status: u16) -> Option<Self> {
        match status {
            429 => Some(Self::Status429),
            500 => Some(Self::Status500),
            502 => Some(Self::Status502),
            503 => Some(Self::Status503),
            504 => Some(Self::Status504),
            _ => None,
        }
    }
}
