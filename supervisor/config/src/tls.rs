//! `[tls]`, its certificates, and which of them a vhost serves.

use std::path::PathBuf;
use std::time::Duration;

use crate::watch::Watch;

/// The lowest TLS version spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246)
    V1_2,
    /// TLS 1.3 (RFC 8446)
    V1_3,
}

/// What is agreed on with clients; the lists of Mozilla's guidelines by these names, without what is not
/// both forward secret and authenticated encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.3, and TLS 1.2 with ECDHE and AEAD suites.
    Intermediate,
    /// TLS 1.3 only.
    Modern,
}

impl TlsProfile {
    /// The lowest version that is part of it.
    #[must_use]
    pub const fn min_version(self) -> TlsVersion {
        match self {
            Self::Intermediate => TlsVersion::V1_2,
            Self::Modern => TlsVersion::V1_3,
        }
    }
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Default intermediate.
    pub profile: TlsProfile,
    /// The profile's, or higher.
    pub min_version: TlsVersion,
    /// Whether clients are refused that ask for a name no certificate is for, or for none. Default false.
    pub strict_sni: bool,
    /// How long a client may take to finish the handshake. Default 10s.
    pub handshake_timeout: Duration,
    /// Sessions kept in memory for clients without tickets; 0, the default, keeps none.
    pub session_cache_size: usize,
    pub session_tickets: SessionTickets,
    /// Threads for handshakes alone; 0, the default, leaves them to the workers.
    pub offload_threads: usize,
    pub certificates: Vec<Certificate>,
    /// How rotated files are found.
    pub watch: Watch,
}

/// `[tls.session_tickets]`: sessions that clients keep (RFC 5077, RFC 8446 section 4.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTickets {
    /// Default true.
    pub enabled: bool,
    /// Keys shared with other replicas; `None` makes its own.
    pub key_file: Option<PathBuf>,
    /// How long a ticket is good, and a key of our own is used. Default 12h.
    pub rotation: Duration,
}

/// `[[tls.certificates]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Unique among certificates.
    pub name: String,
    /// PEM chain, leaf first. Resolved against the folder of the file that names it.
    pub cert: PathBuf,
    /// PEM private key (PKCS#8, PKCS#1 or SEC1). Resolved likewise.
    pub key: PathBuf,
    /// An OCSP response for it (RFC 6960), in DER. Resolved likewise.
    pub ocsp: Option<PathBuf>,
}

/// What a vhost shows to clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VhostCertificate {
    /// Whichever certificate fits the name.
    #[default]
    ByName,
    /// Indices into [`Tls::certificates`], the preferred first; never empty, none twice. A client gets the
    /// first whose signatures it can verify: ECDSA and RSA side by side.
    Own(Vec<usize>),
    /// Those that ACME (RFC 8555) has issued for its hosts.
    Acme,
}

impl VhostCertificate {
    /// The indices it names.
    #[must_use]
    pub fn own(&self) -> &[usize] {
        match self {
            Self::Own(indices) => indices,
            Self::ByName | Self::Acme => &[],
        }
    }
}
