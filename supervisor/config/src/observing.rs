//! What is seen of requests: the types of `[logging]` and `[tracing]`.
//!
//! Owns the names of the access log's fields, which docs/logging.md documents.

use std::time::Duration;

use crate::sections::routes::print_path;
use crate::sections::vhosts::print_host;
use crate::{LogLevel, Route, Vhost};

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Diagnostics on stderr at and above this level. Default `info`.
    pub level: LogLevel,
    /// A line a request on stdout. Default true.
    pub access: bool,
    /// How a line is written. Default JSON.
    pub format: LogFormat,
    /// What a line has, where it applies. Default everything.
    pub fields: LogFields,
    /// What is left of queries. Default masked.
    pub query: LogQuery,
    /// Paths whose requests are logged only when they fail. Default none.
    pub skip_paths: Vec<String>,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            access: true,
            format: LogFormat::Json,
            fields: LogFields::ALL,
            query: LogQuery::Masked,
            skip_paths: Vec::new(),
        }
    }
}

/// How an access line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// The combined log format of nginx and Apache, then `name=value` for what it has no place for.
    Text,
}

/// What the logs show of the query of a target or `Referer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogQuery {
    /// Names, with `***` for each value.
    Masked,
    /// All of it.
    Full,
    /// Nothing.
    Off,
}

macro_rules! log_fields {
    ($($field:ident $name:literal)+) => {
        /// A field of the access log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum LogField { $($field),+ }

        impl LogField {
            /// Every field, in the order of a line.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$field),+];

            /// Its name in lines and in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$field => $name),+ }
            }
        }
    };
}

log_fields! {
    Ts "ts"
    RequestId "request_id"
    TraceId "trace_id"
    SpanId "span_id"
    ClientIp "client_ip"
    PeerIp "peer_ip"
    Scheme "scheme"
    Protocol "protocol"
    TlsVersion "tls_version"
    TlsCipher "tls_cipher"
    TlsGroup "tls_group"
    TlsSni "tls_sni"
    TlsResumed "tls_resumed"
    ClientCertSubject "client_cert_subject"
    ClientCertFingerprint "client_cert_fingerprint"
    Method "method"
    Host "host"
    Target "target"
    Status "status"
    Bytes "bytes"
    BytesReceived "bytes_received"
    Duration "duration"
    Queue "queue"
    Connect "connect"
    FirstByte "first_byte"
    Vhost "vhost"
    Route "route"
    Upstream "upstream"
    UpstreamAddress "upstream_address"
    Attempts "attempts"
    Referer "referer"
    UserAgent "user_agent"
    Error "error"
    ErrorDetail "error_detail"
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFields(u64);

impl LogFields {
    /// Every field.
    pub const ALL: Self = Self((1 << LogField::ALL.len()) - 1);

    /// Whether `field` is in it.
    #[must_use]
    pub const fn has(self, field: LogField) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// The fields that are in it, in the order of a line.
    pub fn iter(self) -> impl Iterator<Item = LogField> {
        LogField::ALL.into_iter().filter(move |field| self.has(*field))
    }

    /// Without the fields of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromIterator<LogField> for LogFields {
    fn from_iter<I: IntoIterator<Item = LogField>>(fields: I) -> Self {
        Self(fields.into_iter().fold(0, |set, field| set | (1 << field as u8)))
    }
}

/// `[tracing]`: what ties the lines, headers and spans of one request together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    pub request_id: RequestId,
    /// Whether `traceparent` and `tracestate` are ours to write. Default true.
    pub propagate: bool,
    /// Whose `traceparent` is continued. Default that of trusted proxies.
    pub trust: Trust,
    /// Which part of the traces that begin here is sampled. Default all.
    pub sample_ratio: Ratio,
    /// Where the spans of sampled traces go. Default nowhere.
    pub otlp: Option<Otlp>,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            request_id: RequestId::default(),
            propagate: true,
            trust: Trust::TrustedProxies,
            sample_ratio: Ratio::ALL,
            otlp: None,
        }
    }
}

/// `otlp` in `[tracing]`: an OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Index into [`crate::Config::upstreams`].
    pub upstream: usize,
    /// Where it takes traces. Default `/v1/traces`.
    pub path: String,
    /// What the spans call this service. Default `fluxheim`.
    pub service_name: String,
    /// The longest that a span waits for others to be sent with. Default 5s.
    pub interval: Duration,
}

/// `request_id` in `[tracing]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// Its header field, towards upstreams and clients. Default `X-Request-Id`.
    pub header: String,
    /// Whose id is taken over. Default that of trusted proxies.
    pub trust: Trust,
}

impl Default for RequestId {
    fn default() -> Self {
        Self { header: "X-Request-Id".to_owned(), trust: Trust::TrustedProxies }
    }
}

/// From whom something is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// From those in `trusted_proxies`.
    TrustedProxies,
    Always,
    Never,
}

/// A part of a whole, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub(crate) u32);

impl Ratio {
    /// The whole.
    pub const ALL: Self = Self(1_000_000);

    /// In millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl Vhost {
    /// How logs and metrics call it: its first host as the file has it.
    #[must_use]
    pub fn label(&self) -> String {
        self.hosts.first().map_or_else(|| "*".to_owned(), print_host)
    }
}

impl Route {
    /// How logs call it: its path as the file has it.
    #[must_use]
    pub fn label(&self) -> String {
        print_path(&self.path)
    }
}
