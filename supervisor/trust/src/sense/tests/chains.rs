//! Chains in every order, with too little and too much in them, and bundles of CAs.

use super::lab::{CA, pem};
use super::*;

/// root, which certifies `inter`, which certifies `a`.
fn lab() -> (Lab, String, String) {
    let lab = Lab::new();
    let inter = lab.signed("inter", "root", CA, 900);
    let leaf = lab.signed("a", "inter", SERVER, 90);
    (lab, leaf, inter)
}

fn found(chain: &[&str], lab: &Lab) -> Vec<Finding> {
    let found = sense(&chain.concat(), &lab.key("a"));
    assert!(found.key.is_empty(), "{found:#?}");
    assert_eq!(found.facts.unwrap().issuer, "CN=inter, O=Test");
    found.certificate
}

#[test]
fn takes_a_chain_in_order_with_or_without_its_root() {
    let (lab, leaf, inter) = lab();
    let root = lab.signed("root", "root", CA, 3650);
    assert!(found(&[&leaf, &inter], &lab).is_empty());
    assert!(found(&[&leaf, &inter, &root], &lab).is_empty());
    // Without a hint of an intermediate there is no telling that one is missing.
    assert!(found(&[&leaf], &lab).is_empty());
}

#[test]
fn refuses_a_chain_whose_leaf_is_not_first() {
    let (lab, leaf, inter) = lab();
    let found = one(found(&[&inter, &leaf], &lab));
    assert_eq!((found.code.id(), found.severity.id()), ("chain-order", "refuse"));
    assert_eq!(found.seen, "1 CN=inter, O=Test by CN=root, O=Test; 2 CN=a, O=Test by CN=inter, O=Test");
    assert_eq!(found.why, "the key belongs to certificate 2, which must be the first");
    assert_eq!(found.fix, "write /tls/a.pem anew with certificates 2, 1, in this order");
}

#[test]
fn warns_of_a_leaf_that_seems_not_first_where_no_key_proves_it() {
    let (_, leaf, inter) = lab();
    let chain = [inter, leaf].concat();
    let found = judge(&Pair { key_pem: None, ..pair(&chain, "", &exact(&["a.example"])) });
    let found = one(found.certificate);
    assert_eq!((found.code.id(), found.severity.id()), ("chain-order", "warn"));
    assert!(found.fix.contains("2, 1"), "{}", found.fix);
}

#[test]
fn warns_of_intermediates_out_of_order() {
    let lab = Lab::new();
    let high = lab.signed("high", "root", CA, 900);
    let low = lab.signed("inter", "high", CA, 900);
    let leaf = lab.signed("a", "inter", SERVER, 90);
    assert!(found(&[&leaf, &low, &high], &lab).is_empty());
    let order = one(found(&[&leaf, &high, &low], &lab));
    assert_eq!((order.code.id(), order.severity.id()), ("chain-order", "warn"));
    assert!(order.seen.contains("2 CN=high, O=Test by CN=root, O=Test; 3 CN=inter"), "{}", order.seen);
    assert!(order.fix.contains("certificates 1, 3, 2,"), "{}", order.fix);
}

#[test]
fn warns_of_certificates_of_no_use() {
    let (lab, leaf, inter) = lab();
    let stranger = lab.signed("stranger", "root", CA, 900);
    let odd = one(found(&[&leaf, &stranger, &inter], &lab));
    assert_eq!((odd.code.id(), odd.severity.id()), ("chain-order", "warn"));
    assert!(odd.seen.starts_with("certificate 2 of no use to the leaf: 1 CN=a"), "{}", odd.seen);
    assert!(odd.fix.contains("certificates 1, 3,"), "{}", odd.fix);
    assert_eq!(codes(&found(&[&leaf, &inter, &leaf], &lab)), ["chain-order"]);
}

/// An intermediate of the same name with another key, as after a renewal of it.
#[test]
fn tells_issuers_of_one_name_apart_by_their_key() {
    let (lab, leaf, inter) = lab();
    let other = Lab::new().signed("inter", "root", CA, 900);
    assert!(found(&[&leaf, &inter], &lab).is_empty());
    assert_eq!(codes(&found(&[&leaf, &other], &lab)), ["chain-order"]);
    assert_eq!(codes(&found(&[&leaf, &other, &inter], &lab)), ["chain-order"]);
}

/// Two CAs certified one intermediate; clients take the way they like.
#[test]
fn takes_both_certificates_of_an_intermediate() {
    let (lab, leaf, inter) = lab();
    lab.signed("elder", "elder", CA, 900);
    let cross = lab.signed("inter", "elder", CA, 900);
    assert!(found(&[&leaf, &inter, &cross], &lab).is_empty());
}

#[test]
fn warns_of_a_leaf_alone_that_says_where_its_issuer_is() {
    let (lab, _, inter) = lab();
    let aia = format!("{SERVER}authorityInfoAccess=caIssuers;URI:http://ca.example/inter.cer\n");
    let leaf = lab.signed("a", "inter", &aia, 90);
    let alone = one(found(&[&leaf], &lab));
    assert_eq!((alone.code.id(), alone.severity.id()), ("chain-incomplete", "warn"));
    assert_eq!(alone.seen, "the leaf alone, certified by CN=inter, O=Test");
    assert!(found(&[&leaf, &inter], &lab).is_empty());
    let ocsp = format!("{SERVER}authorityInfoAccess=OCSP;URI:http://ca.example/\n");
    assert!(found(&[&lab.signed("a", "inter", &ocsp, 90)], &lab).is_empty());
    // With another's intermediate it is as much alone.
    let stranger = lab.signed("stranger", "root", CA, 900);
    assert_eq!(codes(&found(&[&leaf, &stranger], &lab)), ["chain-order", "chain-incomplete"]);
}

#[test]
fn judges_the_dates_of_intermediates_and_not_of_the_root() {
    let lab = Lab::new();
    let root = lab.signed("root", "root", CA, 10);
    let inter = lab.signed("inter", "root", CA, 30);
    let leaf = lab.signed("a", "inter", SERVER, 900);
    let chain = [leaf, inter, root].concat();
    let at = |days: i64| {
        let key = lab.key("a");
        let hosts = exact(&["a.example"]);
        judge(&Pair { now: now() + days * 86_400 + 43_200, ..pair(&chain, &key, &hosts) }).certificate
    };
    assert!(at(15).is_empty());
    let soon = one(at(25));
    assert_eq!(soon.code.id(), "expires-soon");
    assert!(soon.seen.starts_with("certificate 2 (CN=inter, O=Test) expires in 4 days"), "{}", soon.seen);
    let late = one(at(31));
    assert_eq!((late.code.id(), late.severity.id()), ("expired", "warn"));
    assert!(late.seen.starts_with("certificate 2 (CN=inter, O=Test) EXPIRED 36 hours ago"), "{}", late.seen);
    assert_eq!(codes(&at(-1)), ["not-yet-valid", "not-yet-valid"]);
}

#[test]
fn warns_of_old_digests_on_the_way_and_not_on_the_root() {
    let lab = Lab::new();
    let root = lab.signed_with("root", "root", CA, "-sha1 -days 900");
    let inter = lab.signed_with("inter", "root", CA, "-sha1 -days 900");
    let leaf = lab.signed("a", "inter", SERVER, 90);
    let weak = one(found(&[&leaf, &inter, &root], &lab));
    assert_eq!((weak.code.id(), weak.severity.id()), ("signature-weak", "warn"));
    assert_eq!(weak.seen, "certificate 2 (CN=inter, O=Test) is signed with SHA-1");
}

#[test]
fn refuses_files_without_a_usable_certificate() {
    let (lab, leaf, inter) = lab();
    let der = Lab::der(&leaf);
    let key = lab.key("a");
    let with = |file: &str| one(sense(file, &key).certificate);
    for (file, seen) in [
        (String::new(), "no BEGIN CERTIFICATE block"),
        (lab.openssl("req -in a.csr"), "no BEGIN CERTIFICATE block, but a certificate signing request"),
        (lab.openssl("crl2pkcs7 -nocrl -certfile a.pem"), "no BEGIN CERTIFICATE block, but PKCS#7"),
        (
            lab.openssl("x509 -in a.pem -trustout"),
            "a BEGIN TRUSTED CERTIFICATE block, which no other program reads",
        ),
        (leaf.replace("-----END", ""), "a block without its END line"),
        (leaf.repeat(17), "more than 16 certificates"),
        (pem("CERTIFICATE", &der[..der.len() - 1]), "certificate 1 is no certificate in DER"),
        (
            pem("CERTIFICATE", &[&der[..], &[5, 0]].concat()),
            "certificate 1 is followed by something else within its block",
        ),
        (leaf.clone() + &pem("CERTIFICATE", &[0x30, 0]), "certificate 2 is no certificate in DER"),
    ] {
        let found = with(&file);
        assert_eq!(
            (found.code.id(), found.severity.id(), &*found.seen),
            ("certificate-unusable", "refuse", seen)
        );
    }
    let found = judge(&Pair { cert_pem: Some(&der), ..pair("", &key, &[]) }).certificate;
    assert!(one(found).fix.starts_with("`openssl x509 -inform DER -in /tls/a.pem -out /tls/a.pem.new`"));
    // The key beside a file that can't be read is judged all the same.
    assert!(sense("", &key).key.is_empty());
    assert!(found_nothing(&[leaf.replace("CERTIFICATE", "X509 CERTIFICATE"), inter].concat(), &key));
}

fn found_nothing(cert: &str, key: &str) -> bool {
    let found = sense(cert, key);
    found.certificate.is_empty() && found.key.is_empty()
}

#[test]
fn judges_a_bundle_of_cas() {
    let (lab, leaf, inter) = lab();
    let root = lab.signed("root", "root", CA, 3650);
    let bundle = |parts: &[&str], days: i64| {
        judge_ca_bundle(Path::new("/tls/ca.pem"), parts.concat().as_bytes(), now() + days * 86_400)
    };
    assert!(bundle(&[&root, &inter], 0).is_empty());
    assert!(bundle(&[&root.repeat(200)], 0).is_empty());
    let odd = one(bundle(&[&root, &leaf], 0));
    assert_eq!((odd.code.id(), odd.severity.id()), ("not-a-ca", "warn"));
    assert_eq!(odd.seen, "no basic constraints CA:TRUE: certificate 2 (CN=a, O=Test)");
    let late = one(bundle(&[&root, &inter, &inter], 901));
    assert_eq!(late.code.id(), "expired");
    assert!(late.seen.contains("certificate 2 (CN=inter, O=Test) EXPIRED"), "{}", late.seen);
    assert!(late.seen.contains("certificate 3 (CN=inter, O=Test) EXPIRED"), "{}", late.seen);
    let damaged = pem("CERTIFICATE", &[1, 2, 3]);
    for found in [bundle(&[""], 0), bundle(&[&root, &damaged], 0)] {
        let found = one(found);
        assert_eq!((found.code.id(), found.severity.id()), ("certificate-unusable", "refuse"));
    }
    assert_eq!(codes(&bundle(&[&root, &lab.key("root")], 0)), ["key-in-certificate"]);
    // A root of version 1 can't say that it is one.
    assert!(bundle(&[&lab.signed("old", "old", "", 900)], 0).is_empty());
}
