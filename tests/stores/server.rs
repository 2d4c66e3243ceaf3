//! A `redis-server` of our own: its folder, its users, its certificate.
#![allow(dead_code, reason = "not every suite that shares this file needs all of it")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxheim::acme::store::{Redis, RedisSettings};
use fluxheim::upstream::resolve::resolver;
use fluxheim_trust::{Identity, Object, Role, Secret, Terms};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

use super::fixtures::{certificate, run, set_mode};

/// It ends with this value.
pub(crate) struct Server {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

/// How to speak to it.
#[derive(Clone)]
pub(crate) struct Setup {
    pub host: &'static str,
    pub port: u16,
    pub tls: bool,
    pub ca: PathBuf,
    pub user: &'static str,
    pub password: &'static str,
    pub prefix: &'static str,
    pub seal_keys: Vec<PathBuf>,
    pub timeout: Duration,
}

impl Setup {
    pub(crate) const PASSWORD: &'static str = "right-password";
}

impl Server {
    /// With a user who may do what docs/acme-storage.md says, and no more.
    pub(crate) fn start() -> Self {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The same at an address that others than this machine reach.
    pub(crate) fn start_at(ip: IpAddr) -> Self {
        let folder = TempDir::new().unwrap();
        certificate(folder.path(), "server", &[&ip.to_string()]);
        let users = format!(
            "user default off\nuser flux on >{password} {RIGHTS}\nuser reader on >{password} ~fluxheim:* &fluxheim:* \
             -@all +get\nuser admin on >admin ~* &* +@all\n",
            password = Setup::PASSWORD
        );
        std::fs::write(folder.path().join("users.acl"), users).unwrap();
        // Another program may take a port that was just free.
        for _ in 0..20 {
            let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
            if let Some(child) = spawn(folder.path(), address) {
                let server = Self { folder, address, child };
                server.seal_key("seal");
                return server;
            }
        }
        panic!("redis-server does not start: {}", log(folder.path()));
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup {
            host: "127.0.0.1",
            port: self.address.port(),
            tls: true,
            ca: self.path().join("server.pem"),
            user: "flux",
            password: Setup::PASSWORD,
            prefix: "fluxheim:",
            seal_keys: vec![self.path().join("seal.key")],
            timeout: Duration::from_secs(5),
        }
    }

    /// A key, made as the documentation says.
    pub(crate) fn seal_key(&self, name: &str) -> PathBuf {
        let path = self.path().join(format!("{name}.key"));
        let output = run("openssl", "openssl", &["rand", "-base64", "-out", path.to_str().unwrap(), "32"]);
        assert!(output.status.success());
        set_mode(&path, 0o600);
        path
    }

    /// A file with the user's password.
    pub(crate) fn password(&self) -> PathBuf {
        self.password_file(Setup::PASSWORD)
    }

    fn password_file(&self, password: &str) -> PathBuf {
        let path = self.path().join(format!("{password}.password"));
        std::fs::write(&path, format!("{password}\n")).unwrap();
        set_mode(&path, 0o600);
        path
    }

    pub(crate) fn open(&self, setup: &Setup) -> Redis {
        let password = self.password_file(setup.password);
        let server = fluxheim::acme::store::Server {
            host: setup.host.to_owned(),
            port: setup.port,
            tls: setup.tls.then(|| believing(&setup.ca)),
            username: Some(setup.user.to_owned()),
            password: Some(secret(&password)),
            database: 0,
            timeout: setup.timeout,
            resolver: resolver().unwrap(),
        };
        let seal_keys = setup.seal_keys.iter().map(|path| secret(path)).collect();
        Redis::new(RedisSettings { server, prefix: setup.prefix.to_owned(), seal_keys }).unwrap()
    }

    /// What an administrator does by hand.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let socket = self.path().join("redis.sock");
        let login =
            ["-s", socket.to_str().unwrap(), "--user", "admin", "--pass", "admin", "--no-auth-warning"];
        let output = run("redis-cli", "redis-tools", &[&login[..], words].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !said.contains("ERR"), "{words:?}: {said}");
        said
    }

    /// All that it has on its disk.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.path().join("appendonlydir")).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same, with what it had.
    pub(crate) fn again(&mut self) {
        let child = spawn(self.folder.path(), self.address);
        self.child = child.unwrap_or_else(|| panic!("{}", log(self.folder.path())));
    }

    /// It answers no more, and its connections stay.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Running and ready, or `None` if it ended.
fn spawn(folder: &Path, address: SocketAddr) -> Option<Child> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let config = format!(
        "bind {}\nport 0\ntls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
         tls-auth-clients no\nunixsocket {}\nunixsocketperm 700\ndir {}\naclfile {}\nappendonly yes\n\
         appendfsync always\nsave \"\"\nlogfile {}\n",
        address.ip(),
        address.port(),
        path("server.pem"),
        path("server.key"),
        path("server.pem"),
        path("redis.sock"),
        path(""),
        path("users.acl"),
        path("log"),
    );
    std::fs::write(path("redis.conf"), config).unwrap();
    let _ = std::fs::remove_file(path("log"));
    let child = Command::new("redis-server").arg(path("redis.conf")).stdout(Stdio::null()).spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("redis-server: {error}; install it with: apt-get install -y redis-server")
    });
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        if log(folder).contains("Ready to accept connections") {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// A certificate for the address, and for no name.
pub(crate) fn certificate_of(folder: &Path, name: &str) -> PathBuf {
    certificate(folder, name, &["127.0.0.1"]).0
}

fn believing(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn secret(path: &Path) -> Secret {
    let object = Object { role: Role::StickyKey, name: "acme.storage".to_owned(), path: path.to_owned() };
    fluxheim_trust::read(&object, &Terms::strict(Identity::current())).unwrap()
}

/// As docs/acme-storage.md has it.
const RIGHTS: &str = "resetkeys ~fluxheim:* resetchannels &fluxheim:* -@all +auth +select +ping +eval +get +getrange +set +del \
                      +pexpire +scan +publish +subscribe";
