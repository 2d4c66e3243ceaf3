//! What clients may use: limits of the whole server, of a vhost or route, and rates.
//!
//! Owns the types; ranges and defaults are in `sections`.

use std::time::Duration;

/// `[limits]`: what one client may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections accepted at once, over all listeners. Default 16384.
    pub max_connections: usize,
    /// Of these, from one client. Default 1024. Trusted proxies are not counted.
    pub max_connections_per_client: usize,
    /// Requests of one client at once, over all vhosts. Default 1024. Those of which a trusted proxy does not
    /// tell the client are not counted.
    pub max_requests_per_client: usize,
    /// Leading bits of an IPv6 address that make a client; 32 to 128. Default 64.
    pub ipv6_prefix: u8,
    /// Rate-limit buckets remembered at once, over all rules; 16 bytes each. Default 262144.
    pub rate_limit_entries: usize,
    /// TLS handshakes of one client; `None`, the default, is any number. Trusted proxies are not counted.
    pub handshake_rate: Option<HandshakeRate>,
    /// Bytes of a request's target. Default 8 KiB.
    pub max_uri_size: usize,
    /// Bytes of a request's head: request line and header fields. Default 32 KiB.
    pub max_header_size: usize,
    /// Header fields of a request. Default 100.
    pub max_header_count: usize,
    /// Bytes of a request's body; `None` is `"unlimited"`. Default 1 MiB.
    pub max_body_size: Option<u64>,
    /// From the first byte of an HTTP/1.1 head to its end. Default 10s.
    pub header_timeout: Duration,
    /// Bytes a second that an HTTP/1.1 body must bring, on average over ten seconds of waiting for it;
    /// `None` is `"off"`. Default 500.
    pub min_body_rate: Option<u64>,
    /// Bytes a second that a client must take of a response, on average over ten seconds of waiting for it;
    /// `None` is `"off"`. Default 500.
    pub min_response_rate: Option<u64>,
    /// From a request's head to the end of its response, those of upgraded connections apart; `None` is
    /// `"off"`, the default.
    pub request_timeout: Option<Duration>,
    /// Longest gap between two reads of a request. Default 60s.
    pub read_timeout: Duration,
    /// Longest wait for one write of a response. Default 60s.
    pub write_timeout: Duration,
    /// How long an idle client connection is kept. Default 75s; zero keeps none.
    pub keepalive_timeout: Duration,
    /// Requests on one HTTP/1.1 connection. Default 1000.
    pub keepalive_requests: u32,
    /// Concurrent HTTP/2 streams of a connection. Default 100.
    pub max_h2_streams: u32,
    /// HTTP/2 streams of a connection reset within ten seconds, beside as many as end well. Default 200.
    pub max_h2_resets: u32,
    /// HTTP/2 frames of a connection within ten seconds that ask for nothing, beside ten for each frame of
    /// data. Default 1000.
    pub max_h2_control_frames: u32,
}

/// Those of [`Limits`] that a listener may set for itself; what is `None` is left to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    /// See [`Limits::header_timeout`].
    pub header_timeout: Option<Duration>,
    /// See [`Limits::min_body_rate`].
    pub min_body_rate: Option<MinRate>,
    /// See [`Limits::min_response_rate`].
    pub min_response_rate: Option<MinRate>,
    /// See [`Limits::max_h2_resets`].
    pub max_h2_resets: Option<u32>,
    /// See [`Limits::max_h2_control_frames`].
    pub max_h2_control_frames: Option<u32>,
}

impl ListenerLimits {
    /// `limits`, with what the listener sets in their place.
    #[must_use]
    pub fn over(&self, limits: &Limits) -> Limits {
        let rate = |own: Option<MinRate>, all| own.map_or(all, MinRate::bytes);
        Limits {
            header_timeout: self.header_timeout.unwrap_or(limits.header_timeout),
            min_body_rate: rate(self.min_body_rate, limits.min_body_rate),
            min_response_rate: rate(self.min_response_rate, limits.min_response_rate),
            max_h2_resets: self.max_h2_resets.unwrap_or(limits.max_h2_resets),
            max_h2_control_frames: self.max_h2_control_frames.unwrap_or(limits.max_h2_control_frames),
            ..limits.clone()
        }
    }
}

/// The rate that a listener asks of its clients instead of the one of all listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinRate {
    /// None.
    Off,
    /// Bytes a second, on average over ten seconds of waiting.
    Bytes(u64),
}

impl MinRate {
    /// As [`Limits`] has it: `None` asks for none.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Bytes(rate) => Some(rate),
        }
    }
}

impl From<Option<u64>> for MinRate {
    fn from(rate: Option<u64>) -> Self {
        rate.map_or(Self::Off, Self::Bytes)
    }
}

/// `handshake_rate`: a bucket for each client, `burst` deep, that `handshakes` in each `per` refill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeRate {
    pub handshakes: u32,
    pub per: Duration,
    /// Handshakes that may come at once. Default: `handshakes`.
    pub burst: u32,
}

/// Those of [`Limits`] that a vhost or route may set for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalLimits {
    /// See [`Limits::max_body_size`].
    pub max_body_size: Option<u64>,
    /// See [`Limits::request_timeout`].
    pub request_timeout: Option<Duration>,
    /// See [`Limits::read_timeout`].
    pub read_timeout: Duration,
    /// See [`Limits::write_timeout`].
    pub write_timeout: Duration,
    /// Requests served at once; `None` is `"unlimited"`, the default.
    pub max_concurrent: Option<u32>,
    /// Of these, of one client; `None` is `"unlimited"`, the default.
    pub max_concurrent_per_client: Option<u32>,
    /// Requests over `max_concurrent` that wait for their turn. Default 0.
    pub max_queue: u32,
    /// How long each of them does. Default 5s.
    pub queue_timeout: Duration,
}

impl LocalLimits {
    /// What holds where nothing is set, under the limits of the whole server.
    #[must_use]
    pub const fn under(limits: &Limits) -> Self {
        Self {
            max_body_size: limits.max_body_size,
            request_timeout: limits.request_timeout,
            read_timeout: limits.read_timeout,
            write_timeout: limits.write_timeout,
            max_concurrent: None,
            max_concurrent_per_client: None,
            max_queue: 0,
            queue_timeout: Duration::from_secs(5),
        }
    }
}

/// One rule of `rate_limit`: a bucket for each key, `burst` deep, that `requests` in each `per` refill.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// Unique among the rules of a list; default: what it counts by. In metrics and `RateLimit` fields.
    pub name: String,
    pub requests: u32,
    pub per: Duration,
    /// Requests that may come at once. Default: `requests`.
    pub burst: u32,
    /// One bucket for each combination of these; never empty, none twice.
    pub by: Vec<RateKey>,
    /// Whether requests over it are refused, or only counted.
    pub enforced: bool,
}

/// What a rate limit counts by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RateKey {
    /// Each client, IPv6 by [`Limits::ipv6_prefix`].
    ClientIp,
    /// All requests together.
    Vhost,
    /// Each path, as routes see it.
    Path,
    /// Each value of this field, whose name is in lower case; requests without it together.
    Header(String),
}

impl std::fmt::Display for RateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Vhost => f.write_str("vhost"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}
