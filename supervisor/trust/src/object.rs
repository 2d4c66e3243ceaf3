//! The files that a configuration names, and what each is for.
//!
//! Owns the inventory; opens nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use fluxheim_config::{Action, Config};

/// What a file is for; decides which rules it is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Read once: whoever can write it commands the proxy.
    Config,
    /// Public, but whoever can replace it can break the service.
    Certificate,
    /// Whoever can read it can pose as the site.
    PrivateKey,
    /// A folder whose content is published.
    StaticRoot,
}

impl Role {
    /// Whether the content goes into pages for secrets.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        match self {
            Self::PrivateKey => true,
            Self::Config | Self::Certificate | Self::StaticRoot => false,
        }
    }

    /// The stable name in JSON reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Certificate => "certificate",
            Self::PrivateKey => "private-key",
            Self::StaticRoot => "static-root",
        }
    }
}

/// In words, as text reports have it.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "configuration",
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::StaticRoot => "static root",
        })
    }
}

/// One file to judge or to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is for.
    pub role: Role,
    /// Who names it: `tls.certificates "example"`.
    pub name: String,
    /// Where it is; a relative path starts at the working directory.
    pub path: PathBuf,
}

/// Every file and folder that `config` names, in its order; a static root only once.
#[must_use]
pub fn inventory(config: &Config) -> Vec<Object> {
    let mut objects = Vec::new();
    for certificate in &config.tls.certificates {
        let name = format!("tls.certificates {:?}", certificate.name);
        objects.push(Object { role: Role::Certificate, name: name.clone(), path: certificate.cert.clone() });
        objects.push(Object { role: Role::PrivateKey, name, path: certificate.key.clone() });
    }
    let mut roots = BTreeSet::new();
    for (number, vhost) in config.vhosts.iter().enumerate() {
        for route in &vhost.routes {
            let Action::Static(path) = &route.action else { continue };
            if roots.insert(path) {
                let name = format!("vhosts {}", number + 1);
                objects.push(Object { role: Role::StaticRoot, name, path: path.clone() });
            }
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fluxheim_config::Source;

    use super::*;

    const TEXT: &str = r#"
        [server]
        https = ["127.0.0.1:8443"]
        [[tls.certificates]]
        name = "example"
        cert = "tls/a.pem"
        key = "/keys/a.key"
        [[vhosts]]
        hosts = ["a.example"]
        [[vhosts.routes]]
        path = "/"
        static = "/srv/a"
        [[vhosts]]
        hosts = ["b.example"]
        [[vhosts.routes]]
        path = "/"
        static = "/srv/b"
        [[vhosts.routes]]
        path = "/again/"
        static = "/srv/a"
    "#;

    #[test]
    fn names_every_file_once_with_who_asks_for_it() {
        let source = Source { path: "/etc/fluxheim/fluxheim.toml".into(), text: TEXT.to_owned() };
        let objects = inventory(&fluxheim_config::parse(&[source]).unwrap());
        let seen: Vec<_> = objects.iter().map(|object| (object.role, &*object.name, &*object.path)).collect();
        let example = "tls.certificates \"example\"";
        assert_eq!(
            seen,
            [
                (Role::Certificate, example, Path::new("/etc/fluxheim/tls/a.pem")),
                (Role::PrivateKey, example, Path::new("/keys/a.key")),
                (Role::StaticRoot, "vhosts 1", Path::new("/srv/a")),
                (Role::StaticRoot, "vhosts 2", Path::new("/srv/b")),
            ]
        );
    }
}
