//! Which block is taken, and what is said about the others.

use proptest::prelude::*;

use super::*;

const TEXT: &str = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";

fn der(pem: &str) -> Result<Vec<u8>, PemError> {
    PemKey::read(pem.as_bytes()).map(|key| key.der().to_vec())
}

fn labelled(label: &str) -> String {
    TEXT.replace("PRIVATE KEY", label)
}

fn instead_of_key(file: &[u8]) -> Instead {
    match PemKey::read(file) {
        Err(PemError::NoKey(instead)) => instead,
        other => panic!("{other:?}"),
    }
}

#[test]
fn takes_the_first_key_and_no_other_block() {
    assert_eq!(der(TEXT).unwrap(), [1, 2, 3]);
    assert_eq!(der(&format!("{TEXT}{}", TEXT.replace("AQID", "BBBB"))).unwrap(), [1, 2, 3]);
    assert_eq!(der(&format!("{}{TEXT}", labelled("CERTIFICATE"))).unwrap(), [1, 2, 3]);
    assert_eq!(der(&format!("-----BEGIN CERTIFICATE-----\nAQ\n{TEXT}")).unwrap(), [1, 2, 3]);
    assert_eq!(der(&format!("Bag Attributes\n  a: b\n{}", TEXT.replace('\n', "\r\n"))).unwrap(), [1, 2, 3]);
    assert_eq!(der(TEXT.trim_end()).unwrap(), [1, 2, 3]);
    for (label, form) in [
        ("PRIVATE KEY", KeyForm::Pkcs8),
        ("RSA PRIVATE KEY", KeyForm::Pkcs1),
        ("EC PRIVATE KEY", KeyForm::Sec1),
    ] {
        assert_eq!(PemKey::read(labelled(label).as_bytes()).unwrap().form(), form);
    }
}

#[test]
fn refuses_a_damaged_block() {
    for (old, new) in [("-----END PRIVATE KEY-----", ""), ("-----END P", "-----END RSA P"), ("AQID", TEXT)] {
        assert!(matches!(der(&TEXT.replace(old, new)), Err(PemError::Unfinished)), "{new}");
    }
    for body in ["AQI*", "AQIDB", "AQ==ID", "a: b\n\nAQID"] {
        assert!(matches!(der(&TEXT.replace("AQID", body)), Err(PemError::Base64)), "{body}");
    }
}

#[test]
fn names_what_is_there_in_place_of_a_key() {
    let encrypted = TEXT.replace("AQID", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAQID");
    for (file, expected) in [
        (labelled("ENCRYPTED PRIVATE KEY"), Instead::EncryptedKey),
        (encrypted.replace("PRIVATE", "RSA PRIVATE"), Instead::EncryptedKey),
        (encrypted.replace("Proc-Type: 4,ENCRYPTED\n", ""), Instead::EncryptedKey),
        (labelled("OPENSSH PRIVATE KEY"), Instead::OpenSshKey),
        (labelled("DSA PRIVATE KEY"), Instead::DsaKey),
        (labelled("PGP PRIVATE KEY BLOCK"), Instead::PgpKey),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(), Instead::PuttyKey),
        (labelled("CERTIFICATE"), Instead::Certificate),
        (labelled("CERTIFICATE REQUEST"), Instead::Request),
        (labelled("PUBLIC KEY"), Instead::PublicKey),
        (labelled("EC PARAMETERS"), Instead::OtherBlock),
        (format!("\u{feff}{TEXT}"), Instead::ByteOrderMark),
        (String::new(), Instead::Nothing),
        ("no key\n".to_owned(), Instead::Nothing),
        // The more telling of several, whatever their order.
        (format!("{}{}", labelled("CERTIFICATE"), labelled("ENCRYPTED PRIVATE KEY")), Instead::EncryptedKey),
        (format!("{}{}", labelled("OPENSSH PRIVATE KEY"), labelled("CERTIFICATE")), Instead::OpenSshKey),
    ] {
        assert_eq!(instead_of_key(file.as_bytes()), expected, "{file}");
    }
    assert_eq!(instead_of_key(&[0x30, 3, 2, 1, 0]), Instead::Der);
    assert_eq!(instead_of_key(&[0x30, 0x81, 3, 2, 1, 0]), Instead::Der);
    assert_eq!(instead_of_key(&[0x30, 0x82, 0, 5, 2, 1, 3, 0x30, 0]), Instead::Pkcs12);
    assert_eq!(instead_of_key(&[0x30, 4, 2, 1, 0]), Instead::Nothing);
    let message = PemKey::read(labelled("CERTIFICATE").as_bytes()).unwrap_err().to_string();
    assert_eq!(message, "no BEGIN PRIVATE KEY block, but a certificate");
    assert_eq!(PemKey::read(b"").unwrap_err().to_string(), "no BEGIN PRIVATE KEY block");
}

#[test]
fn reads_a_chain_and_names_what_is_there_instead() {
    let (one, two) = (labelled("CERTIFICATE"), labelled("X509 CERTIFICATE").replace("AQID", "BBBB"));
    let chain = certificate_chain(format!("subject=x\n{one}{two}{TEXT}").as_bytes()).unwrap();
    assert_eq!(chain, [[1, 2, 3], [4, 16, 65]]);
    let error = |file: String| certificate_chain(file.as_bytes()).unwrap_err();
    for (label, expected) in [
        ("PRIVATE KEY", Instead::PrivateKey),
        ("CERTIFICATE REQUEST", Instead::Request),
        ("PKCS7", Instead::Pkcs7),
        ("X", Instead::OtherBlock),
    ] {
        assert!(
            matches!(error(labelled(label)), PemError::NoCertificate(found) if found == expected),
            "{label}"
        );
    }
    let trusted = format!("{one}{}", labelled("TRUSTED CERTIFICATE"));
    assert!(matches!(error(trusted), PemError::TrustedCertificate));
    assert!(matches!(error(one.replace("AQID", "AQI*")), PemError::Base64));
    assert!(matches!(error(one.replace("-----END", "")), PemError::Unfinished));
    assert!(matches!(error(format!("{one}-----BEGIN CERTIFICATE-----\n")), PemError::Unfinished));
}

#[test]
fn bounds_certificates_and_blocks() {
    let one = labelled("CERTIFICATE");
    assert_eq!(certificate_chain(one.repeat(16).as_bytes()).unwrap().len(), 16);
    let many = certificate_chain(one.repeat(17).as_bytes()).unwrap_err();
    assert_eq!(many.to_string(), "more than 16 certificates");
    let padded = |count| labelled("X").repeat(count) + TEXT;
    assert_eq!(der(&padded(63)).unwrap(), [1, 2, 3]);
    assert_eq!(der(&padded(64)).unwrap_err().to_string(), "more than 64 blocks");
    assert!(certificate_chain((labelled("X").repeat(80) + &one).as_bytes()).is_err());
}

#[test]
fn sees_a_key_in_a_public_file() {
    let one = labelled("CERTIFICATE");
    assert!(!holds_a_key((one.clone() + &labelled("PUBLIC KEY")).as_bytes()));
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
        assert!(holds_a_key((one.clone() + &labelled(label)).as_bytes()), "{label}");
    }
}

proptest! {
    /// Lines that mean something to the reader, in any order.
    #[test]
    fn survives_any_order_of_lines(lines in proptest::collection::vec(proptest::sample::select(vec![
        "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----", "-----BEGIN ", "-----", "AQID", "AQ==", "\r", "", "Proc-Type: 4,ENCRYPTED", "\u{feff}",
    ]), 0..12)) {
        let file = lines.join("\n");
        if let Ok(key) = PemKey::read(file.as_bytes()) {
            prop_assert!(key.der().len() <= file.len());
            prop_assert!(file.contains("-----END PRIVATE KEY-----"));
        }
        if let Ok(chain) = certificate_chain(file.as_bytes()) {
            prop_assert!(!chain.is_empty() && chain.len() <= lines.len() / 2);
        }
    }

    #[test]
    fn survives_any_bytes(file in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(PemKey::read(&file).is_err() && certificate_chain(&file).is_err());
    }
}
