//! Debian's Pebble, an ACME server, and the name server that goes with it.
#![allow(dead_code, reason = "every suite uses its own part")]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixtures::{certificate, curl, wait};

/// Validates every name at its own address, but for those that [`Pebble::finds`] gave another; ended when dropped.
pub(crate) struct Pebble {
    /// Where it is, and where it expects every name to be.
    pub(crate) ip: IpAddr,
    server: Child,
    names: Child,
    folder: TempDir,
    ca: PathBuf,
}

/// Where it asks for HTTP-01 and TLS-ALPN-01.
pub(crate) const HTTP: u16 = 8080;
pub(crate) const HTTPS: u16 = 8443;

impl Pebble {
    /// The same with another certificate of its own, named in `more`, which `ca` vouches for.
    pub(crate) fn believed(ip: IpAddr, more: &Value, environment: &[(&str, &str)], ca: &[u8]) -> Self {
        let mut pebble = Self::at(ip, more, environment);
        pebble.ca = pebble.folder.path().join("ca.pem");
        std::fs::write(&pebble.ca, ca).unwrap();
        pebble
    }

    /// One at `ip`, with more in its configuration and its environment.
    pub(crate) fn at(ip: IpAddr, more: &Value, environment: &[(&str, &str)]) -> Self {
        Self::asking(SocketAddr::new(ip, 8053), ip, more, environment)
    }

    /// The same, which asks the name server at `resolver`.
    pub(crate) fn asking(
        resolver: SocketAddr,
        ip: IpAddr,
        more: &Value,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let (ca, key) = certificate(folder.path(), "pebble", &[&ip.to_string()]);
        let mut settings = json!({
            "listenAddress": format!("{ip}:14000"),
            "managementListenAddress": format!("{ip}:15000"),
            "certificate": ca,
            "privateKey": key,
            "httpPort": HTTP,
            "tlsPort": HTTPS,
        });
        let more = more.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
        settings.as_object_mut().unwrap().extend(more);
        let config = folder.path().join("pebble.json");
        std::fs::write(&config, json!({ "pebble": settings }).to_string()).unwrap();
        let missing = |tool: &str, error: std::io::Error| -> ! {
            panic!("{tool}: {error}; install it with: apt-get install -y pebble")
        };
        let names = Command::new("pebble-challtestsrv")
            .args(["-dns01", &format!("{ip}:8053"), "-management", &format!("{ip}:8055")])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-defaultIPv4", &ip.to_string(), "-defaultIPv6", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| missing("pebble-challtestsrv", error));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let server = Command::new("pebble")
            .args(["-config", config.to_str().unwrap(), "-dnsserver", &resolver.to_string()])
            .env("PEBBLE_AUTHZREUSE", "0")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| missing("pebble", error));
        let pebble = Self { ip, server, names, folder, ca };
        let up = || std::net::TcpStream::connect((ip, 14000)).ok();
        wait(up).unwrap_or_else(|| panic!("pebble does not listen: {}", pebble.said()));
        pebble
    }

    /// Its directory.
    pub(crate) fn url(&self) -> String {
        format!("https://{}:14000/dir", self.ip)
    }

    /// What vouches for the server itself.
    pub(crate) fn ca(&self) -> Vec<u8> {
        std::fs::read(&self.ca).unwrap()
    }

    /// What vouches for the certificates that it issues.
    pub(crate) fn root(&self) -> Vec<u8> {
        let url = format!("https://{}:15000/roots/0", self.ip);
        curl(&["--cacert", self.ca.to_str().unwrap(), &url])
    }

    /// Names lead to these addresses from now on.
    pub(crate) fn finds(&self, host: &str, at: &[IpAddr]) {
        let manage = |what: &str, body: Value| {
            curl(&["-d", &body.to_string(), &format!("http://{}:8055/{what}", self.ip)]);
        };
        manage("clear-a", json!({ "host": host }));
        manage("add-a", json!({ "host": host, "addresses": at }));
    }

    /// What it has logged so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.server.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.names] {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
