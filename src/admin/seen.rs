//! What the admin API shows: the JSON of its answers, written by the proxy and read by `fluxheim ctl`.
//!
//! Owns names and types; docs/admin-api.md has each with its meaning (a test compares both). Times are seconds since
//! the Unix epoch, as in the logs. A field may be added; none changes its meaning within `/v1`.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub commit: String,
    pub build: String,
    pub pid: u32,
    pub started: u64,
    pub uptime: u64,
    pub ready: bool,
    pub draining: bool,
    pub connections: u64,
    pub in_flight: u64,
    pub config: Running,
    pub last_reload: Option<Attempt>,
    pub listeners: Vec<Listener>,
    pub upstreams: Vec<Upstream>,
}

/// The configuration that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub path: String,
    pub sha256: String,
    pub since: u64,
}

/// What came of the last reload, however it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: u64,
    pub taken: bool,
    pub mistakes: Vec<String>,
}

/// Where clients are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub address: String,
    pub kind: String,
}

/// `GET /v1/upstreams`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstreams {
    pub upstreams: Vec<Upstream>,
}

/// One upstream, and the answer to a change of one of its servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    pub name: String,
    pub waiting: u32,
    pub servers: Vec<Server>,
}

/// A server as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub server: String,
    pub state: ServerState,
    pub set_by: SetBy,
    pub addresses: Vec<Address>,
}

/// Whether new requests may go to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    Ready,
    Drain,
}

/// Whose word that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetBy {
    Config,
    Admin,
}

/// What a server's name resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub address: String,
    pub health: Health,
    pub in_flight: u32,
}

/// How an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Up,
    Unhealthy,
    Ejected,
}

/// `POST /v1/reload`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub sha256: String,
    pub changed: bool,
    pub until_restart: Vec<String>,
}

/// `POST /v1/drain`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draining {
    pub connections: u64,
    pub in_flight: u64,
    pub drain_delay: f64,
    pub drain_timeout: f64,
}

/// `GET /v1/posture`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posture {
    pub verified: bool,
    pub secrets_off_swap: Option<String>,
    pub controls: Vec<Control>,
    pub proxy: serde_json::Value,
}

/// One hardening control as it was judged at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub control: String,
    pub level: String,
    pub result: String,
}

/// `GET /v1/certs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    pub certificates: Vec<Certificate>,
}

/// The source of what stands in until the first certificate by ACME is there.
pub const PLACEHOLDER: &str = "placeholder";

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    Good,
    /// Past its end.
    Expired,
    /// Its files were replaced by what can't be used: what was read before is served.
    Refused,
    /// It could not be renewed, the last time.
    Failing,
    /// By an operator's order; another one is ordered.
    Revoked,
    /// It stands in for one that is not there yet.
    Placeholder,
}

/// A certificate that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub name: String,
    pub source: String,
    pub names: Vec<String>,
    pub not_before: i64,
    pub not_after: i64,
    pub issuer: String,
    pub state: CertificateState,
    pub detail: Option<String>,
}

/// An error (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<String>,
}
