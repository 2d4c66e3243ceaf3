//! Files that hold no key or no certificates that can be read, and the command that makes them so.
//!
//! Owns these findings. Follows openssl-pkey(1), openssl-pkcs12(1) and ssh-keygen(1).

use std::path::{Path, PathBuf};

use super::refuse;
use crate::finding::{Code, Finding, Shown};
use crate::pem::{Instead, PemError};

/// A key file from which no key can be decoded.
pub(super) fn key(path: &Path, error: &PemError) -> Finding {
    let seen = error.to_string();
    match error {
        PemError::NoKey(Instead::EncryptedKey) => encrypted(path),
        PemError::NoKey(Instead::OpenSshKey | Instead::PuttyKey | Instead::DsaKey | Instead::PgpKey) => {
            refuse(path, Code::KeyUnsupported, seen, "the proxy can't sign with it", new_key(path))
        }
        PemError::Memory(_) => {
            let fix = "give the process more memory, then try again";
            refuse(path, Code::OsError, seen, "what can't be judged is not used", fix)
        }
        _ => refuse(
            path,
            Code::KeyUnusable,
            seen,
            "the proxy takes no other form of key",
            key_fix(path, error),
        ),
    }
}

/// A key that was decoded and is no key.
pub(super) fn damaged_key(path: &Path) -> Finding {
    let why = "cut off, or put together from parts of others";
    let fix = format!("`openssl pkey -noout -in {}` must accept it: put the whole key there", Shown(path));
    refuse(path, Code::KeyUnusable, "a block that holds no whole key", why, fix)
}

/// A certificate file from which nothing can be decoded.
pub(super) fn certificate(path: &Path, error: &PemError) -> Finding {
    let why = match error {
        PemError::NoCertificate(Instead::PrivateKey) => "cert and key seem to be exchanged",
        _ => "the proxy has no certificate to show",
    };
    refuse(path, Code::CertificateUnusable, error.to_string(), why, certificate_fix(path, error))
}

/// A certificate that was decoded and is none; `number` counts from one.
pub(super) fn damaged(path: &Path, number: usize, what: &str) -> Finding {
    let fix = format!("get the chain again as PEM and write it to {}, leaf first", Shown(path));
    let seen = format!("certificate {number} is {what}");
    refuse(path, Code::CertificateUnusable, seen, "clients would refuse it", fix)
}

/// The way to a key that the proxy can use.
pub(super) fn new_key(path: &Path) -> String {
    format!(
        "make a new key, `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {}`, and have it \
         certified",
        Shown(&beside(path))
    )
}

fn encrypted(path: &Path) -> Finding {
    let new = beside(path);
    let fix = format!(
        "openssl pkey -in {0} -out {1} && cat {1} > {0} && rm {1}  # owner and mode stay, and guard it in place of the passphrase",
        Shown(path),
        Shown(&new)
    );
    let why = "there is no one to ask for the passphrase when the proxy starts";
    refuse(path, Code::KeyEncrypted, "an encrypted key", why, fix)
}

fn key_fix(path: &Path, error: &PemError) -> String {
    let (old, new) = (Shown(path), beside(path));
    let new = Shown(&new);
    match error {
        PemError::NoKey(Instead::Der) => {
            format!("`openssl pkey -inform DER -in {old} -out {new}`, and use that")
        }
        PemError::NoKey(Instead::Pkcs12) => {
            format!("`openssl pkcs12 -in {old} -nocerts -nodes -out {new}`, and use that")
        }
        PemError::NoKey(Instead::ByteOrderMark) => {
            "save it as plain ASCII, without a byte order mark".to_owned()
        }
        PemError::NoKey(Instead::Certificate) => {
            "name the file of its private key; if that is what cert names, exchange the two".to_owned()
        }
        PemError::NoKey(Instead::Request | Instead::PublicKey) => {
            "name the file of the private key that was made for it".to_owned()
        }
        _ => "write an unencrypted PKCS#8, PKCS#1 or SEC1 key to it, whole, as PEM".to_owned(),
    }
}

fn certificate_fix(path: &Path, error: &PemError) -> String {
    let (old, new) = (Shown(path), beside(path));
    let new = Shown(&new);
    match error {
        PemError::NoCertificate(Instead::Der) => {
            format!("`openssl x509 -inform DER -in {old} -out {new}`, and use that")
        }
        PemError::NoCertificate(Instead::Pkcs12) => {
            format!("`openssl pkcs12 -in {old} -nokeys -out {new}`, and use that")
        }
        PemError::NoCertificate(Instead::Pkcs7) => {
            format!("`openssl pkcs7 -print_certs -in {old} -out {new}`, and use that")
        }
        PemError::NoCertificate(Instead::PrivateKey) => {
            "name this file as the key, and the other one, with the certificate, as cert".to_owned()
        }
        PemError::TrustedCertificate => format!("`openssl x509 -in {old} -out {new}`, and use that"),
        PemError::TooMany(..) => "leave the leaf and its intermediates in it, nothing else".to_owned(),
        _ => "write the chain to it as PEM, leaf first".to_owned(),
    }
}

/// A name beside the file, which no command here overwrites.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
