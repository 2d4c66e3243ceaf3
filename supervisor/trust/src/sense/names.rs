//! The names a certificate is for, and whether they cover what the configuration serves.
//!
//! Owns the comparison. Common names don't count, a wildcard is one whole label. Follows RFC 9525
//! section 6 and RFC 5280 section 4.2.1.6.

use std::net::IpAddr;

use fluxheim_config::HostPattern;

use super::der::{Elements, Tag};
use super::text;

/// A subject alternative name of a kind that a server is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum San<'a> {
    Dns(&'a [u8]),
    Ip(&'a [u8]),
}

impl San<'_> {
    /// In words, harmless.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Dns(name) => text::host(name),
            Self::Ip(octets) => address(octets).map_or_else(|| "no address".to_owned(), |ip| ip.to_string()),
        }
    }

    fn covers(&self, asked: &Asked<'_>) -> bool {
        match (self, asked) {
            (Self::Ip(octets), Asked::Ip(ip)) => address(octets).as_ref() == Some(ip),
            (Self::Dns(name), Asked::Name(host)) => covers_name(name, host),
            (Self::Dns(name), Asked::Wildcard(parent)) => {
                name.strip_prefix(b"*.").is_some_and(|own| own.eq_ignore_ascii_case(parent.as_bytes()))
            }
            // A DNS name never covers an address, even if it looks like one.
            (Self::Ip(_), Asked::Name(_) | Asked::Wildcard(_)) | (Self::Dns(_), Asked::Ip(_)) => false,
        }
    }
}

/// What a client can ask for.
enum Asked<'a> {
    Ip(IpAddr),
    Name(&'a str),
    Wildcard(&'a str),
}

impl<'a> Asked<'a> {
    fn of(host: &'a HostPattern) -> Option<Self> {
        match host {
            HostPattern::Exact(host) => Some(host.parse().map_or(Self::Name(host), Self::Ip)),
            HostPattern::Wildcard(parent) => Some(Self::Wildcard(parent)),
            HostPattern::Any => None,
        }
    }
}

/// Every DNS name and address; other kinds of names are passed over.
pub(super) fn read(extension: &[u8]) -> Option<Vec<San<'_>>> {
    let mut elements = Elements::of(Elements::only(extension, Tag::Sequence)?);
    let mut names = Vec::new();
    while !elements.is_empty() {
        match elements.any()? {
            (Some(Tag::Context(2)), name) => names.push(San::Dns(name)),
            (Some(Tag::Context(7)), octets) => names.push(San::Ip(octets)),
            _ => {}
        }
    }
    Some(names)
}

/// A name that outlives the file it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OwnedSan {
    Dns(Vec<u8>),
    Ip(Vec<u8>),
}

impl From<&San<'_>> for OwnedSan {
    fn from(name: &San<'_>) -> Self {
        match name {
            San::Dns(name) => Self::Dns(name.to_vec()),
            San::Ip(octets) => Self::Ip(octets.to_vec()),
        }
    }
}

/// Whether one of them is for that host; a host that stands for any name asks for none.
pub(super) fn cover(names: &[OwnedSan], host: &HostPattern) -> bool {
    let borrowed = names.iter().map(|name| match name {
        OwnedSan::Dns(name) => San::Dns(name),
        OwnedSan::Ip(octets) => San::Ip(octets),
    });
    uncovered(std::slice::from_ref(host), &borrowed.collect::<Vec<_>>()).is_empty()
}

/// The hosts that no name covers; a host that stands for any name asks for none.
pub(super) fn uncovered<'a>(hosts: &'a [HostPattern], names: &[San<'_>]) -> Vec<&'a HostPattern> {
    let is_uncovered = |host: &&HostPattern| {
        Asked::of(host).is_some_and(|asked| !names.iter().any(|name| name.covers(&asked)))
    };
    hosts.iter().filter(is_uncovered).collect()
}

/// As the configuration has it.
pub(super) fn shown(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(parent) => format!("*.{parent}"),
        HostPattern::Any => "*".to_owned(),
    }
}

fn covers_name(name: &[u8], host: &str) -> bool {
    match (name.strip_prefix(b"*."), host.split_once('.')) {
        (Some(parent), Some((_, below))) => parent.eq_ignore_ascii_case(below.as_bytes()),
        (Some(_), None) => false,
        (None, _) => name.eq_ignore_ascii_case(host.as_bytes()),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[San<'_>] = &[
        San::Dns(b"a.example"),
        San::Dns(b"*.W.example"),
        San::Dns(b"f*.example"),
        San::Dns(b"192.0.2.9"),
        San::Ip(&[192, 0, 2, 1]),
        San::Ip(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        San::Ip(&[10, 0, 0, 0, 255, 0, 0, 0]),
    ];

    fn covered(host: HostPattern) -> bool {
        uncovered(&[host], NAMES).is_empty()
    }

    #[test]
    fn covers_names_and_exactly_one_label_for_a_wildcard() {
        let exact = |name: &str| covered(HostPattern::Exact(name.to_owned()));
        for host in ["a.example", "x.w.example", "192.0.2.1", "2001:db8::1"] {
            assert!(exact(host), "{host}");
        }
        for host in [
            "b.example",
            "a.example.com",
            "w.example",
            "x.y.w.example",
            "foo.example",
            "a",
            "192.0.2.9",
            "10.0.0.0",
        ] {
            assert!(!exact(host), "{host}");
        }
    }

    #[test]
    fn covers_a_wildcard_by_the_same_wildcard_only() {
        let wildcard = |parent: &str| covered(HostPattern::Wildcard(parent.to_owned()));
        assert!(wildcard("w.example"));
        assert!(!wildcard("a.example") && !wildcard("example") && !wildcard("x.w.example"));
        assert!(covered(HostPattern::Any));
        assert!(uncovered(&[HostPattern::Any], &[]).is_empty());
    }
}
