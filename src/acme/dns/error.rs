//! What goes wrong with records, and what mends it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fluxheim_trust::Refused;

use super::key::KeyError;
use super::tsig::TsigFailure;
use crate::wire::hook::Malformed;

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("acme.dns names no key file")]
    NoKey,
    #[error(transparent)]
    Unreadable(#[from] Refused),
    #[error("{}: {reason}", path.display())]
    Key { path: PathBuf, reason: KeyError },
    #[error("acme.dns: {0:?} is no name of a zone")]
    Zone(String),
}

/// Why a record could not be made, seen or taken away.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("{0:?} is no name that a record can have")]
    Name(String),
    #[error("the name server {server} can't be resolved: {reason}")]
    ServerName { server: String, reason: String },
    #[error("the name server at {server} can't be reached by TCP: {reason}; is it up, and port {port} open to here?", port = server.port())]
    Unreachable { server: SocketAddr, reason: String },
    #[error("the name server at {server} sent what is no answer: {reason}")]
    Nonsense { server: SocketAddr, reason: String },
    #[error("{name} is a CNAME of a CNAME of a CNAME: {MOST_ALIASES} are followed, and no loop")]
    Aliases { name: String },
    #[error("{name} can't be looked up: {reason}")]
    Lookup { name: String, reason: String },
    #[error("no zone was found that {name} is in; name it with acme.dns.zone")]
    NoZone { name: String },
    #[error(
        "{name} is not in the zone {zone} that acme.dns.zone names; delegate it there by a CNAME, or leave the key out"
    )]
    OutsideZone { name: String, zone: String },
    #[error("the name server at {server} refused to change {zone}: {reason}")]
    Refused { server: SocketAddr, zone: String, reason: Refusal },
    #[error("the answer of the name server at {server} can't be trusted: {reason}")]
    Unsigned { server: SocketAddr, reason: TsigFailure },
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("{name} was not visible within {} s: {missing}", waited.as_secs())]
    Invisible { name: String, waited: Duration, missing: String },
}

/// Why a program has not made, or taken away, a record.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("acme.dns.socket was not there when this process started: restart it")]
    NoSocket,
    #[error(
        "no fluxheim dns-hook has come to {} within {} s: start one with --socket, as the proxy's own user or root", path.display(), waited.as_secs()
    )]
    Nobody { path: PathBuf, waited: Duration },
    #[error("every run of fluxheim dns-hook has been taken for {} s: see its log", .0.as_secs())]
    Busy(Duration),
    #[error(
        "fluxheim dns-hook has not answered within {} s: see its log; acme.dns.timeout has to be more than twice its --timeout and 21 s", .0.as_secs()
    )]
    Silent(Duration),
    #[error("fluxheim dns-hook has hung up without an answer: {0}")]
    HungUp(String),
    #[error("fluxheim dns-hook has hung up without a word: {0}")]
    Gone(String),
    #[error("what came from fluxheim dns-hook is no answer: {0}")]
    Nonsense(Malformed),
    #[error("{name} is no name that a program is asked for: {reason}")]
    Unasked { name: String, reason: Malformed },
    #[error("the program of fluxheim dns-hook {0}")]
    Failed(String),
    #[error("fluxheim dns-hook refuses: {0}")]
    Refused(String),
}

impl DnsError {
    /// Whether a record can't have been made by what ended so: nobody who could was asked, or whoever was asked
    /// said no before doing anything.
    #[must_use]
    pub const fn leaves_nothing(&self) -> bool {
        match self {
            Self::Name(_)
            | Self::ServerName { .. }
            | Self::Aliases { .. }
            | Self::Lookup { .. }
            | Self::NoZone { .. }
            | Self::OutsideZone { .. }
            | Self::Refused { .. } => true,
            Self::Hook(error) => error.leaves_nothing(),
            Self::Unreachable { .. }
            | Self::Nonsense { .. }
            | Self::Unsigned { .. }
            | Self::Invisible { .. } => false,
        }
    }
}

impl HookError {
    const fn leaves_nothing(&self) -> bool {
        match self {
            Self::NoSocket
            | Self::Nobody { .. }
            | Self::Busy(_)
            | Self::Unasked { .. }
            | Self::Refused(_) => true,
            Self::Silent(_) | Self::HungUp(_) | Self::Gone(_) | Self::Nonsense(_) | Self::Failed(_) => false,
        }
    }
}

/// How many CNAMEs are followed.
pub(super) const MOST_ALIASES: usize = 8;

/// What the server says to an update (RFC 2136 section 2.2; RFC 8945 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "BADKEY: it has no key of that name and algorithm, or none that may change this name (so Knot says it); compare key and acl with its configuration"
    )]
    BadKey,
    #[error("BADSIG: it has another secret for that key; compare acme.dns.key_file with its configuration")]
    BadSignature,
    #[error("BADTIME: its clock is {} s {} ours; set both by NTP", skew.unsigned_abs(), if *skew < 0 { "behind" } else { "ahead of" })]
    BadTime { skew: i64 },
    #[error("BADTIME: its clock and ours differ by more than five minutes; set both by NTP")]
    BadTimeUnsaid,
    #[error(
        "REFUSED: the key may not change this name; allow it TXT records of that name (BIND: update-policy)"
    )]
    Refused,
    #[error("NOTAUTH: it is not the zone's primary server; acme.dns.server has to be")]
    NotAuthoritative,
    #[error("NOTZONE: it sees the name outside of the zone; correct acme.dns.zone")]
    NotZone,
    #[error("NOTIMP: it takes no dynamic updates (RFC 2136) for this zone")]
    NotImplemented,
    #[error("SERVFAIL: it could not write the zone; its own log says why")]
    ServerFailure,
    #[error("FORMERR: it does not understand the update")]
    Malformed,
    #[error("code {0}")]
    Other(u16),
}
