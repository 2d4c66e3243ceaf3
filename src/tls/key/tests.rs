//! The same keys as rustls-pki-types reads, none of what is damaged, and which of them can sign.

use std::process::{Command, Stdio};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::pem::PemObject;

use super::*;

const TEXT: &str = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";

/// A new key, as OpenSSL writes it.
fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is missing: apt-get install -y openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn signs(pem: &str) -> bool {
    any_supported_type(&der(&PemKey::read(pem.as_bytes()).unwrap())).is_ok()
}

#[test]
fn reads_every_kind_of_key_as_the_library_does() {
    for (args, form) in [
        (&["genpkey", "-algorithm", "ed25519"][..], KeyForm::Pkcs8),
        (&["genpkey", "-algorithm", "rsa"], KeyForm::Pkcs8),
        (&["genrsa", "-traditional", "2048"], KeyForm::Pkcs1),
        // Begins with a block of parameters.
        (&["ecparam", "-name", "prime256v1", "-genkey"], KeyForm::Sec1),
        (&["ecparam", "-name", "secp384r1", "-genkey", "-noout"], KeyForm::Sec1),
        (&["ecparam", "-name", "secp521r1", "-genkey", "-noout"], KeyForm::Sec1),
        (&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-param_enc", "explicit"], KeyForm::Sec1),
    ] {
        let pem = openssl(args);
        for pem in [pem.clone(), pem.replace('\n', "\r\n"), format!("Bag Attributes\n  a: b\n{pem}\n{TEXT}")]
        {
            let key = PemKey::read(pem.as_bytes()).unwrap();
            assert_eq!(key.form(), form);
            let expected = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            assert_eq!(der(&key), expected, "{args:?}");
            assert!(signs(&pem), "{args:?}");
        }
    }
}

/// What the storage check refuses as `key-weak` and `key-unsupported` fails here too.
#[test]
fn can_not_sign_with_what_the_check_refuses() {
    for args in [
        &["genrsa", "-traditional", "1024"][..],
        &["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2040"],
        &["genpkey", "-algorithm", "rsa-pss"],
        &["genpkey", "-algorithm", "ed448"],
        &["genpkey", "-algorithm", "x25519"],
        &["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        &["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:secp224r1"],
        &["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
        &["ecparam", "-name", "secp256k1", "-genkey", "-noout"],
        &["ecparam", "-name", "secp256k1", "-genkey", "-noout", "-param_enc", "explicit"],
    ] {
        assert!(!signs(&openssl(args)), "{args:?}");
    }
}

/// As the storage check takes it, though RFC 5915 asks for the curve.
#[test]
fn signs_with_a_key_that_leaves_its_curve_out() {
    let pem = openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]);
    let key = PemKey::read(pem.as_bytes()).unwrap();
    // Without the ten bytes that name the curve, and their two of tag and length.
    let fields = [&key.der()[2..39], &key.der()[51..]].concat();
    let bare = [&[0x30, u8::try_from(fields.len()).unwrap()], &*fields].concat();
    assert!(any_supported_type(&PrivateSec1KeyDer::from(bare).into()).is_ok());
}

/// Texts of every short length from a small alphabet, the awkward characters among it.
#[test]
fn agrees_with_the_library_on_every_short_text() {
    let alphabet = b"Az9+/= \n\x0b-*";
    let mut seen = [0; 2];
    for length in 0..=4_u32 {
        for number in 0..alphabet.len().pow(length) {
            let place = |at| alphabet[number / alphabet.len().pow(at) % alphabet.len()];
            let body: Vec<u8> = (0..length).map(place).collect();
            let pem = TEXT.replace("AQID", std::str::from_utf8(&body).unwrap());
            let read = PemKey::read(pem.as_bytes()).ok();
            let expected = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
            assert_eq!(read.as_ref().map(der), expected, "{pem}");
            seen[usize::from(read.is_some())] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}
