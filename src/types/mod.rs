//! Newtypes that give plain values a role, so that one can't stand in for another.
//!
//! Owns no behaviour beyond construction and display; imports nothing of ours.

mod client;
pub mod field;
mod identity;
mod path;
mod tls;
mod uuid;

use std::fmt;
use std::net::IpAddr;

pub use client::Client;
pub use identity::{ClientIdentity, San, ShownCertificate, hex_text};
pub use path::Path;
pub use tls::TlsFacts;
pub use uuid::{hex, uuid_v7};

/// The address at the other end of the TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIp(pub IpAddr);

/// The address the request is taken to come from: the peer's own, or what a trusted proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

/// Whether a connection came over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The URI scheme.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host that passed [`Host::parse`]: lower case, without port, brackets or trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(String);

/// Why a `Host` field or `:authority` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// Two dots in a row, or one at the start; or more than one at the end (RFC 1035 section 2.3.1).
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A character that no host name or address literal has (userinfo and paths included).
    #[error("the host has a character that is not allowed")]
    Character,
    /// Not a number from 0 to 65535 after the colon.
    #[error("the port is not a number")]
    Port,
    /// Over 253 bytes, the limit of RFC 1035.
    #[error("the host is too long")]
    TooLong,
}

impl Host {
    /// Reads `host[:port]` (RFC 9110 section 7.2) as a client sent it.
    ///
    /// # Errors
    /// Anything but a registered name of letters, digits, `-`, `.`, `_`, or an IP literal.
    pub fn parse(authority: &str) -> Result<Self, HostError> {
        let host = Self::check(authority)?;
        // An address has one spelling here, the one that configurations are read into.
        match host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => Ok(Self(address.to_string())),
            Err(_) => Ok(Self(host.to_ascii_lowercase())),
        }
    }

    /// What [`Host::parse`] would keep, in the case it came in.
    ///
    /// # Errors
    /// The same.
    pub fn check(authority: &str) -> Result<&str, HostError> {
        let (host, port) = split_port(authority)?;
        if !port.is_none_or(|port| port.is_empty() || is_port(port)) {
            return Err(HostError::Port);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return Err(HostError::Empty);
        }
        if host.split('.').any(str::is_empty) {
            return Err(HostError::EmptyLabel);
        }
        if host.len() > MAX_HOST {
            return Err(HostError::TooLong);
        }
        Ok(host)
    }

    /// The host as routes and certificates name it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digits only: `parse` alone would take a sign.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Splits and checks the characters of both forms, `name:port` and `[v6]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), HostError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (literal, after) = rest.split_once(']').ok_or(HostError::Character)?;
        literal.parse::<std::net::Ipv6Addr>().map_err(|_| HostError::Character)?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or(HostError::Character)?),
        };
        return Ok((literal, port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if host.bytes().all(allowed) { Ok((host, port)) } else { Err(HostError::Character) }
}

/// This build's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, when the build script knew one.
pub const COMMIT: &str = match option_env!("FLUXHEIM_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// `release` or `debug`.
pub const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// RFC 1035 section 2.3.4, less the root's own byte.
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowers_case_and_drops_port_and_trailing_dot() {
        for given in ["Example.COM", "example.com:8443", "example.com.", "EXAMPLE.com.:80", "example.com:"] {
            assert_eq!(Host::parse(given).unwrap().as_str(), "example.com", "{given}");
        }
        assert_eq!(Host::parse("[::1]:8080").unwrap().as_str(), "::1");
        assert_eq!(Host::parse("[2001:DB8:0::0:1]").unwrap().as_str(), "2001:db8::1");
    }

    #[test]
    fn refuses_what_is_not_a_host() {
        for given in [
            "",
            ".",
            ":80",
            "user@a.test",
            "a.test/b",
            "a b",
            "a.test:x",
            "a.test:99999",
            "a.test:+80",
            "[::1",
            "[x]",
            "a\0b",
            "ü.test",
            "a.test:1:2",
            ".a.test",
            "a..test",
            "a.test..",
        ] {
            assert!(Host::parse(given).is_err(), "{given:?}");
        }
        assert_eq!(Host::parse(&"a".repeat(254)), Err(HostError::TooLong));
    }
}
