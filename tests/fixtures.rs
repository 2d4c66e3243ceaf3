//! What several suites need: tools that say how to install them, certificates, modes.
#![allow(dead_code, reason = "every suite uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs a tool; a missing one fails with the line that installs it.
pub(crate) fn run(tool: &str, package: &str, args: &[&str]) -> Output {
    Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{tool}: {error}; install it with: apt-get install -y {package}"))
}

/// curl's output; fails the test when curl does.
pub(crate) fn curl(args: &[&str]) -> Vec<u8> {
    let output = run("curl", "curl", &[&["-sS", "--max-time", "20"], args].concat());
    assert!(output.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A self-signed certificate for `names`, addresses among them, key at mode 0600.
pub(crate) fn certificate(folder: &Path, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    certificate_with(&key, folder, name, names)
}

/// The same with another kind of key.
pub(crate) fn certificate_with(
    kind_of_key: &[&str],
    folder: &Path,
    name: &str,
    names: &[&str],
) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let kind = |name: &str| if name.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    let san = names.iter().map(|name| format!("{}:{name}", kind(name))).collect::<Vec<_>>().join(",");
    let output = run(
        "openssl",
        "openssl",
        &[
            &["req", "-x509"],
            kind_of_key,
            &[
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
        ]
        .concat(),
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
