//! What a file is for.
//!
//! Owns the kinds, their names, and what sets them apart: which are secret, folders, public.

use std::fmt;

/// What a file is for; decides which rules it is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Read once: whoever can write it commands the proxy.
    Config,
    /// Public, but whoever can replace it can break the service.
    Certificate,
    /// Whoever can read it can pose as the site, or as us towards an upstream.
    PrivateKey,
    /// Public; whoever can replace it decides whose certificates are believed.
    CaBundle,
    /// Public; whoever can replace it can bring a revoked certificate back.
    RevocationList,
    /// The name under which an ACME account is bound to a customer (RFC 8555 section 7.3.4).
    EabKeyId,
    /// Its secret: whoever can read it can open accounts in the customer's name.
    EabHmac,
    /// Whoever can read them can command the proxy.
    AdminTokens,
    /// Public keys; whoever can replace it decides whose tokens are believed.
    KeySet,
    /// Hashes of passwords: whoever can read them can guess at leisure, whoever can write them comes in.
    UsersFile,
    /// Whoever can read it can read what the cache has on disk.
    CacheKey,
    /// Whoever can read it can make cookies that choose the server.
    StickyKey,
    /// Whoever can read it can pose as the proxy, and as any client, towards an upstream.
    IdentityKey,
    /// Whoever can read it can change the zone that it is for (TSIG, RFC 8945).
    DnsKey,
    /// Whoever can read it can read and change what instances share, sealed as it is.
    StoragePassword,
    /// Whoever can read it can open what instances share: private keys.
    SealKey,
    /// Whoever can read it can read what was said in the sessions that its tickets take up.
    TicketKeys,
    /// Public, and signed by the CA; whoever can replace it can make clients turn away.
    OcspResponse,
    /// A folder that the proxy writes, private keys among it, with everything below.
    StateFolder,
    /// A folder in which the proxy makes a socket: whoever can write it can pose as the proxy there.
    SocketFolder,
    /// A folder whose content is published.
    StaticRoot,
    /// A program that makes records in DNS: whoever can replace it has its credentials.
    HookProgram,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::Config,
        Self::Certificate,
        Self::PrivateKey,
        Self::CaBundle,
        Self::RevocationList,
        Self::EabKeyId,
        Self::EabHmac,
        Self::AdminTokens,
        Self::KeySet,
        Self::UsersFile,
        Self::CacheKey,
        Self::StickyKey,
        Self::IdentityKey,
        Self::DnsKey,
        Self::StoragePassword,
        Self::SealKey,
        Self::TicketKeys,
        Self::OcspResponse,
        Self::StateFolder,
        Self::SocketFolder,
        Self::StaticRoot,
        Self::HookProgram,
    ];

    /// Whether only the service user may read it, and the content goes into pages for secrets.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        match self {
            Self::PrivateKey
            | Self::EabKeyId
            | Self::EabHmac
            | Self::AdminTokens
            | Self::UsersFile
            | Self::CacheKey
            | Self::StickyKey
            | Self::IdentityKey
            | Self::DnsKey
            | Self::StoragePassword
            | Self::SealKey
            | Self::TicketKeys => true,
            Self::Config
            | Self::Certificate
            | Self::CaBundle
            | Self::RevocationList
            | Self::KeySet
            | Self::OcspResponse
            | Self::StateFolder
            | Self::SocketFolder
            | Self::StaticRoot
            | Self::HookProgram => false,
        }
    }

    /// Whether it is a folder, and not one file.
    #[must_use]
    pub const fn is_folder(self) -> bool {
        matches!(self, Self::StateFolder | Self::SocketFolder | Self::StaticRoot)
    }

    /// Most bytes of such a file; no burden on memory, and more than any real one has.
    pub(crate) const fn most_bytes(self) -> u64 {
        match self {
            Self::PrivateKey
            | Self::EabKeyId
            | Self::EabHmac
            | Self::CacheKey
            | Self::StickyKey
            | Self::IdentityKey
            | Self::DnsKey
            | Self::StoragePassword
            | Self::SealKey
            | Self::TicketKeys
            | Self::OcspResponse => 64 << 10,
            Self::Config | Self::Certificate | Self::AdminTokens | Self::KeySet => 1 << 20,
            Self::CaBundle | Self::UsersFile => 4 << 20,
            // Some 400,000 entries.
            Self::RevocationList => 16 << 20,
            Self::HookProgram => 1 << 30,
            Self::StateFolder | Self::SocketFolder | Self::StaticRoot => 0,
        }
    }

    /// The stable name in JSON reports and on the command line.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Certificate => "certificate",
            Self::PrivateKey => "private-key",
            Self::CaBundle => "ca-bundle",
            Self::RevocationList => "revocation-list",
            Self::EabKeyId => "eab-key-id",
            Self::EabHmac => "eab-hmac",
            Self::AdminTokens => "admin-tokens",
            Self::KeySet => "key-set",
            Self::UsersFile => "users-file",
            Self::CacheKey => "cache-key",
            Self::StickyKey => "sticky-key",
            Self::IdentityKey => "identity-key",
            Self::DnsKey => "dns-key",
            Self::StoragePassword => "storage-password",
            Self::SealKey => "seal-key",
            Self::TicketKeys => "ticket-keys",
            Self::OcspResponse => "ocsp-response",
            Self::StateFolder => "state-folder",
            Self::SocketFolder => "socket-folder",
            Self::StaticRoot => "static-root",
            Self::HookProgram => "hook-program",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }
}

/// In words, as text reports have it.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "configuration",
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::CaBundle => "CA bundle",
            Self::RevocationList => "revocation list",
            Self::EabKeyId => "EAB key id",
            Self::EabHmac => "EAB HMAC key",
            Self::AdminTokens => "admin token file",
            Self::KeySet => "JWK Set",
            Self::UsersFile => "file of users",
            Self::CacheKey => "cache key",
            Self::StickyKey => "key of sticky cookies",
            Self::IdentityKey => "key of signed identities",
            Self::DnsKey => "TSIG key",
            Self::StoragePassword => "password of the storage",
            Self::SealKey => "seal key",
            Self::TicketKeys => "keys of session tickets",
            Self::OcspResponse => "OCSP response",
            Self::StateFolder => "state folder",
            Self::SocketFolder => "socket folder",
            Self::StaticRoot => "static root",
            Self::HookProgram => "hook program",
        })
    }
}
