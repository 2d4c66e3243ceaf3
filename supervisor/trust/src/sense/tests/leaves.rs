//! What a leaf says of itself: names, uses, digests, versions.

use crate::{Code, Severity};

use super::lab::{CA, pem};
use super::*;

fn with(lab: &Lab, extensions: &str) -> Vec<Finding> {
    let cert = lab.signed("a", "root", extensions, 90);
    sense(&cert, &lab.key("a")).certificate
}

#[test]
fn warns_of_hosts_that_no_name_covers() {
    let lab = Lab::new();
    let (cert, key) = (lab.signed("a", "root", SERVER, 90), lab.key("a"));
    let judged = |hosts: &[HostPattern]| judge(&pair(&cert, &key, hosts)).certificate;
    assert!(judged(&exact(&["a.example", "x.w.example", "192.0.2.1"])).is_empty());
    assert!(judged(&[HostPattern::Wildcard("w.example".to_owned()), HostPattern::Any]).is_empty());
    assert!(judged(&[]).is_empty());
    let hosts = [
        exact(&["b.example", "a.example", "x.y.w.example", "192.0.2.2"]),
        vec![HostPattern::Wildcard("example".to_owned())],
    ];
    let found = one(judged(&hosts.concat()));
    assert_eq!((found.code.id(), found.severity.id()), ("name-not-covered", "warn"));
    assert_eq!(
        found.seen,
        "for a.example, *.w.example, 192.0.2.1, not for b.example, x.y.w.example, 192.0.2.2, *.example"
    );
}

#[test]
fn does_not_look_at_common_names() {
    let lab = Lab::new();
    let found = one(with(&lab, "basicConstraints=CA:FALSE\n"));
    assert_eq!(found.code.id(), "name-not-covered");
    assert_eq!(found.seen, "no DNS name and no address in subjectAltName");
    assert_eq!(
        codes(&with(&lab, "subjectAltName=email:a@a.example,URI:https://a.example/\n")),
        ["name-not-covered"]
    );
}

#[test]
fn bounds_what_it_shows_of_names_and_compares_all() {
    let lab = Lab::new();
    let names: Vec<_> = (0..250).map(|number| format!("DNS:{number}.example")).collect();
    let cert = lab.signed("a", "root", &format!("subjectAltName={}\n", names.join(",")), 90);
    let key = lab.key("a");
    let found = judge(&pair(&cert, &key, &exact(&["249.example"])));
    assert!(found.certificate.is_empty(), "{found:#?}");
    let facts = found.facts.unwrap();
    assert_eq!((facts.names.len(), facts.more_names), (100, 150));
    let found = one(sense(&cert, &key).certificate);
    assert!(
        found.seen.starts_with("for 0.example,") && found.seen.contains(" and 242 more, not for a.example")
    );
}

#[test]
fn shows_names_harmlessly() {
    let lab = Lab::new();
    lab.key("a");
    lab.write("config", "[req]\nprompt=no\nutf8=yes\nstring_mask=utf8only\ndistinguished_name=dn\n[dn]\nO=A, B\nCN=\u{202e}x\u{1b}[2J\u{fc}\n");
    lab.openssl("req -new -key a.key -config config -out a.csr");
    let cert = lab.certify("a", "a", &SERVER.replace("a.example", "a\u{7f}\u{1b}.example"), "-days 90");
    let found = sense(&cert, &lab.key("a"));
    let facts = found.facts.unwrap();
    assert_eq!(facts.issuer, r"CN=\u{202e}x\u{1b}[2J".to_owned() + "\u{fc}, O=A\\, B");
    assert_eq!(facts.names[0], r"a\u{7f}\u{1b}.example");
    assert!(one(found.certificate).to_string().chars().all(|c| !c.is_control()));
}

#[test]
fn warns_of_certificates_not_made_for_servers() {
    let lab = Lab::new();
    for (old, new, seen) in [
        ("CA:FALSE", "CA:TRUE", "the leaf has basic constraints CA:TRUE"),
        ("serverAuth", "clientAuth", "the leaf has extended key usage without serverAuth"),
        ("digitalSignature", "keyEncipherment", "the leaf has key usage without digitalSignature"),
    ] {
        let found = one(with(&lab, &SERVER.replace(old, new)));
        assert_eq!(
            (found.code.id(), found.severity.id(), &*found.seen),
            ("not-a-server-certificate", "warn", seen)
        );
    }
    for (old, new) in [
        ("serverAuth", "clientAuth,serverAuth"),
        ("serverAuth", "anyExtendedKeyUsage"),
        ("digitalSignature", "keyEncipherment,digitalSignature"),
        ("extendedKeyUsage=serverAuth\n", ""),
        ("keyUsage=critical,digitalSignature\n", ""),
        ("basicConstraints=critical,CA:FALSE\n", ""),
    ] {
        assert!(with(&lab, &SERVER.replacen(old, new, 1)).is_empty(), "{new}");
    }
    let all = one(with(&lab, &format!("{CA}extendedKeyUsage=clientAuth\nsubjectAltName=DNS:a.example\n")));
    assert_eq!(all.seen.matches(", ").count(), 2, "{}", all.seen);
}

/// What `openssl req -x509` makes for a test at home.
#[test]
fn takes_a_self_signed_leaf_and_warns_that_it_is_a_ca() {
    let lab = Lab::new();
    let key = lab.key("a");
    let line = "req -x509 -key a.key -subj /CN=a.example -days 90 -addext subjectAltName=DNS:a.example";
    let found = one(sense(&lab.openssl(line), &key).certificate);
    assert_eq!(found.seen, "the leaf has basic constraints CA:TRUE");
    let line = format!("{line} -addext basicConstraints=critical,CA:FALSE");
    assert!(sense(&lab.openssl(&line), &key).certificate.is_empty());
}

#[test]
fn warns_of_old_digests() {
    let lab = Lab::new();
    lab.make("rsa.key", "genrsa 2048");
    lab.signed("rsa", "rsa", CA, 900);
    for (issuer, options, digest) in [
        ("root", "-sha1", Some("SHA-1")),
        ("rsa", "-sha1", Some("SHA-1")),
        ("rsa", "-md5", Some("MD5")),
        ("rsa", "-sha1 -sigopt rsa_padding_mode:pss", Some("SHA-1")),
        ("rsa", "-sha256 -sigopt rsa_padding_mode:pss", None),
        ("rsa", "-sha512", None),
        ("root", "-sha384", None),
    ] {
        let cert = lab.signed_with("a", issuer, SERVER, &format!("-days 90 {options}"));
        let found = sense(&cert, &lab.key("a")).certificate;
        let seen = digest.map(|digest| format!("the leaf (CN=a, O=Test) is signed with {digest}"));
        assert_eq!(
            found.iter().map(|finding| &finding.seen).collect::<Vec<_>>(),
            seen.iter().collect::<Vec<_>>(),
            "{options}"
        );
        assert!(found.iter().all(|finding| finding.code == Code::SignatureWeak));
    }
}

#[test]
fn refuses_a_leaf_of_version_one() {
    let lab = Lab::new();
    let cert = lab.signed("a", "root", "", 90);
    let found = sense(&cert, &lab.key("a")).certificate;
    assert_eq!(codes(&found), ["certificate-unusable", "name-not-covered"]);
    assert_eq!(found[0].severity, Severity::Refuse);
}

/// By which the proxy's library would not load it.
#[test]
fn refuses_a_leaf_that_demands_what_is_not_known() {
    let lab = Lab::new();
    let policies =
        format!("{SERVER}certificatePolicies=1.2.3.4\nsubjectInfoAccess=1.2.3;URI:http://a.example/\n");
    assert!(with(&lab, &policies).is_empty());
    let found = one(with(&lab, &policies.replace("=1.2.3.4", "=critical,1.2.3.4")));
    assert_eq!((found.code.id(), found.severity.id()), ("certificate-unusable", "refuse"));
    assert_eq!(found.seen, "the leaf has the critical extension 2.5.29.32");
    // The first of the two names of the algorithm, ecdsa-with-SHA256, made SHA-384.
    let mut der = Lab::der(&lab.signed("a", "root", SERVER, 90));
    let place = der.windows(8).position(|bytes| bytes == b"\x2a\x86\x48\xce\x3d\x04\x03\x02").unwrap();
    der[place + 7] = 3;
    let found = one(sense(&pem("CERTIFICATE", &der), &lab.key("a")).certificate);
    assert_eq!(found.seen, "the leaf names its signature's algorithm in two ways");
}

#[test]
fn warns_of_a_key_in_the_file_of_the_certificate() {
    let lab = Lab::new();
    let (cert, key) = (lab.signed("a", "root", SERVER, 90), lab.key("a"));
    let both = cert + &key;
    let found = one(sense(&both, &key).certificate);
    assert_eq!((found.code.id(), found.severity.id()), ("key-in-certificate", "warn"));
    // One file named for both is judged as a key's.
    let hosts = exact(&["a.example"]);
    let found = judge(&Pair { key_path: Path::new(CERT), ..pair(&both, &both, &hosts) });
    assert!(found.certificate.is_empty() && found.key.is_empty(), "{found:#?}");
}
