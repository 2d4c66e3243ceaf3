//! Damaged bytes never panic, and nothing of a key or of a terminal's commands is ever told.

use proptest::prelude::*;
use std::sync::LazyLock;

use super::lab::{CA, pem};
use super::*;

struct Fixture {
    chain: Vec<Vec<u8>>,
    /// With the labels of their blocks.
    keys: Vec<(&'static str, Vec<u8>)>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let lab = Lab::new();
    let inter = lab.signed("inter", "root", CA, 900);
    let aia = format!("{SERVER}authorityInfoAccess=caIssuers;URI:http://ca.example/inter.cer\n");
    let leaf = lab.signed("a", "inter", &aia, 90);
    let keys = [
        ("PRIVATE KEY", "pkey -in a.key"),
        ("EC PRIVATE KEY", "ec -in a.key"),
        ("PRIVATE KEY", "genpkey -algorithm ED25519"),
        ("RSA PRIVATE KEY", "genrsa -traditional 2048"),
    ];
    let keys = keys.map(|(label, line)| (label, Lab::der(&lab.openssl(line))));
    Fixture { chain: vec![Lab::der(&leaf), Lab::der(&inter)], keys: keys.into() }
});

/// Judges the bytes in the place of a leaf and of a key, and holds every finding to what all owe.
fn check(cert: &[u8], (label, key): (&str, &[u8])) -> Sense {
    let hosts = exact(&["b.example"]);
    let cert = pem("CERTIFICATE", cert) + &pem("CERTIFICATE", &FIXTURE.chain[1]);
    let found = judge(&pair(&cert, &pem(label, key), &hosts));
    for finding in found.certificate.iter().chain(&found.key) {
        assert!(finding.to_string().chars().all(|c| !c.is_control()), "{finding}");
        assert!(finding.to_string().len() < 4000, "{finding}");
        assert!(
            !(finding.seen.is_empty() || finding.why.is_empty() || finding.fix.is_empty()),
            "{finding:?}"
        );
    }
    judge_ca_bundle(Path::new(CERT), cert.as_bytes(), now());
    found
}

fn key(at: usize) -> (&'static str, &'static [u8]) {
    let (label, der) = &FIXTURE.keys[at % FIXTURE.keys.len()];
    (label, der)
}

/// Each byte of a certificate and of every key replaced by those that mean something in DER.
#[test]
fn survives_every_byte_replaced() {
    let swaps = |der: &[u8]| {
        let mut all = Vec::new();
        for at in 0..der.len() {
            for new in [0, 1, 0x1f, 0x30, 0x7f, 0x80, 0x84, 0xff, der[at] ^ 1, der[at].wrapping_add(1)] {
                let mut changed = der.to_vec();
                changed[at] = new;
                all.push(changed);
            }
            all.push(der[..at].to_vec());
        }
        all
    };
    let mut kinds = std::collections::BTreeSet::new();
    for cert in swaps(&FIXTURE.chain[0]) {
        let found = check(&cert, key(0));
        kinds.extend(codes(&[found.certificate, found.key].concat()));
    }
    for (label, der) in &FIXTURE.keys {
        let at_most = der.len().min(300);
        for changed in swaps(&der[..at_most]) {
            let changed = [&changed, &der[at_most..]].concat();
            kinds.extend(codes(&check(&FIXTURE.chain[0], (label, &changed)).key));
        }
    }
    for code in
        ["certificate-unusable", "chain-order", "expired", "key-mismatch", "key-unsupported", "key-unusable"]
    {
        assert!(kinds.contains(code), "{code} never came up: {kinds:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn survives_any_splice(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..6_usize, proptest::collection::vec(any::<u8>(), 0..6)), 1..5),
        of_key in any::<bool>(),
        at in 0..4_usize,
    ) {
        let (label, der) = key(at);
        let mut changed = if of_key { der.to_vec() } else { FIXTURE.chain[0].clone() };
        for (place, gone, new) in cuts {
            let place = place.index(changed.len());
            let end = (place + gone).min(changed.len());
            changed.splice(place..end, new);
            if changed.is_empty() {
                changed.push(0);
            }
        }
        if of_key { check(&FIXTURE.chain[0], (label, &changed)) } else { check(&changed, (label, der)) };
    }

    /// Of the two forms, with every character that either may have.
    #[test]
    fn survives_any_time(from in "[0-9]{10}[0-9Z+.,-]{3}", until in "[0-9Z+.,-]{13}", now in any::<i64>()) {
        let mut cert = FIXTURE.chain[0].clone();
        let place = cert.windows(2).position(|pair| pair == [0x17, 13]).unwrap();
        cert[place + 2..place + 15].copy_from_slice(from.as_bytes());
        cert[place + 17..place + 30].copy_from_slice(until.as_bytes());
        check(&cert, key(0));
        // GeneralizedTime, whose years go up to 9999.
        (cert[place], cert[place + 15]) = (0x18, 0x18);
        check(&cert, key(0));
        let cert = pem("CERTIFICATE", &cert);
        judge(&Pair { now, ..pair(&cert, "", &[]) });
    }

    #[test]
    fn survives_any_bytes(cert in proptest::collection::vec(any::<u8>(), 0..80), key in proptest::collection::vec(any::<u8>(), 0..80)) {
        check(&cert, ("PRIVATE KEY", &key));
    }
}

/// Nesting as deep as the file allows.
#[test]
fn survives_deep_nesting() {
    for (tag, size) in [(0x30_u8, 10_000), (0xa3, 10_000), (0x31, 10_000)] {
        let mut der = Vec::new();
        while der.len() < size {
            let length = u16::try_from(der.len()).unwrap().to_be_bytes();
            der.splice(0..0, [tag, 0x82, length[0], length[1]]);
        }
        check(&der, ("PRIVATE KEY", &der));
    }
}

/// What is in a key is in no finding, neither as it is nor in another form.
#[test]
fn tells_nothing_of_a_key() {
    let (label, der) = key(0);
    let stranger = FIXTURE.chain[1].clone();
    let found = check(&stranger, (label, der));
    let told = format!("{found:?}");
    assert!(told.contains("key-mismatch") || told.contains("KeyMismatch"), "{told}");
    let scalar = &der[36..68];
    let hex: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!told.to_lowercase().contains(&hex[..8]) && !told.contains(&pem(label, der)[40..60]));
}
