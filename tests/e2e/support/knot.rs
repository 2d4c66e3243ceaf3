//! A real name server, Knot, with zones that a key may change.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tempfile::TempDir;

use super::{folder, run, wait};

/// Serves its zones at a loopback address of its own; ended when dropped.
pub(crate) struct Knot {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// The key of [`Knot`], and another one that it does not let change anything.
pub(crate) const KEY: &str = "acme";
pub(crate) const STRANGER: &str = "stranger";

impl Knot {
    /// With those zones, each with an SOA and the NS `ns.ZONE`, and what `records` adds.
    pub(crate) fn serving(zones: &[(&str, &str)]) -> Self {
        Self::with(zones, "action: update", "")
    }

    /// With another rule for the key, and more in the template of zones.
    pub(crate) fn with(zones: &[(&str, &str)], rule: &str, more: &str) -> Self {
        Self::listening(own_address(), zones, rule, more)
    }

    /// At that address. Those who ask the servers of a zone do so at port 53.
    pub(crate) fn listening(address: SocketAddr, zones: &[(&str, &str)], rule: &str, more: &str) -> Self {
        let folder = folder();
        let (ip, port) = (address.ip(), address.port());
        let place = folder.path().to_str().unwrap();
        let mut config = format!(
            "server:\n  rundir: {place}\n  listen: {ip}@{port}\n\
             log:\n - target: stderr\n   any: warning\n\
             database:\n  storage: {place}\n\
             key:\n - id: {KEY}\n   algorithm: hmac-sha256\n   secret: {}\n\
             \x20- id: {STRANGER}\n   algorithm: hmac-sha512\n   secret: {}\n\
             acl:\n - id: acme\n   key: {KEY}\n   {rule}\n\
             template:\n - id: default\n   storage: {place}\n   acl: acme\n{more}zone:\n",
            secret(KEY),
            secret(STRANGER)
        );
        for (zone, records) in zones {
            config += &format!(" - domain: {zone}\n   file: {zone}zone\n");
            let text = format!(
                "$ORIGIN {zone}\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {ip}\n{records}\n"
            );
            std::fs::write(folder.path().join(format!("{zone}zone")), text).unwrap();
        }
        let file = folder.path().join("knot.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("knotd")
            .args(["-c", file.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("knotd: {error}; install it with: apt-get install -y knot"));
        let knot = Self { child, address, folder };
        let there = || {
            let all = zones.iter().all(|(zone, _)| !knot.ask("SOA", zone).is_empty());
            all.then_some(())
        };
        wait(there).unwrap_or_else(|| panic!("knotd: {}", knot.said()));
        knot
    }

    /// What it has of that type there, in dig's words.
    pub(crate) fn ask(&self, kind: &str, name: &str) -> Vec<String> {
        let (at, port) = (format!("@{}", self.address.ip()), self.address.port().to_string());
        let arguments = [at.as_str(), "-p", &port, "+short", "+time=2", "+tries=1", kind, name];
        let output = run("dig", "bind9-dnsutils", &arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Vec::new();
        }
        text.lines().map(str::to_owned).collect()
    }

    /// Changes its records by knsupdate, as an operator does; lines without `server` and `send`.
    pub(crate) fn update(&self, lines: &str) {
        let (ip, port) = (self.address.ip(), self.address.port());
        let file = self.folder.path().join("update");
        std::fs::write(&file, format!("server {ip} {port}\n{lines}\nsend\nanswer\n")).unwrap();
        let key = format!("hmac-sha256:{KEY}:{}", secret(KEY));
        let output = run("knsupdate", "knot-dnsutils", &["-y", &key, file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("NOERROR"), "{said}");
    }

    /// A resolver that asks this server alone, and remembers nothing.
    pub(crate) fn resolver(&self) -> TokioResolver {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = self.address.port();
            connection
        });
        let server = NameServerConfig::new(self.address.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().cache_size = 0;
        builder.build().unwrap()
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The secret of a key, in base64: as long as the longest of the hashes.
pub(crate) fn secret(key: &str) -> String {
    base64::prelude::BASE64_STANDARD.encode(format!("{key:=<64}"))
}

/// An address of this machine that no other test has, at the port of name servers: those of a zone are
/// asked there. Tests run as root.
pub(crate) fn own_address() -> SocketAddr {
    loop {
        let [a, b, c] = std::array::from_fn(|_| fastrand::u8(2..250));
        let address = SocketAddr::from(([127, a, b, c], 53));
        let both = (TcpListener::bind(address), UdpSocket::bind(address));
        if both.0.is_ok() && both.1.is_ok() {
            return address;
        }
        let refused = both.0.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        assert!(!refused, "port 53 is not ours: run the tests as root");
    }
}
