//! A folder in which OpenSSL makes keys and certificates.
//!
//! Every key is named by its file; the CA `root` is there from the start.
#![expect(clippy::disallowed_methods, reason = "fixtures are files of the test's own")]

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a leaf should say of itself.
pub(super) const SERVER: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth\nsubjectAltName=DNS:a.example,DNS:*.w.example,IP:192.0.2.1\n";
/// What a CA should.
pub(super) const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";

pub(super) struct Lab(TempDir);

impl Lab {
    pub(super) fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        lab.signed("root", "root", CA, 3650);
        lab
    }

    /// Its arguments are what spaces divide; what it prints is given back.
    pub(super) fn openssl(&self, line: &str) -> String {
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .expect("openssl is missing: apt-get install -y openssl");
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command of OpenSSL's prints, kept under a name.
    pub(super) fn make(&self, name: &str, line: &str) -> String {
        let made = self.openssl(line);
        self.write(name, &made);
        made
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }

    /// The key of that name, ECDSA unless it was made before.
    pub(super) fn key(&self, name: &str) -> String {
        if self.has(&format!("{name}.key")) {
            return fs::read_to_string(self.0.path().join(format!("{name}.key"))).unwrap();
        }
        self.make(&format!("{name}.key"), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
    }

    /// A certificate for the key `name`, by `issuer`, whose certificate was made before unless it is
    /// the same; with the extensions, SHA-256, for so many days.
    pub(super) fn signed(&self, name: &str, issuer: &str, extensions: &str, days: u32) -> String {
        self.signed_with(name, issuer, extensions, &format!("-sha256 -days {days}"))
    }

    pub(super) fn signed_with(&self, name: &str, issuer: &str, extensions: &str, options: &str) -> String {
        self.key(name);
        self.openssl(&format!("req -new -key {name}.key -subj /O=Test/CN={name} -out {name}.csr"));
        self.certify(name, issuer, extensions, options)
    }

    /// The same from a request that is there.
    pub(super) fn certify(&self, name: &str, issuer: &str, extensions: &str, options: &str) -> String {
        let by = if name == issuer {
            format!("-signkey {name}.key")
        } else {
            format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial")
        };
        let with = if extensions.is_empty() {
            String::new()
        } else {
            let ids = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
            self.write("extensions", &format!("{extensions}{ids}"));
            " -extfile extensions".to_owned()
        };
        self.make(&format!("{name}.pem"), &format!("x509 -req -in {name}.csr {by} {options}{with}"))
    }

    /// The DER of a key or certificate.
    pub(super) fn der(pem: &str) -> Vec<u8> {
        crate::pem::PemKey::read(pem.as_bytes()).map_or_else(
            |_| crate::pem::certificate_chain(pem.as_bytes()).unwrap().remove(0),
            |key| key.der().to_vec(),
        )
    }
}

/// PEM of any bytes.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits =
            group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        let digits = (0..=group.len()).map(|place| ALPHABET[bits >> (18 - 6 * place) & 63]);
        text.extend(digits.map(char::from));
        text.push_str(&"=="[group.len() - 1..]);
    }
    let text = text.trim_end_matches('=');
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// One element of DER.
pub(super) fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut der = vec![tag];
    match content.len() {
        0..=0x7f => der.push(length[1]),
        0x80..=0xff => der.extend([0x81, length[1]]),
        _ => der.extend([0x82, length[0], length[1]]),
    }
    der.extend(content);
    der
}
