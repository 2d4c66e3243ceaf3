//! Which vhost answers for a host: an exact name, then the closest wildcard, then `*`.
//!
//! Owns that order, for requests and for the names of TLS handshakes alike.

use std::collections::HashMap;
use std::net::IpAddr;

use fluxheim_config::{HostPattern, Vhost};

/// The hosts of all vhosts.
#[derive(Debug, Default)]
pub struct Hosts {
    exact: HashMap<Box<str>, usize>,
    wildcard: HashMap<Box<str>, usize>,
    any: Option<usize>,
}

impl Hosts {
    /// Of these vhosts.
    #[must_use]
    pub fn new(vhosts: &[Vhost]) -> Self {
        let mut hosts = Self::default();
        for (index, vhost) in vhosts.iter().enumerate() {
            vhost.hosts.iter().for_each(|host| hosts.add(host, index));
        }
        hosts
    }

    fn add(&mut self, host: &HostPattern, vhost: usize) {
        match host {
            HostPattern::Exact(name) => drop(self.exact.insert(name.as_str().into(), vhost)),
            HostPattern::Wildcard(parent) => drop(self.wildcard.insert(parent.as_str().into(), vhost)),
            HostPattern::Any => self.any = Some(vhost),
        }
    }

    /// The index of the vhost that answers for `name`, which is in lower case and ends with no dot.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.named(name).or(self.any)
    }

    /// The same, but for the one that answers for whatever no other does.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<usize> {
        if let Some(index) = self.exact.get(name) {
            return Some(*index);
        }
        parents(name).find_map(|parent| self.wildcard.get(parent)).copied()
    }

    /// The vhost that a TLS connection is made for, by the name that the client asked for. One that asked for none, as
    /// clients do that call an address, came to the vhost of that `local` address, if there is one; behind NAT there is
    /// none.
    #[must_use]
    pub fn of_connection(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<usize> {
        match (sni, local) {
            (Some(name), _) => self.find(name),
            (None, Some(local)) => self.find(&local.to_canonical().to_string()),
            (None, None) => self.any,
        }
    }

    /// The vhost that answers for whatever no other one does.
    #[must_use]
    pub const fn any(&self) -> Option<usize> {
        self.any
    }
}

/// `a.b.c` gives `b.c`, `c`: longest first, so the closest wildcard wins.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.'), |(_, rest)| rest.split_once('.')).map(|(_, parent)| parent)
}
