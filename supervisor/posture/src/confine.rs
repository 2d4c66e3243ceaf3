//! What the proxy is confined to, and how: Landlock for files and ports, seccomp for system calls.
//!
//! Owns which files and ports a configuration needs; the rulesets themselves are `landlock`'s and
//! `seccomp`'s. Judges nothing. See landlock(7), seccomp(2).

pub(crate) mod landlock;
pub mod seccomp;
mod trial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fluxheim_config::{Action, Config};

pub use trial::Trial;

/// The files and ports that a configuration makes the proxy use; it gets these and no others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Folders with all that is below them, and single files; to be read.
    files: BTreeSet<PathBuf>,
    /// TCP ports to listen on; 0 is any that the kernel chooses.
    ports: BTreeSet<u16>,
}

impl Reach {
    /// What `config`, read from `path`, needs.
    #[must_use]
    pub fn of(config: &Config, path: &Path) -> Self {
        let certificates = config.tls.certificates.iter().flat_map(|pair| [&pair.cert, &pair.key]);
        let statics = config.vhosts.iter().flat_map(|vhost| &vhost.routes).filter_map(|route| {
            let Action::Static(folder) = &route.action else { return None };
            Some(absolute(folder))
        });
        let own = if path.is_dir() { absolute(path) } else { folder_of(path) };
        let listeners = config.server.http.iter().chain(&config.server.https).chain(&config.metrics.listen);
        Self {
            files: certificates.map(|file| folder_of(file)).chain(statics).chain([own]).collect(),
            ports: listeners.map(std::net::SocketAddr::port).collect(),
        }
    }

    /// Those files of `self` that `other` doesn't cover: what a process confined to `other` can't use.
    #[must_use]
    pub fn beyond<'a>(&'a self, other: &Self) -> Vec<&'a Path> {
        let covered = |path: &Path| other.files.iter().any(|root| path.starts_with(root));
        self.files.iter().map(PathBuf::as_path).filter(|path| !covered(path)).collect()
    }
}

/// The folder a file stands in, so that a new file in its place is still in reach (Landlock's rules
/// are about inodes). A file in `/` stays alone: its folder would be everything.
fn folder_of(file: &Path) -> PathBuf {
    let file = absolute(file);
    match file.parent() {
        Some(folder) if folder.parent().is_some() => folder.to_owned(),
        _ => file,
    }
}

/// As it is where the current folder can't be told: then nothing relative can be opened either.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What the proxy reads besides its configuration: name resolution, what the kernel says about
/// itself, randomness (the statically linked getrandom crate asks the devices), and nothing.
pub(crate) const ALWAYS: [&str; 8] = [
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

#[cfg(test)]
mod tests {
    use fluxheim_config::{Source, parse};

    use super::*;

    fn reach(text: &str) -> Reach {
        let text = format!("[server]\nhttp = [\"0.0.0.0:8080\", \"[::]:81\"]\n{text}");
        let path = PathBuf::from("/etc/fluxheim/fluxheim.toml");
        Reach::of(&parse(&[Source { path: path.clone(), text }]).unwrap(), &path)
    }

    const STATIC: &str = "[[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", static = \"/srv/site\" }]\n";

    #[test]
    fn reaches_the_folders_of_what_it_names_and_its_ports() {
        let pair = "[[tls.certificates]]\nname = \"a\"\ncert = \"tls/a.pem\"\nkey = \"/run/secrets/a.key\"\n";
        let reach = reach(&format!("[metrics]\nlisten = [\"127.0.0.1:9090\"]\n{pair}{STATIC}"));
        let files: Vec<_> = reach.files.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(files, ["/etc/fluxheim", "/etc/fluxheim/tls", "/run/secrets", "/srv/site"]);
        assert_eq!(reach.ports.into_iter().collect::<Vec<_>>(), [81, 8080, 9090]);
    }

    #[test]
    fn a_file_in_the_root_folder_does_not_open_everything() {
        assert_eq!(folder_of(Path::new("/fluxheim.toml")), Path::new("/fluxheim.toml"));
        assert_eq!(folder_of(Path::new("/a/b")), Path::new("/a"));
        assert_eq!(folder_of(Path::new("fluxheim.toml")), std::env::current_dir().unwrap());
    }

    #[test]
    fn tells_what_lies_beyond() {
        let (before, after) = (reach(""), reach(STATIC));
        assert_eq!(after.beyond(&before), [Path::new("/srv/site")]);
        assert!(before.beyond(&after).is_empty());
        let inside = reach(&STATIC.replace("/srv/site", "/etc/fluxheim/site"));
        assert!(inside.beyond(&before).is_empty());
    }
}
