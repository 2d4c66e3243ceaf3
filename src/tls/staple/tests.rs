//! Responses as OpenSSL's responder makes them.
#![expect(clippy::disallowed_methods, reason = "reads and writes its own fixtures")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject;

use super::*;

fn openssl(folder: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is missing: apt-get install -y openssl");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A CA, and two certificates of it.
fn lab() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder.path(), &format!("req -x509 {key} -subj /CN=ca -days 9 -keyout ca.key -out ca.pem"));
    for (name, serial) in [("a", 4660), ("b", 4661)] {
        openssl(
            folder.path(),
            &format!("req {key} -subj /CN={name}.test -keyout {name}.key -out {name}.csr"),
        );
        openssl(
            folder.path(),
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {serial} -days 9 -out {name}.pem"
            ),
        );
    }
    folder
}

/// What the responder says of the certificate `a`, with that line in its index.
fn response(folder: &Path, index: &str, more: &str) -> Vec<u8> {
    std::fs::write(folder.join("index"), index).unwrap();
    openssl(
        folder,
        &format!(
            "ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem {more} -cert a.pem \
             -noverify -respout response -ndays 3"
        ),
    );
    std::fs::read(folder.join("response")).unwrap()
}

fn chain(folder: &Path, name: &str) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap()]
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

const GOOD: &str = "V\t351231235959Z\t\t1234\tunknown\t/CN=a.test\n";
const REVOKED: &str = "R\t351231235959Z\t250101000000Z\t1234\tunknown\t/CN=a.test\n";

#[test]
fn takes_what_says_that_the_certificate_is_good_for_as_long_as_it_says() {
    let lab = lab();
    for more in ["", "-sha256", "-sha384"] {
        let der = response(lab.path(), GOOD, more);
        let read = |name, now| Staple::read(&der, &chain(lab.path(), name), now);
        let staple = read("a", now()).unwrap();
        let until = staple.until.unwrap();
        assert!((until - now() - 3 * 86_400).abs() < 60, "{more}");
        assert_eq!(staple.response, der);
        assert_eq!(read("a", until), Err(Unfit::Late));
        assert_eq!(read("a", now() - 3600), Err(Unfit::Early));
        assert_eq!(read("b", now()), Err(Unfit::Other));
        assert_eq!(Staple::read(&der, &[], now()), Err(Unfit::Other));
    }
}

#[test]
fn sends_none_that_says_revoked_or_unknown_or_nothing() {
    let lab = lab();
    let read = |der: &[u8]| Staple::read(der, &chain(lab.path(), "a"), now());
    assert_eq!(read(&response(lab.path(), REVOKED, "")), Err(Unfit::NotGood));
    assert_eq!(read(&response(lab.path(), "", "")), Err(Unfit::NotGood));
    // "try later": RFC 6960 section 4.2.1.
    assert_eq!(read(&[0x30, 3, 0x0a, 1, 3]), Err(Unfit::Error));
    assert_eq!(read(b"-----BEGIN OCSP RESPONSE-----"), Err(Unfit::Malformed));
}

#[test]
fn no_cut_makes_it_panic_or_pass() {
    let lab = lab();
    let der = response(lab.path(), GOOD, "");
    let chain = chain(lab.path(), "a");
    for at in 0..der.len() {
        assert!(Staple::read(&der[..at], &chain, now()).is_err(), "{at}");
        let mut broken = der.clone();
        broken[at] ^= 0x55;
        let _ = Staple::read(&broken, &chain, now());
    }
}
