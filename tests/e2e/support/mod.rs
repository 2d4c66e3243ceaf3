//! A small language for the tests: `Flux::with(config).start()`, origins, clients.

#[path = "../../acme_directory/mod.rs"]
pub(crate) mod acme_directory;
mod admin;
#[path = "../../callers.rs"]
mod callers;
#[path = "../../fixtures.rs"]
mod fixtures;
mod flux;
mod grpc;
pub(crate) mod hook;
#[path = "../../issued.rs"]
pub(crate) mod issued;
pub(crate) mod knot;
mod moody;
mod origin;
pub(crate) mod pebble;
mod peers;
mod pki;
mod raw;
mod trace;

pub(crate) use admin::{ADMIN, Told, administered};
pub(crate) use callers::Callers;
pub(crate) use fixtures::{certificate, curl, run, set_mode};
pub(crate) use flux::{Flux, Running, program, wait};
pub(crate) use grpc::Grpc;
pub(crate) use knot::Knot;
pub(crate) use moody::{Mood, Moody};
pub(crate) use origin::{Nginx, Scripted, Strict};
pub(crate) use peers::{Answer, H2Client, Peer, server_config};
pub(crate) use pki::{Pki, Wanted};
pub(crate) use raw::{Response, exchange, handshake, request, tls};
pub(crate) use trace::{Call, Trace, strace};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder of our own in /tmp: wherever the repository is, only root can write the ancestors.
pub(crate) fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// What `fluxheim --hash-password` makes of a password.
pub(crate) fn hashed(password: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fluxheim"))
        .arg("--hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// [`certificate`] with an RSA key.
pub(crate) fn rsa_certificate(folder: &Path, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
    fixtures::certificate_with(&["-newkey", "rsa:2048"], folder, name, names)
}
