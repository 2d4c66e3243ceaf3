//! Which route takes a request: exact host, then the longest wildcard, then `*`; within the vhost
//! the exact path, then the longest prefix.
//!
//! Owns the compiled tables. Pure: no clock, no files, no network, no framework.

use std::collections::HashMap;

use fluxheim_config::{Action, Config, HostPattern, PathMatch, Vhost};

use crate::types::Host;

/// The compiled routes of a configuration.
#[derive(Debug)]
pub struct Routes {
    exact: HashMap<String, usize>,
    wildcard: HashMap<String, usize>,
    any: Option<usize>,
    vhosts: Vec<Paths>,
}

/// Where a request goes; made only by [`Routes::find`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    vhost: usize,
    route: usize,
}

impl Routed {
    /// Index of the vhost in the configuration.
    #[must_use]
    pub const fn vhost(self) -> usize {
        self.vhost
    }

    /// Index of the route in its vhost.
    #[must_use]
    pub const fn route(self) -> usize {
        self.route
    }

    /// What the configuration says to do.
    #[must_use]
    pub fn action(self, config: &Config) -> Option<&Action> {
        Some(&config.vhosts.get(self.vhost)?.routes.get(self.route)?.action)
    }
}

/// Why no route takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// 421: this server does not answer for the host (RFC 9110 section 15.5.20).
    #[error("no vhost answers for this host")]
    UnknownHost,
    /// 404
    #[error("the vhost has no route for this path")]
    UnknownPath {
        /// Index of the vhost in the configuration.
        vhost: usize,
    },
}

impl NoRoute {
    /// The vhost that was found, if one was.
    #[must_use]
    pub const fn vhost(self) -> Option<usize> {
        match self {
            Self::UnknownHost => None,
            Self::UnknownPath { vhost } => Some(vhost),
        }
    }
}

impl Routes {
    /// Compiles the tables.
    #[must_use]
    pub fn new(vhosts: &[Vhost]) -> Self {
        let mut routes = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: None,
            vhosts: vhosts.iter().map(Paths::new).collect(),
        };
        for (index, vhost) in vhosts.iter().enumerate() {
            for host in &vhost.hosts {
                routes.add(host, index);
            }
        }
        routes
    }

    fn add(&mut self, host: &HostPattern, vhost: usize) {
        match host {
            HostPattern::Exact(name) => drop(self.exact.insert(name.clone(), vhost)),
            HostPattern::Wildcard(parent) => drop(self.wildcard.insert(parent.clone(), vhost)),
            HostPattern::Any => self.any = Some(vhost),
        }
    }

    /// The route for a request.
    ///
    /// # Errors
    /// [`NoRoute`] when no vhost or no path of it matches.
    pub fn find(&self, host: &Host, path: &str) -> Result<Routed, NoRoute> {
        let vhost = self.vhost(host).ok_or(NoRoute::UnknownHost)?;
        let paths = self.vhosts.get(vhost).ok_or(NoRoute::UnknownHost)?;
        let route = paths.find(path).ok_or(NoRoute::UnknownPath { vhost })?;
        Ok(Routed { vhost, route })
    }

    fn vhost(&self, host: &Host) -> Option<usize> {
        let name = host.as_str();
        if let Some(index) = self.exact.get(name) {
            return Some(*index);
        }
        parents(name).find_map(|parent| self.wildcard.get(parent)).copied().or(self.any)
    }
}

/// `a.b.c` gives `b.c`, `c`: longest first, so the closest wildcard wins.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.'), |(_, rest)| rest.split_once('.')).map(|(_, parent)| parent)
}

/// The paths of one vhost.
#[derive(Debug)]
struct Paths {
    exact: HashMap<String, usize>,
    prefix: HashMap<String, usize>,
}

impl Paths {
    fn new(vhost: &Vhost) -> Self {
        let mut paths = Self { exact: HashMap::new(), prefix: HashMap::new() };
        for (index, route) in vhost.routes.iter().enumerate() {
            match &route.path {
                PathMatch::Exact(path) => paths.exact.insert(path.clone(), index),
                PathMatch::Prefix(path) => paths.prefix.insert(path.clone(), index),
            };
        }
        paths
    }

    /// One look-up a segment of the path, whatever the number of routes.
    fn find(&self, path: &str) -> Option<usize> {
        if let Some(index) = self.exact.get(path) {
            return Some(*index);
        }
        prefixes(path).find_map(|prefix| self.prefix.get(prefix)).copied()
    }
}

/// Every prefix of `path` that ends at a segment's border, longest first: `/a/b` gives `/a/b`,
/// `/a/`, `/a`, `/`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let borders = path.rmatch_indices('/').flat_map(move |(at, _)| {
        let with_slash = path.get(..=at).unwrap_or("/");
        let without = path.get(..at).filter(|prefix| !prefix.is_empty());
        // "/a/" itself is already the whole path; what follows is "/a".
        let first = (with_slash.len() < path.len()).then_some(with_slash);
        first.into_iter().chain(without)
    });
    std::iter::once(path).chain(borders)
}

#[cfg(test)]
mod tests;
