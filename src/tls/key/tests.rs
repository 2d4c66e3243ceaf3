//! The same keys as rustls-pki-types reads, and none of what is damaged.

use std::process::{Command, Stdio};

use rustls_pki_types::pem::PemObject;

use super::*;

const TEXT: &str = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";

fn der(pem: &str) -> Result<Vec<u8>, KeyError> {
    PrivateKey::from_pem(pem.as_bytes()).map(|key| key.der().secret_der().to_vec())
}

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

#[test]
fn reads_every_kind_of_key_as_the_library_does() {
    for (args, form) in [
        (&["genpkey", "-algorithm", "ed25519"][..], Form::Pkcs8),
        (&["genpkey", "-algorithm", "rsa"], Form::Pkcs8),
        (&["genrsa", "-traditional", "2048"], Form::Pkcs1),
        // Begins with a block of parameters.
        (&["ecparam", "-name", "prime256v1", "-genkey"], Form::Sec1),
        (&["ecparam", "-name", "secp384r1", "-genkey", "-noout"], Form::Sec1),
    ] {
        let pem = openssl(args);
        for pem in [pem.clone(), pem.replace('\n', "\r\n"), format!("Bag Attributes\n  a: b\n{pem}\n{TEXT}")]
        {
            let key = PrivateKey::from_pem(pem.as_bytes()).unwrap();
            assert_eq!(key.form, form);
            let expected = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            assert_eq!(key.der(), expected, "{args:?}");
            assert!(rustls::crypto::aws_lc_rs::sign::any_supported_type(&key.der()).is_ok(), "{args:?}");
        }
    }
}

#[test]
fn takes_the_first_key_and_no_other_block() {
    assert_eq!(der(TEXT).unwrap(), [1, 2, 3]);
    assert_eq!(der(&format!("{TEXT}{}", TEXT.replace("AQID", "BBBB"))).unwrap(), [1, 2, 3]);
    assert_eq!(der(&format!("{}{TEXT}", TEXT.replace("PRIVATE KEY", "CERTIFICATE"))).unwrap(), [1, 2, 3]);
    assert_eq!(der(TEXT.trim_end()).unwrap(), [1, 2, 3]);
    for other in ["ENCRYPTED PRIVATE KEY", "PUBLIC KEY", "CERTIFICATE"] {
        assert!(matches!(der(&TEXT.replace("PRIVATE KEY", other)), Err(KeyError::Absent)), "{other}");
    }
    assert!(matches!(der(""), Err(KeyError::Absent)));
}

#[test]
fn refuses_a_damaged_block() {
    for (old, new) in [("-----END PRIVATE KEY-----", ""), ("-----END P", "-----END RSA P"), ("AQID", TEXT)] {
        assert!(matches!(der(&TEXT.replace(old, new)), Err(KeyError::Unfinished)), "{new}");
    }
    // The second: how OpenSSL's old format marks an encrypted key.
    for body in ["AQI*", "Proc-Type: 4,ENCRYPTED\n\nAQID", "AQIDB", "AQ==ID", "AQI==", "AQ=", "====", "AQID="]
    {
        assert!(matches!(der(&TEXT.replace("AQID", body)), Err(KeyError::Base64)), "{body}");
        assert!(PrivateKeyDer::from_pem_slice(TEXT.replace("AQID", body).as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn knows_the_base64_alphabet_and_nothing_else() {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for byte in 0..=u8::MAX {
        let place = alphabet.iter().position(|known| *known == byte);
        assert_eq!(digit(byte).map(|value| value as usize), place, "{byte}");
    }
}

/// Texts of every short length from a small alphabet, the awkward characters among it.
#[test]
fn agrees_with_the_library_on_every_short_text() {
    let alphabet = b"Az9+/= \n\x0b-*";
    let mut seen = [0; 2];
    for length in 0..=5_u32 {
        for number in 0..alphabet.len().pow(length) {
            let place = |at| alphabet[number / alphabet.len().pow(at) % alphabet.len()];
            let body: Vec<u8> = (0..length).map(place).collect();
            let mut out = [0; 5];
            let read = decode(&body, &mut out).map(|written| &out[..written]);
            let pem = TEXT.replace("AQID", std::str::from_utf8(&body).unwrap());
            let expected = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
            assert_eq!(read, expected.as_ref().map(PrivateKeyDer::secret_der), "{pem}");
            seen[usize::from(read.is_some())] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 1000), "{seen:?}");
}
