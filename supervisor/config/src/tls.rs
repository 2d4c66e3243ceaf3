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

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub min_version: TlsVersion,
    /// How long a client may take to finish the handshake. Default 10s.
    pub handshake_timeout: Duration,
    pub certificates: Vec<Certificate>,
    /// How rotated files are found.
    pub watch: Watch,
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
