//! The files that a configuration names, and what each is for.
//!
//! Owns the inventory; opens nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fluxheim_config::{Action, Config, HostPattern, Upstream, VhostCertificate};

mod acme;
mod role;

pub use acme::{
    HOOK_SOCKET, acme_ca, acme_dns, acme_external_account, acme_folder, acme_redis_ca, acme_redis_password,
    acme_seal_keys,
};
pub use role::Role;

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

/// A certificate and its key, which are of use only together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Who names it: `tls.certificates "example"`.
    pub name: String,
    /// PEM chain, leaf first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// The hosts of the vhosts that ask for it by name.
    pub hosts: Vec<HostPattern>,
    pub shown_to: ShownTo,
}

/// Who is to believe a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownTo {
    Clients,
    /// We are the client: its names don't matter, and it need not be good for a server.
    Upstreams,
}

impl Pair {
    /// The two files as objects, certificate first.
    #[must_use]
    pub fn objects(&self) -> [Object; 2] {
        let object = |role, path: &PathBuf| Object { role, name: self.name.clone(), path: path.clone() };
        [object(Role::Certificate, &self.cert), object(Role::PrivateKey, &self.key)]
    }
}

/// What is judged in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    One(Object),
    Pair(Pair),
}

impl Item {
    /// What it consists of.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        match self {
            Self::One(object) => vec![object.clone()],
            Self::Pair(pair) => pair.objects().to_vec(),
        }
    }
}

/// What a configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub items: Vec<Item>,
    /// Hosts of vhosts that name no certificate, and so are served whichever fits the name.
    pub by_name: Vec<NamedHost>,
}

/// A host, and who names it: `vhosts 2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedHost {
    pub name: String,
    pub host: HostPattern,
}

/// Every file and folder that `config` names, in its order; a static root only once.
#[must_use]
pub fn inventory(config: &Config) -> Inventory {
    let pairs = (0..config.tls.certificates.len()).filter_map(|index| pair(config, index)).map(Item::Pair);
    let vhosts = || config.vhosts.iter().enumerate().map(|(index, vhost)| (vhost_name(index), vhost));
    let mut roots = BTreeSet::new();
    let statics = vhosts().flat_map(|(name, vhost)| {
        vhost.routes.iter().filter_map(move |route| match &route.action {
            Action::Static(files) => Some((name.clone(), &files.root)),
            Action::Upstream(_) | Action::Redirect(_) | Action::Respond(_) => None,
        })
    });
    let statics = statics
        .filter(|(_, path)| roots.insert(*path))
        .map(|(name, path)| Item::One(Object { role: Role::StaticRoot, name, path: path.clone() }));
    let upstreams = config.upstreams.iter().flat_map(of_upstream);
    let acme = config.acme.iter().flat_map(acme::objects).map(Item::One);
    let tickets = ticket_keys(config).map(Item::One);
    let staples = (0..config.tls.certificates.len()).filter_map(|index| ocsp_response(config, index));
    let pairs = pairs.chain(staples.map(Item::One)).chain(tickets);
    let socket = socket_folder(config).map(Item::One);
    let clients = client_trust(config);
    let items = pairs.chain(acme).chain(upstreams).chain(clients).chain(statics);
    let items = items.chain(credentials(config)).chain(socket).collect();
    let unnamed = vhosts().filter(|(_, vhost)| {
        vhost.certificate == VhostCertificate::ByName && !config.server.https.is_empty()
    });
    let by_name = unnamed.flat_map(|(name, vhost)| {
        vhost.hosts.iter().map(move |host| NamedHost { name: name.clone(), host: host.clone() })
    });
    Inventory { items, by_name: by_name.collect() }
}

/// What clients are known by, each file once.
fn credentials(config: &Config) -> impl Iterator<Item = Item> {
    let files = config.policies().flat_map(|(vhost, policy)| {
        let users = policy.basic_auth.as_deref().map(|basic| (Role::UsersFile, &basic.users_file));
        let keys = policy.jwt.as_deref().and_then(|jwt| Some((Role::KeySet, jwt.keys.file()?)));
        let signature = policy.client_identity.as_deref().and_then(|identity| identity.signature.as_ref());
        let identity = signature.map(|signature| (Role::IdentityKey, &signature.key_file));
        let name = vhost.map_or_else(|| "defaults".to_owned(), vhost_name);
        users.into_iter().chain(keys).chain(identity).map(move |(role, path)| (role, path, name.clone()))
    });
    let mut seen = BTreeSet::new();
    files
        .filter(move |(role, path, _)| seen.insert((*role, *path)))
        .map(|(role, path, name)| Item::One(Object { role, name, path: path.clone() }))
}

/// What the certificates of clients are judged by, each file once.
fn client_trust(config: &Config) -> impl Iterator<Item = Item> {
    let objects = (0..config.vhosts.len()).flat_map(|vhost| {
        let lists = client_revocation_lists(config, vhost);
        client_ca_bundle(config, vhost).into_iter().chain(lists)
    });
    let mut seen = BTreeSet::new();
    objects.filter(move |object| seen.insert((object.role, object.path.clone()))).map(Item::One)
}

/// The CAs that may vouch for the clients of a vhost, if it asks for certificates.
#[must_use]
pub fn client_ca_bundle(config: &Config, vhost: usize) -> Option<Object> {
    let path = config.vhosts.get(vhost)?.client_auth.as_ref()?.ca.clone();
    Some(Object { role: Role::CaBundle, name: vhost_name(vhost), path })
}

/// The revocation lists for the clients of a vhost.
#[must_use]
pub fn client_revocation_lists(config: &Config, vhost: usize) -> Vec<Object> {
    let auth = config.vhosts.get(vhost).and_then(|of| of.client_auth.as_ref());
    let files = auth.into_iter().flat_map(|auth| &auth.crl);
    let object =
        |path: &PathBuf| Object { role: Role::RevocationList, name: vhost_name(vhost), path: path.clone() };
    files.map(object).collect()
}

fn of_upstream(upstream: &Upstream) -> impl Iterator<Item = Item> {
    let tls = ca_bundle(upstream).map(Item::One).into_iter().chain(client_pair(upstream).map(Item::Pair));
    tls.chain(sticky_key(upstream).map(Item::One))
}

/// The CAs that may vouch for the servers of an upstream, if it names any.
#[must_use]
pub fn ca_bundle(upstream: &Upstream) -> Option<Object> {
    let path = upstream.tls.as_ref()?.ca.clone()?;
    Some(Object { role: Role::CaBundle, name: upstream_name(upstream), path })
}

/// What is shown to the servers of an upstream, if anything.
#[must_use]
pub fn client_pair(upstream: &Upstream) -> Option<Pair> {
    let client = upstream.tls.as_ref()?.client.clone()?;
    Some(Pair {
        name: upstream_name(upstream),
        cert: client.cert,
        key: client.key,
        hosts: Vec::new(),
        shown_to: ShownTo::Upstreams,
    })
}

fn upstream_name(upstream: &Upstream) -> String {
    format!("upstreams {:?}", upstream.name)
}

/// The key of an upstream's sticky cookies, if it has any.
#[must_use]
pub fn sticky_key(upstream: &Upstream) -> Option<Object> {
    let path = upstream.sticky.as_ref()?.secret_file.clone();
    Some(Object { role: Role::StickyKey, name: upstream_name(upstream), path })
}

/// The keys of session tickets, if they are named and used.
#[must_use]
pub fn ticket_keys(config: &Config) -> Option<Object> {
    let tickets = &config.tls.session_tickets;
    let path = tickets.key_file.clone().filter(|_| tickets.enabled)?;
    Some(Object { role: Role::TicketKeys, name: "tls.session_tickets".to_owned(), path })
}

/// How the files of a certificate of `[[tls.certificates]]` are named.
#[must_use]
pub fn certificate_name(name: &str) -> String {
    format!("tls.certificates {name:?}")
}

/// The OCSP response that `config.tls.certificates[index]` names, if any.
#[must_use]
pub fn ocsp_response(config: &Config, index: usize) -> Option<Object> {
    let certificate = config.tls.certificates.get(index)?;
    let name = certificate_name(&certificate.name);
    Some(Object { role: Role::OcspResponse, name, path: certificate.ocsp.clone()? })
}

/// Where the admin API has its socket, if anywhere.
#[must_use]
pub fn socket_folder(config: &Config) -> Option<Object> {
    let path = config.admin.socket.as_deref().map(folder_of)?;
    Some(Object { role: Role::SocketFolder, name: "admin.socket".to_owned(), path })
}

/// The folder of a socket; the configuration has made sure that its path has a name at the end.
pub(crate) fn folder_of(socket: &Path) -> PathBuf {
    match socket.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// As messages call it; a vhost has no name of its own.
fn vhost_name(index: usize) -> String {
    format!("vhosts {}", index + 1)
}

/// The pair of `config.tls.certificates[index]`, with the hosts of every vhost that names it.
#[must_use]
pub fn pair(config: &Config, index: usize) -> Option<Pair> {
    let certificate = config.tls.certificates.get(index)?;
    let users = config.vhosts.iter().filter(|vhost| vhost.certificate.own().contains(&index));
    Some(Pair {
        name: certificate_name(&certificate.name),
        cert: certificate.cert.clone(),
        key: certificate.key.clone(),
        hosts: users.flat_map(|vhost| vhost.hosts.iter().cloned()).collect(),
        shown_to: ShownTo::Clients,
    })
}

#[cfg(test)]
mod tests {
    use fluxheim_config::Source;

    use super::*;

    const TEXT: &str = r#"
        [server]
        https = ["127.0.0.1:8443"]
        [[tls.certificates]]
        name = "example"
        cert = "tls/a.pem"
        key = "/keys/a.key"
        [[upstreams]]
        name = "app"
        servers = ["app:80"]
        sticky = { cookie = "srv", secret_file = "sticky.key" }
        [[vhosts]]
        hosts = ["a.example"]
        certificate = "example"
        [[vhosts.routes]]
        path = "/"
        static = "/srv/a"
        [[vhosts]]
        hosts = ["b.example"]
        basic_auth = { users_file = "users" }
        jwt = { jwks_file = "keys.json", issuer = "i", audience = "any", source = "cookie:t" }
        client_auth = { mode = "required", ca = "ca.pem", crl = ["a.crl", "b.crl", "a.crl"] }
        client_identity = { headers = ["client-cert"], sign_key_file = "identity.key" }
        [[vhosts.routes]]
        path = "/"
        static = "/srv/b"
        [[vhosts.routes]]
        path = "/again/"
        static = "/srv/a"
        [admin]
        socket = "/run/fluxheim/admin.sock"
    "#;

    #[test]
    fn names_every_file_once_with_who_asks_for_it() {
        let source = Source { path: "/etc/fluxheim/fluxheim.toml".into(), text: TEXT.to_owned() };
        let Inventory { items, by_name } = inventory(&fluxheim_config::parse(&[source]).unwrap());
        let host = HostPattern::Exact("b.example".into());
        assert_eq!(by_name, [NamedHost { name: "vhosts 2".into(), host }]);
        let Item::Pair(pair) = &items[0] else { panic!("{items:?}") };
        assert_eq!(pair.hosts, [HostPattern::Exact("a.example".into())]);
        let objects: Vec<_> = items.iter().flat_map(Item::objects).collect();
        let seen: Vec<_> = objects.iter().map(|object| (object.role, &*object.name, &*object.path)).collect();
        let example = "tls.certificates \"example\"";
        assert_eq!(
            seen,
            [
                (Role::Certificate, example, Path::new("/etc/fluxheim/tls/a.pem")),
                (Role::PrivateKey, example, Path::new("/keys/a.key")),
                (Role::StickyKey, "upstreams \"app\"", Path::new("/etc/fluxheim/sticky.key")),
                (Role::CaBundle, "vhosts 2", Path::new("/etc/fluxheim/ca.pem")),
                (Role::RevocationList, "vhosts 2", Path::new("/etc/fluxheim/a.crl")),
                (Role::RevocationList, "vhosts 2", Path::new("/etc/fluxheim/b.crl")),
                (Role::StaticRoot, "vhosts 1", Path::new("/srv/a")),
                (Role::StaticRoot, "vhosts 2", Path::new("/srv/b")),
                (Role::UsersFile, "vhosts 2", Path::new("/etc/fluxheim/users")),
                (Role::KeySet, "vhosts 2", Path::new("/etc/fluxheim/keys.json")),
                (Role::IdentityKey, "vhosts 2", Path::new("/etc/fluxheim/identity.key")),
                (Role::SocketFolder, "admin.socket", Path::new("/run/fluxheim")),
            ]
        );
    }

    #[test]
    fn every_role_is_found_by_its_name() {
        for role in Role::ALL {
            assert_eq!(Role::from_id(role.id()), Some(role));
        }
        assert_eq!(Role::from_id("key"), None);
    }
}
