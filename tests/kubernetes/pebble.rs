//! Debian's Pebble, an ACME server, where pods can reach it: at the gateway of their network.

use std::fs::File;
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::docker::{certificate, wait};

/// Ended when dropped. It believes everybody: what is tried here is where things are kept, not how names are proved.
pub(crate) struct Pebble {
    server: Child,
    folder: TempDir,
    ip: IpAddr,
}

impl Pebble {
    pub(crate) fn start(ip: IpAddr) -> Self {
        let folder = TempDir::new().unwrap();
        let (cert, key) = certificate(folder.path(), "pebble", &[&ip.to_string()]);
        let settings = json!({ "pebble": {
            "listenAddress": format!("{ip}:14000"),
            "managementListenAddress": format!("{ip}:15000"),
            "certificate": cert,
            "privateKey": key,
        }});
        let config = folder.path().join("pebble.json");
        std::fs::write(&config, settings.to_string()).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let server = Command::new("pebble")
            .arg("-config")
            .arg(&config)
            .envs([("PEBBLE_VA_ALWAYS_VALID", "1"), ("PEBBLE_VA_NOSLEEP", "1")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("pebble: {error}; install it with: apt-get install -y pebble"));
        let pebble = Self { server, folder, ip };
        wait(|| TcpStream::connect((ip, 14000)).ok())
            .unwrap_or_else(|| panic!("pebble does not listen: {}", pebble.said()));
        pebble
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}:14000/dir", self.ip)
    }

    /// What vouches for the server itself.
    pub(crate) fn ca(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("pebble.pem")).unwrap()
    }

    /// What vouches for the certificates that it issues, in a file.
    pub(crate) fn root(&self) -> PathBuf {
        let root = self.folder.path().join("root.pem");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(self.folder.path().join("pebble.pem"))
            .arg("--output")
            .arg(&root)
            .arg(format!("https://{}:15000/roots/0", self.ip))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        root
    }

    /// What it has logged so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// It answers nobody any more; its files stay.
    pub(crate) fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}
