//! Every kind of key, with and without its public half.

use super::lab::{element, pem};
use super::*;

const KINDS: &[(&str, &str, &str)] = &[
    ("rsa2048", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "RSA 2048"),
    ("rsa2056", "genrsa -traditional 2056", "RSA 2056"),
    ("p256", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "ECDSA P-256"),
    ("p384", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384", "ECDSA P-384"),
    ("p521", "ecparam -name secp521r1 -genkey", "ECDSA P-521"),
    ("sec1", "ecparam -name prime256v1 -genkey -noout", "ECDSA P-256"),
];

#[test]
fn takes_every_kind_that_signs_and_proves_it() {
    let lab = Lab::new();
    for (name, line, kind) in KINDS {
        let key = lab.make(&format!("{name}.key"), line);
        let found = sense(&lab.signed(name, "root", SERVER, 90), &key);
        assert!(found.certificate.is_empty() && found.key.is_empty(), "{name}: {found:#?}");
        assert_eq!(found.facts.unwrap().key, *kind, "{name}");
    }
}

#[test]
fn tells_a_key_of_another_certificate() {
    let lab = Lab::new();
    for (name, line, kind) in KINDS {
        lab.make(&format!("{name}.key"), line);
        let cert = lab.signed(name, "root", SERVER, 90);
        let other = lab.openssl(line);
        let found = one(sense(&cert, &other).key);
        assert_eq!((found.code.id(), found.severity.id()), ("key-mismatch", "refuse"), "{name}");
        assert_eq!(found.seen, format!("{kind} that belongs to no certificate in /tls/a.pem"));
        for command in
            ["`openssl x509 -noout -pubkey -in /tls/a.pem`", "`openssl pkey -pubout -in /tls/a.key`"]
        {
            assert!(found.fix.contains(command), "{}", found.fix);
        }
        // Nor is it one of another kind.
        let kind = lab.openssl("genpkey -algorithm ED25519");
        assert_eq!(codes(&sense(&cert, &kind).key), ["key-mismatch"], "{name}");
    }
}

#[test]
fn says_what_is_proven_only_by_loading() {
    let lab = Lab::new();
    let ed = lab.make("ed.key", "genpkey -algorithm ED25519");
    let cert = lab.signed("ed", "root", SERVER, 90);
    let found = sense(&cert, &ed);
    assert_eq!(found.facts.unwrap().key, "Ed25519");
    let found = one(found.key);
    assert_eq!((found.code.id(), found.severity.id()), ("key-unproven", "warn"));
    assert_eq!(found.seen, "Ed25519 without its public half");
    let cert = lab.signed("b", "root", SERVER, 90);
    let bare = lab.make("bare.key", "ec -in b.key -no_public");
    assert!(bare.contains("EC PRIVATE KEY"));
    assert_eq!(one(sense(&cert, &bare).key).seen, "ECDSA P-256 without its public half");
    let bare = lab.openssl("pkcs8 -topk8 -nocrypt -in bare.key");
    assert_eq!(codes(&sense(&cert, &bare).key), ["key-unproven"]);
    // Of another kind it is proven all the same.
    assert_eq!(codes(&sense(&cert, &ed).key), ["key-mismatch"]);
}

#[test]
fn compares_the_public_half_of_ed25519_where_it_is_written_down() {
    let lab = Lab::new();
    let old = lab.make("ed.key", "genpkey -algorithm ED25519");
    let cert = lab.signed("ed", "root", SERVER, 90);
    let seed = &Lab::der(&old)[16..];
    // A public key alone is no certificate, but PEM all the same.
    let spki = lab.openssl("pkey -in ed.key -pubout").replace("PUBLIC KEY", "CERTIFICATE");
    let public = Lab::der(&spki)[12..].to_vec();
    let whole = |public: &[u8]| {
        let algorithm = element(0x30, &[&element(6, &[&[0x2b, 0x65, 0x70]])]);
        let key = element(4, &[&element(4, &[seed])]);
        pem("PRIVATE KEY", &element(0x30, &[&[2, 1, 1], &algorithm, &key, &element(0x81, &[&[0], public])]))
    };
    assert!(sense(&cert, &whole(&public)).key.is_empty());
    let other: Vec<u8> = public.iter().map(|byte| byte ^ 1).collect();
    assert_eq!(codes(&sense(&cert, &whole(&other)).key), ["key-mismatch"]);
}

#[test]
fn refuses_keys_that_can_not_sign_here() {
    let lab = Lab::new();
    lab.make("dsa.par", "dsaparam 1024");
    lab.make("dsa.key", "genpkey -paramfile dsa.par");
    for (line, code, seen) in [
        ("genrsa -traditional 1024", "key-weak", "RSA 1024"),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2040", "key-weak", "RSA 2040"),
        ("genpkey -algorithm RSA-PSS", "key-unsupported", "RSA-PSS"),
        ("genpkey -algorithm ED448", "key-unsupported", "Ed448"),
        ("genpkey -algorithm X25519", "key-unsupported", "X25519"),
        ("genpkey -algorithm X448", "key-unsupported", "X448"),
        ("pkey -in dsa.key", "key-unsupported", "DSA"),
        ("pkey -in dsa.key -traditional", "key-unsupported", "no BEGIN PRIVATE KEY block, but a DSA key"),
        ("ecparam -name secp256k1 -genkey", "key-unsupported", "ECDSA secp256k1"),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp224r1", "key-unsupported", "ECDSA P-224"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:sect233k1",
            "key-unsupported",
            "ECDSA on an unknown curve",
        ),
        (
            "ecparam -name secp256k1 -genkey -noout -param_enc explicit",
            "key-unsupported",
            "ECDSA on an unknown curve",
        ),
    ] {
        let found = one(judged_key(&lab.openssl(line)));
        assert_eq!((found.code.id(), found.severity.id(), &*found.seen), (code, "refuse", seen), "{line}");
        assert!(found.fix.contains("-out /tls/a.key.new"), "{}", found.fix);
    }
}

/// A number of so many bits stands for keys that take minutes to make.
#[test]
fn draws_the_line_at_8192_bits() {
    let key = |bits: usize, version: u8| {
        let modulus = [&[0][..], &[0xff].repeat(bits / 8)].concat();
        let modulus = if bits % 8 == 1 { [&[1][..], &modulus[1..]].concat() } else { modulus };
        let one = element(2, &[&[1]]);
        let numbers = [element(2, &[&[version]]), element(2, &[&modulus]), one.repeat(7)].concat();
        judged_key(&pem("RSA PRIVATE KEY", &element(0x30, &[&numbers])))
    };
    assert!(key(8192, 0).is_empty() && key(2048, 0).is_empty());
    assert_eq!(codes(&key(2040, 0)), ["key-weak"]);
    assert_eq!(one(key(8193, 0)).seen, "RSA 8193");
    assert_eq!(one(key(2048, 1)).seen, "RSA with more than two primes");
}

#[test]
fn refuses_encrypted_keys_with_the_command_that_decrypts_them() {
    let lab = Lab::new();
    lab.make("rsa.key", "genrsa -traditional 2048");
    for line in [
        "pkey -in root.key -aes256 -passout pass:x",
        "pkey -in root.key -traditional -aes256 -passout pass:x",
        "rsa -in rsa.key -traditional -aes128 -passout pass:x",
        "pkcs8 -topk8 -in rsa.key -v1 PBE-SHA1-3DES -passout pass:x",
    ] {
        let found = one(judged_key(&lab.openssl(line)));
        assert_eq!((found.code.id(), found.severity.id()), ("key-encrypted", "refuse"), "{line}");
        assert!(
            found.fix.starts_with("openssl pkey -in /tls/a.key -out /tls/a.key.new && cat "),
            "{}",
            found.fix
        );
        assert!(found.why.contains("passphrase"), "{}", found.why);
    }
}

#[test]
fn refuses_what_is_no_key() {
    let lab = Lab::new();
    let key = lab.key("root");
    let der = Lab::der(&key);
    for (file, seen) in [
        (lab.signed("a", "root", SERVER, 9), "no BEGIN PRIVATE KEY block, but a certificate"),
        (lab.openssl("pkey -in root.key -pubout"), "no BEGIN PRIVATE KEY block, but a public key"),
        (String::new(), "no BEGIN PRIVATE KEY block"),
        (key.replace("-----END", ""), "a block without its END line"),
        (key.replacen('M', "*", 1), "a block that is not base64"),
        (pem("PRIVATE KEY", &der[..der.len() - 1]), "a block that holds no whole key"),
        (pem("PRIVATE KEY", &[&der[..], &[0]].concat()), "a block that holds no whole key"),
        (pem("RSA PRIVATE KEY", &der), "a block that holds no whole key"),
        (pem("EC PRIVATE KEY", &der), "a block that holds no whole key"),
        (pem("PRIVATE KEY", &[]), "a block that holds no whole key"),
    ] {
        let found = one(judged_key(&file));
        assert_eq!(
            (found.code.id(), found.severity.id(), &*found.seen),
            ("key-unusable", "refuse", seen),
            "{file}"
        );
    }
    let found = judge(&Pair { cert_pem: None, key_pem: Some(&der), ..pair("", "", &[]) }).key;
    assert!(one(found).fix.starts_with("`openssl pkey -inform DER -in /tls/a.key -out /tls/a.key.new`"));
}

#[test]
fn takes_a_key_that_writes_its_point_short() {
    let lab = Lab::new();
    let cert = lab.signed("a", "root", SERVER, 90);
    let short = lab.make("short.key", "ec -in a.key -conv_form compressed");
    assert!(sense(&cert, &short).key.is_empty());
    assert_eq!(
        codes(&sense(&cert, &lab.openssl("ec -in root.key -conv_form compressed")).key),
        ["key-mismatch"]
    );
    // In a certificate no TLS client takes it.
    let found = sense(&lab.signed("short", "root", SERVER, 90), &short);
    assert_eq!((codes(&found.key), codes(&found.certificate)), (vec![], vec!["certificate-unusable"]));
}

/// The library knows the curve by its numbers too, in a key and not in a certificate.
#[test]
fn takes_a_key_that_tells_its_curve_by_numbers() {
    let lab = Lab::new();
    for (name, kind) in [("prime256v1", "P-256"), ("secp384r1", "P-384"), ("secp521r1", "P-521")] {
        lab.make("a.key", &format!("ecparam -name {name} -genkey -noout"));
        let cert = lab.signed("a", "root", SERVER, 90);
        lab.make("told.key", "ec -in a.key -param_enc explicit");
        for line in ["ec -in told.key -param_enc explicit", "pkcs8 -topk8 -nocrypt -in told.key"] {
            let key = lab.openssl(line);
            assert!(key.len() > lab.key("a").len() + 100, "{key}");
            let found = sense(&cert, &key);
            assert!(found.key.is_empty() && found.certificate.is_empty(), "{line}: {found:#?}");
        }
        let found = sense(&lab.signed("told", "root", SERVER, 90), &lab.key("told"));
        assert_eq!(
            (codes(&found.key), codes(&found.certificate)),
            (vec![], vec!["certificate-unusable"]),
            "{kind}"
        );
    }
}

#[test]
fn takes_a_key_that_leaves_its_curve_out() {
    let lab = Lab::new();
    let cert = lab.signed("a", "root", SERVER, 90);
    let der = Lab::der(&lab.openssl("ec -in a.key"));
    // SEQUENCE, version, scalar; ten bytes that name the curve; the public half.
    let bare = element(0x30, &[&der[2..39], &[0xa0, 10], &der[41..]]);
    assert_eq!(bare, der);
    let bare = element(0x30, &[&der[2..39], &der[51..]]);
    assert!(sense(&cert, &pem("EC PRIVATE KEY", &bare)).key.is_empty());
    let bare = element(0x30, &[&der[2..39]]);
    assert_eq!(codes(&sense(&cert, &pem("EC PRIVATE KEY", &bare)).key), ["key-unproven"]);
}
