//! The validated `[acme]`: who issues certificates, how they are asked, and where the state is kept.
//!
//! Owns types only; talks to no CA (that is the proxy). Follows RFC 8555 and its extensions.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Config, HostPattern};
use crate::tls::VhostCertificate;
use crate::upstreams::UpstreamHost;

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// In the order in which they are asked; never empty, and no two have one name.
    pub issuers: Vec<AcmeIssuer>,
    /// What is served before the first certificate. Default the placeholder.
    pub before_first: BeforeFirst,
    /// How long before its end a certificate is renewed; `None` is a third of its life.
    pub renew_before: Option<Duration>,
    /// Orders begun within any hour, over all issuers. Default 100.
    pub max_orders_per_hour: u32,
    /// Orders under way at once. Default 8.
    pub max_concurrent_orders: u32,
    /// How records of DNS challenges are made; `None` where no issuer needs it.
    pub dns: Option<AcmeDns>,
    pub storage: AcmeStorage,
}

impl Acme {
    /// Where programs that make records are waited for, if any are.
    #[must_use]
    pub fn hook(&self) -> Option<&DnsHook> {
        match &self.dns.as_ref()?.provider {
            DnsProvider::Hook(hook) => Some(hook),
            DnsProvider::Rfc2136(_) => None,
        }
    }
}

impl Config {
    /// Every host that gets a certificate of its own by ACME, in the order of the configuration.
    pub fn acme_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        let vhosts = self.vhosts.iter().filter(|vhost| vhost.certificate == VhostCertificate::Acme);
        vhosts.flat_map(|vhost| &vhost.hosts).filter(|host| **host != HostPattern::Any)
    }
}

/// The keys of `[acme]` that are about one CA, or one of `[[acme.issuers]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeIssuer {
    /// `default` for the keys of `[acme]` itself.
    pub name: String,
    /// URL of its directory (RFC 8555 section 7.1.1), always `https`.
    pub directory: String,
    /// `mailto:` URLs.
    pub contact: Vec<String>,
    /// Default `http-01`.
    pub challenge: AcmeChallenge,
    /// A profile that the directory offers (draft-ietf-acme-profiles); `None` leaves it to the CA.
    pub profile: Option<String>,
    /// Of new certificates. Default `ecdsa-p256`.
    pub key_type: KeyType,
    /// The CAs that may vouch for the directory's server; `None` is those that browsers believe.
    pub ca_file: Option<PathBuf>,
    /// Default none.
    pub external_account: Option<ExternalAccount>,
}

/// `external_account`: the account at the CA that the ACME account is bound to (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub key_id_file: PathBuf,
    /// Holds the HMAC key in base64url, as CAs hand it out.
    pub hmac_key_file: PathBuf,
}

/// How control over a name is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// RFC 8555 section 8.3, RFC 8738
    Http01,
    /// RFC 8737, RFC 8738
    TlsAlpn01,
    /// RFC 8555 section 8.4
    Dns01,
    /// draft-ietf-acme-dns-persist
    DnsPersist01,
}

impl AcmeChallenge {
    /// The name in configuration and in RFCs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }

    /// Whether a CA may validate `host` by it: wildcards only by DNS, addresses never.
    #[must_use]
    pub fn can_validate(self, host: &HostPattern) -> bool {
        let by_dns = matches!(self, Self::Dns01 | Self::DnsPersist01);
        match host {
            HostPattern::Wildcard(_) => by_dns,
            HostPattern::Exact(name) => !by_dns || name.parse::<std::net::IpAddr>().is_err(),
            HostPattern::Any => false,
        }
    }
}

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    EcdsaP256,
    EcdsaP384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl KeyType {
    /// The name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }
}

/// What a client gets that asks for a name whose certificate isn't there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeFirst {
    /// A self-signed certificate that says what it is.
    Placeholder,
    /// The handshake is refused.
    Refuse,
}

/// `[acme.dns]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeDns {
    pub provider: DnsProvider,
    /// How long to wait until the zone's servers answer with the record. Default 2m.
    pub propagation_timeout: Duration,
}

/// Who makes the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsProvider {
    Rfc2136(Rfc2136),
    Hook(DnsHook),
}

/// A program of the operator's, run by a process of its own: `fluxheim dns-hook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHook {
    /// Where the proxy listens for it.
    pub socket: PathBuf,
    /// The zone outside of which nothing is asked for; `None` asks DNS where the zone of a name begins.
    pub zone: Option<String>,
    /// How long one answer may take. Default 150s.
    pub timeout: Duration,
}

/// A name server that takes dynamic updates (RFC 2136) signed by a shared key (RFC 8945).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rfc2136 {
    /// Never a service.
    pub host: UpstreamHost,
    pub port: u16,
    /// The zone to update; `None` asks DNS where the zone of a name begins.
    pub zone: Option<String>,
    /// `None` where the file names it.
    pub key_name: Option<String>,
    /// Holds the key in base64, or as `tsig-keygen` and `keymgr -t` write it.
    pub key_file: PathBuf,
    /// `None` is what the file says, else `hmac-sha256`.
    pub algorithm: Option<TsigAlgorithm>,
    /// Of the records. Default 60s.
    pub ttl: Duration,
}

/// What a TSIG key computes with (RFC 8945 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigAlgorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl TsigAlgorithm {
    /// The name in configuration and in DNS.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }
}

/// `[acme.storage]`: where account keys, orders and certificates are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcmeStorage {
    /// A folder of this instance's own. Default `/var/lib/fluxheim`.
    Folder(PathBuf),
    /// A server that instances share.
    Redis(AcmeRedis),
}

/// `[acme.storage.redis]`: a Valkey or Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeRedis {
    /// Never a service.
    pub host: UpstreamHost,
    pub port: u16,
    /// Default true.
    pub tls: bool,
    /// The CAs that may vouch for the server; `None` is those that browsers believe.
    pub ca_file: Option<PathBuf>,
    /// An ACL user; `None` is the server's default user.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// They seal what leaves the process: the first one seals, all of them open. Never empty; every instance
    /// has the same.
    pub seal_key_files: Vec<PathBuf>,
    /// What all keys begin with. Default `fluxheim:`.
    pub prefix: String,
    /// Number of the database. Default 0.
    pub database: u32,
    /// How long one answer may take. Default 5s.
    pub timeout: Duration,
}
