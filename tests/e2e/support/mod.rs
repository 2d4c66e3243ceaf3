//! A small language for the tests: `Flux::with(config).start()`, origins, clients.

mod flux;
mod origin;
mod raw;

pub(crate) use flux::{Flux, Running, program};
pub(crate) use origin::{Nginx, Scripted};
pub(crate) use raw::{exchange, handshake, request, tls};

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder of our own in /tmp: wherever the repository is, only root can write the ancestors.
pub(crate) fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// Runs a tool; a missing one fails with the line that installs it.
pub(crate) fn run(tool: &str, package: &str, args: &[&str]) -> Output {
    Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}; install it with: apt-get install -y {package}"))
}

/// curl's output; fails the test when curl does.
pub(crate) fn curl(args: &[&str]) -> Vec<u8> {
    let output = run("curl", "curl", &[&["-sS", "--max-time", "20"], args].concat());
    assert!(output.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A self-signed certificate for `names`, key at mode 0600.
pub(crate) fn certificate(folder: &Path, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let san = names.iter().map(|name| format!("DNS:{name}")).collect::<Vec<_>>().join(",");
    let output = run(
        "openssl",
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={}", names[0]),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            &format!("subjectAltName={san}"),
            "-keyout",
            key.to_str().unwrap(),
            "-out",
            cert.to_str().unwrap(),
        ],
    );
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    set_mode(&key, 0o600);
    set_mode(&cert, 0o644);
    (cert, key)
}

/// chmod.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
