//! Which route takes a request: exact host, then the longest wildcard, then `*`; within the vhost as
//! `paths` orders them.
//!
//! Owns the compiled tables. Pure: no clock, no files, no network, no framework.

mod client;
mod conditions;
mod hosts;
mod paths;

use std::ops::Range;

use fluxheim_config::{Ambiguous, Vhost};
use http::{HeaderMap, Method};

use crate::types::{ClientIdentity, Host, Path};
pub use client::fits;
pub use hosts::Hosts;
use paths::{Found, Paths};

/// The compiled routes of a configuration.
#[derive(Debug)]
pub struct Routes {
    hosts: Hosts,
    vhosts: Vec<Paths>,
    /// Of each route of each vhost, whether it takes `%2F`.
    encoded_slash: Vec<Vec<bool>>,
}

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub host: &'a Host,
    pub path: &'a Path,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub query: Option<&'a str>,
    /// Who the client is by the certificate that it has shown to the vhost; found good.
    pub client: Option<&'a ClientIdentity>,
}

/// A regular expression that can't be built; parsing rules this out.
#[derive(Debug, thiserror::Error)]
#[error("a regular expression of vhost number {vhost} can't be built: {reason}")]
pub struct BadPattern {
    /// Index in the configuration.
    pub vhost: usize,
    pub reason: regex::Error,
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
    /// 405: there are routes for this path, and they take other methods (RFC 9110 section 15.5.6).
    #[error("the routes for this path take other methods")]
    OtherMethods {
        /// Index of the vhost in the configuration.
        vhost: usize,
        /// Of its paths, for [`Routes::allow`].
        group: usize,
    },
    /// 400: the path has `%2F`, and its route takes none, or to those who see a slash in it another route
    /// is meant.
    #[error("the path has an encoded slash, which its route does not take")]
    EncodedSlash {
        /// Index of the vhost in the configuration.
        vhost: usize,
    },
    /// 400: to a reader that takes `%40` for `@`, the path would be another route's.
    #[error("the path would be another route's to a server that decodes its escapes")]
    EncodedDelims {
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
            Self::UnknownPath { vhost }
            | Self::OtherMethods { vhost, .. }
            | Self::EncodedSlash { vhost }
            | Self::EncodedDelims { vhost } => Some(vhost),
        }
    }
}

impl Routes {
    /// Compiles the tables.
    ///
    /// # Errors
    /// [`BadPattern`], for the first vhost that has one.
    pub fn new(vhosts: &[Vhost]) -> Result<Self, BadPattern> {
        let compile = |(vhost, of): (usize, &Vhost)| {
            Paths::new(&of.routes).map_err(|reason| BadPattern { vhost, reason })
        };
        let takes_encoded_slash = |vhost: &Vhost| {
            vhost.routes.iter().map(|route| route.policy.encoded_slash == Ambiguous::Pass).collect()
        };
        Ok(Self {
            hosts: Hosts::new(vhosts),
            vhosts: vhosts.iter().enumerate().map(compile).collect::<Result<_, _>>()?,
            encoded_slash: vhosts.iter().map(takes_encoded_slash).collect(),
        })
    }

    /// The route for a request.
    ///
    /// # Errors
    /// [`NoRoute`] when no vhost or no route of it takes the request.
    pub fn find(&self, request: &Request<'_>) -> Result<Routed, NoRoute> {
        let vhost = self.hosts.find(request.host.as_str()).ok_or(NoRoute::UnknownHost)?;
        let paths = self.vhosts.get(vhost).ok_or(NoRoute::UnknownHost)?;
        let route = match paths.find(request.path.as_str(), request) {
            Found::Route(route) => route,
            Found::OtherMethods(group) => return Err(NoRoute::OtherMethods { vhost, group }),
            Found::Nothing => return Err(NoRoute::UnknownPath { vhost }),
        };
        if request.path.has_encoded_slash() && !self.agrees(paths, vhost, route, request) {
            return Err(NoRoute::EncodedSlash { vhost });
        }
        if request.path.has_encoded_delims() && !agrees_decoded(paths, route, request) {
            return Err(NoRoute::EncodedDelims { vhost });
        }
        Ok(Routed { vhost, route })
    }

    /// Whether `route` takes encoded slashes, and would have been found by a reader who takes them for
    /// slashes too: what guards `/admin/` must not be passed by as `/admin%2F`.
    fn agrees(&self, paths: &Paths, vhost: usize, route: usize, request: &Request<'_>) -> bool {
        let takes = self.encoded_slash.get(vhost).and_then(|routes| routes.get(route));
        takes.is_some_and(|takes| *takes)
            && request
                .path
                .with_decoded_slashes()
                .is_some_and(|decoded| paths.find(decoded.as_str(), request) == Found::Route(route))
    }

    /// Which vhost answers for which host.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The methods that the routes of a path take, for `Allow`.
    #[must_use]
    pub fn allow(&self, vhost: usize, group: usize) -> &str {
        self.vhosts.get(vhost).map_or("", |paths| paths.allow(group))
    }

    /// What the groups of the regular expression of the route match in `path`, by which it was found.
    #[must_use]
    pub fn captures(&self, routed: Routed, path: &Path) -> Vec<Range<usize>> {
        let paths = self.vhosts.get(routed.vhost);
        paths.map(|paths| paths.captures(routed.route, path.as_str())).unwrap_or_default()
    }

    /// The route for a GET without header fields.
    #[cfg(test)]
    pub(crate) fn get(&self, host: &str, path: &str) -> Result<Routed, NoRoute> {
        let (host, path) = (Host::parse(host).unwrap(), Path::parse(path).unwrap());
        let (method, headers) = (&Method::GET, &HeaderMap::new());
        self.find(&Request { host: &host, path: &path, method, headers, query: None, client: None })
    }
}

/// Whether `route` would have been found by a reader who decodes what may also stand as it is: what guards
/// `/@admin/` must not be passed by as `/%40admin/`.
fn agrees_decoded(paths: &Paths, route: usize, request: &Request<'_>) -> bool {
    let same = |path: &Path| paths.find(path.as_str(), request) == Found::Route(route);
    let Some(decoded) = request.path.with_decoded_delims() else { return false };
    // Both at once, where the route takes slashes in that form.
    let slashes = decoded.has_encoded_slash().then(|| decoded.with_decoded_slashes());
    same(&decoded) && slashes.is_none_or(|both| both.is_some_and(|both| same(&both)))
}

#[cfg(test)]
mod tests;
