//! What the proxy is confined to, and how: Landlock for files and ports, seccomp for system calls.
//!
//! Owns which files and ports a configuration needs; the rulesets themselves are `landlock`'s and
//! `seccomp`'s. Judges nothing. See landlock(7), seccomp(2).

pub(crate) mod landlock;
mod numbers;
pub mod seccomp;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fluxheim_config::{Acme, AcmeStorage, Action, Config, DnsProvider, Respond, RespondBody};

pub use trial::Trial;

/// The files and ports that a configuration makes the proxy use; it gets these and no others.
///
/// Landlock's rules are about inodes, so a reach remembers which ones its paths led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Folders with all that is below them, and single files; to be read.
    files: BTreeMap<PathBuf, Option<Inode>>,
    /// Folders with a socket of ours, which is removed at the end.
    sockets: BTreeMap<PathBuf, Option<Inode>>,
    /// Folders with all that is below them; to be read and written.
    written: BTreeMap<PathBuf, Option<Inode>>,
    /// TCP ports to listen on; 0 is any that the kernel chooses.
    ports: BTreeSet<u16>,
}

impl Reach {
    /// What `config`, read from `path`, needs.
    #[must_use]
    pub fn of(config: &Config, path: &Path) -> Self {
        let certificates =
            config.tls.certificates.iter().flat_map(|one| [&one.cert, &one.key].into_iter().chain(&one.ocsp));
        let certificates = certificates.chain(&config.tls.session_tickets.key_file);
        let upstreams =
            config.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()).flat_map(|tls| {
                let client = tls.client.iter().flat_map(|client| [&client.cert, &client.key]);
                tls.ca.iter().chain(client)
            });
        let statics = config.vhosts.iter().flat_map(|vhost| &vhost.routes).filter_map(|route| {
            let Action::Static(files) = &route.action else { return None };
            Some(absolute(&files.root))
        });
        let sticky = config.upstreams.iter().filter_map(|upstream| upstream.sticky.as_ref());
        let sticky = sticky.map(|sticky| folder_of(&sticky.secret_file));
        let own = |path: &Path| if path.is_dir() { absolute(path) } else { folder_of(path) };
        let credentials = config.policies().flat_map(|(_, policy)| {
            let users = policy.basic_auth.as_deref().map(|basic| &basic.users_file);
            let signature = policy.client_identity.as_deref().and_then(|told| told.signature.as_ref());
            let signs = signature.map(|signature| &signature.key_file);
            users.into_iter().chain(policy.jwt.as_deref().and_then(|jwt| jwt.keys.file())).chain(signs)
        });
        let acme = config.acme.iter().flat_map(of_acme);
        let clients = config.vhosts.iter().filter_map(|vhost| vhost.client_auth.as_ref());
        let clients = clients.flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl));
        let pages = config.policies().flat_map(|(_, policy)| policy.errors.pages.values());
        let bodies =
            config.vhosts.iter().flat_map(|vhost| &vhost.routes).filter_map(|route| match &route.action {
                Action::Respond(Respond { body: RespondBody::File(file), .. }) => Some(file),
                _ => None,
            });
        // The configuration may be a link, and what it leads to is read again at a reload.
        let real = path.canonicalize().ok();
        let own = std::iter::once(own(path)).chain(real.as_deref().map(own));
        let listeners = config
            .server
            .http
            .iter()
            .chain(&config.server.https)
            .map(|listener| &listener.address)
            .chain(&config.metrics.listen);
        Self {
            files: certificates
                .chain(upstreams)
                .chain(clients)
                .map(|file| folder_of(file))
                .chain(credentials.chain(pages).chain(bodies).map(|file| folder_of(file)))
                .chain(sticky)
                .chain(acme)
                .chain(statics)
                .chain(own)
                .map(|path| (path.clone(), inode_of(&path)))
                .collect(),
            sockets: sockets(config).filter_map(socket_folder).collect(),
            written: state_folder(config).into_iter().map(|path| (path.clone(), inode_of(&path))).collect(),
            ports: listeners.map(std::net::SocketAddr::port).collect(),
        }
    }

    /// Those files of `self` that `other` doesn't cover: what a process confined to `other` can't use.
    /// A folder that is another one by now, under the same name, is not covered either.
    #[must_use]
    pub fn beyond<'a>(&'a self, other: &Self) -> Vec<&'a Path> {
        let readable: Vec<_> = other.files.iter().chain(&other.written).collect();
        let writable: Vec<_> = other.written.iter().collect();
        let beyond = |path: &&Path, roots: &[Root<'_>]| !covers(roots, path);
        let files = self.files.keys().map(PathBuf::as_path).filter(|path| beyond(path, &readable));
        let written = self.written.keys().map(PathBuf::as_path).filter(|path| beyond(path, &writable));
        files.chain(written).collect()
    }
}

type Root<'a> = (&'a PathBuf, &'a Option<Inode>);

/// Whether `path` is below one of `roots`, by name and by where its links lead.
fn covers(roots: &[Root<'_>], path: &Path) -> bool {
    let same = |root: &Path, then: &Option<Inode>| then.is_some() && inode_of(root) == *then;
    let covered = roots.iter().any(|(root, then)| path.starts_with(root) && same(root, then));
    // A link may lead out of the folder it stands in.
    let ends_inside = || {
        path.canonicalize().map_or(true, |real| {
            roots.iter().any(|(root, _)| root.canonicalize().is_ok_and(|root| real.starts_with(root)))
        })
    };
    covered && ends_inside()
}

/// The only folder that the proxy writes, if its configuration makes it write at all.
fn state_folder(config: &Config) -> Option<PathBuf> {
    match &config.acme.as_ref()?.storage {
        AcmeStorage::Folder(folder) => Some(absolute(folder)),
        AcmeStorage::Redis(_) => None,
    }
}

/// The folders of what ACME reads. What it writes is not among them.
fn of_acme(acme: &Acme) -> Vec<PathBuf> {
    let issuers = acme.issuers.iter().flat_map(|issuer| {
        let account = issuer.external_account.iter();
        issuer
            .ca_file
            .iter()
            .chain(account.flat_map(|account| [&account.key_id_file, &account.hmac_key_file]))
    });
    let dns = acme.dns.iter().filter_map(|dns| match &dns.provider {
        DnsProvider::Rfc2136(update) => Some(&update.key_file),
        DnsProvider::Hook(_) => None,
    });
    let redis = match &acme.storage {
        AcmeStorage::Folder(_) => None,
        AcmeStorage::Redis(redis) => Some(redis),
    };
    let redis = redis
        .into_iter()
        .flat_map(|redis| redis.ca_file.iter().chain(&redis.password_file).chain(&redis.seal_key_files));
    issuers.chain(dns).chain(redis).map(|file| folder_of(file)).collect()
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

/// Those that are made before the process is confined, and removed at its end.
fn sockets(config: &Config) -> impl Iterator<Item = &Path> {
    let hook = config.acme.iter().filter_map(Acme::hook).map(|hook| hook.socket.as_path());
    config.admin.socket.as_deref().into_iter().chain(hook)
}

/// The folder of a socket. `/` is none of ours to remove anything from.
fn socket_folder(socket: &Path) -> Option<(PathBuf, Option<Inode>)> {
    let folder = absolute(socket).parent().filter(|folder| folder.parent().is_some())?.to_owned();
    let inode = inode_of(&folder);
    Some((folder, inode))
}

/// Device and number.
type Inode = (u64, u64);

/// What a path leads to right now; `None` for nothing.
fn inode_of(path: &Path) -> Option<Inode> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|seen| (seen.dev(), seen.ino()))
}

/// As it is where the current folder can't be told: then nothing relative can be opened either.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What the proxy reads besides its configuration, from image/landlock.tsv.
pub(crate) fn always<'a>() -> impl Iterator<Item = &'a Path> {
    let lines = ALWAYS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split('\t').next()).map(Path::new)
}

/// The same in every build.
const ALWAYS: &str = include_str!("../../../image/landlock.tsv");

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
        let admin = "[admin]\nsocket = \"/run/fluxheim/admin.sock\"\n";
        let reach = reach(&format!("[metrics]\nlisten = [\"127.0.0.1:9090\"]\n{pair}{STATIC}{admin}"));
        let files: Vec<_> = reach.files.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(files, ["/etc/fluxheim", "/etc/fluxheim/tls", "/run/secrets", "/srv/site"]);
        assert_eq!(reach.sockets.keys().collect::<Vec<_>>(), [Path::new("/run/fluxheim")]);
        assert_eq!(reach.ports.into_iter().collect::<Vec<_>>(), [81, 8080, 9090]);
    }

    #[test]
    fn what_is_always_in_reach_gives_its_reason_and_is_what_it_says() {
        for line in ALWAYS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<_> = line.split('\t').collect();
            let [path, kind, why] = fields[..] else { panic!("{line:?}") };
            assert!(Path::new(path).is_absolute() && why.len() > 3, "{line:?}");
            if let Ok(seen) = std::fs::metadata(path) {
                assert_eq!(seen.is_dir(), kind == "dir", "{line:?}");
            }
        }
        assert_eq!(always().count(), 10);
        // A rule on one of these would open what others are and have.
        assert!(
            always().all(|path| !["/", "/proc", "/etc", "/dev", "/sys"].contains(&path.to_str().unwrap()))
        );
    }

    #[test]
    fn a_file_in_the_root_folder_does_not_open_everything() {
        assert_eq!(folder_of(Path::new("/fluxheim.toml")), Path::new("/fluxheim.toml"));
        assert_eq!(folder_of(Path::new("/a/b")), Path::new("/a"));
        assert_eq!(folder_of(Path::new("fluxheim.toml")), std::env::current_dir().unwrap());
    }

    #[test]
    fn tells_what_lies_beyond() {
        let files = |paths: &[&Path]| Reach {
            files: paths.iter().map(|path| ((*path).to_owned(), inode_of(path))).collect(),
            ..Reach::default()
        };
        let folder = tempfile::TempDir::new().unwrap();
        let (site, below) = (folder.path().join("site"), folder.path().join("site/below"));
        std::fs::create_dir_all(&below).unwrap();
        let before = files(&[&site]);
        assert!(files(&[&site, &below]).beyond(&before).is_empty());
        assert_eq!(files(&[Path::new("/srv")]).beyond(&before), [Path::new("/srv")]);
        // The same name, another folder: the ruleset knows the old one.
        std::fs::rename(&site, folder.path().join("old")).unwrap();
        std::fs::create_dir(&site).unwrap();
        assert_eq!(files(&[&site]).beyond(&before), [site.as_path()]);
    }

    #[test]
    fn only_the_folder_of_acme_is_written() {
        let acme = "[acme]\ndirectory = \"https://ca.example/dir\"\nterms_of_service_agreed = true\n";
        let folder = |more: &str| reach(&format!("{acme}{more}")).written.into_keys().collect::<Vec<_>>();
        assert_eq!(folder(""), [Path::new("/var/lib/fluxheim")]);
        assert_eq!(folder("storage = { path = \"state\" }\n"), [Path::new("/etc/fluxheim/state")]);
        let redis = "storage = { redis = { address = \"r:1\", seal_key_file = \"s\" } }\n";
        assert_eq!(folder(redis), [""; 0].map(Path::new));
        assert!(reach("").written.is_empty());
    }

    #[test]
    fn a_hook_is_waited_for_where_the_configuration_says() {
        let acme = "[acme]\ndirectory = \"https://ca.example/dir\"\nterms_of_service_agreed = true\n\
                    dns = { provider = \"hook\", socket = \"/run/hook/a.sock\" }\n";
        let reach = reach(&format!("[admin]\nsocket = \"/run/fluxheim/admin.sock\"\n{acme}"));
        let folders: Vec<_> = reach.sockets.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(folders, ["/run/fluxheim", "/run/hook"]);
        assert!(!reach.files.keys().any(|path| path.starts_with("/run")));
    }

    #[test]
    fn what_was_only_read_is_beyond_for_one_who_writes() {
        let folder = tempfile::TempDir::new().unwrap();
        let here: BTreeMap<_, _> = [(folder.path().to_owned(), inode_of(folder.path()))].into();
        let reads = Reach { files: here.clone(), ..Reach::default() };
        let writes = Reach { written: here, ..Reach::default() };
        assert_eq!(writes.beyond(&reads), [folder.path()]);
        assert!(reads.beyond(&writes).is_empty() && writes.beyond(&writes).is_empty());
    }

    #[test]
    fn a_link_that_leads_out_lies_beyond() {
        let folder = tempfile::TempDir::new().unwrap();
        let (inside, out) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&out).unwrap();
        let before = Reach { files: [(inside.clone(), inode_of(&inside))].into(), ..Reach::default() };
        let link = inside.join("link");
        std::os::unix::fs::symlink(&out, &link).unwrap();
        let after = Reach { files: [(link.clone(), inode_of(&link))].into(), ..Reach::default() };
        assert_eq!(after.beyond(&before), [link.as_path()]);
    }
}
