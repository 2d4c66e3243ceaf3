//! What series are told apart by.
//!
//! Owns the labels and the fixed lists of their values. Values come from the configuration and from these lists,
//! never from a request.

use prometheus_client::encoding::EncodeLabelSet;

/// What comes of asking a client for its certificate.
pub(super) const CLIENT_CERTIFICATES: [&str; 13] = [
    "ok",
    "none",
    "missing",
    "too_long",
    "expired",
    "not_yet_valid",
    "revoked",
    "unknown_ca",
    "unknown_revocation",
    "expired_crl",
    "purpose",
    "signature",
    "invalid",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) vhost: String,
    pub(super) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ErrorLabels {
    pub(super) vhost: String,
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VhostLabel {
    pub(super) vhost: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RateLabels {
    pub(super) vhost: String,
    pub(super) rule: String,
    pub(super) mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SchemeLabel {
    pub(super) scheme: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TlsLabels {
    pub(super) version: &'static str,
    pub(super) group: &'static str,
    pub(super) resumed: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VhostResultLabels {
    pub(super) vhost: String,
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UpstreamLabels {
    pub(super) upstream: String,
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UpstreamLabel {
    pub(super) upstream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AdminLabels {
    pub(super) operation: &'static str,
    pub(super) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ControlLabels {
    pub(super) name: &'static str,
    pub(super) level: &'static str,
    pub(super) result: &'static str,
}

/// What came of one attempt at an upstream server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// A new connection was made.
    Connected,
    /// A kept one was used again.
    Reused,
    /// No connection.
    ConnectFailed,
    /// The connection failed before the response was complete.
    Failed,
    /// No address to try.
    NoAddress,
    /// No server that may be used.
    NoServer,
    /// No server with room, or none in time.
    Busy,
}

/// Why spans are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpansLost {
    /// They come faster than the collector takes them.
    QueueFull,
    /// The collector did not take them.
    ExportFailed,
}

impl Attempt {
    /// Every outcome, in the order of its number.
    pub(super) const ALL: [Self; 7] = [
        Self::Connected,
        Self::Reused,
        Self::ConnectFailed,
        Self::Failed,
        Self::NoAddress,
        Self::NoServer,
        Self::Busy,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Reused => "reused",
            Self::ConnectFailed => "connect_failed",
            Self::Failed => "failed",
            Self::NoAddress => "no_address",
            Self::NoServer => "no_server",
            Self::Busy => "busy",
        }
    }
}
