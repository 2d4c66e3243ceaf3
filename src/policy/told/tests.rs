use super::*;

fn client() -> ClientIdentity {
    ClientIdentity {
        subject: "CN=Zo\\C3\\AB,O=Acme\\, Inc.".into(),
        issuer: "CN=ca".into(),
        serial: "01".into(),
        fingerprint: [0xab; 32],
        sans: vec![San::Dns("a.test".into()), San::Uri("urn:a\"b\\c".into())],
        chain: vec![vec![1, 2, 3], vec![4, 5], vec![6]],
        not_before: 0,
        not_after: 0,
    }
}

fn told(certificate: bool, chain: bool, names: bool) -> Told {
    let name = |name: &str| names.then(|| name.to_owned());
    let config = Config {
        certificate,
        chain,
        subject_header: name("x-subject"),
        san_header: name("x-san"),
        fingerprint_header: name("x-fingerprint"),
        signature: None,
    };
    Told::new(&config, None)
}

fn said(told: &Told, client: &ClientIdentity) -> Vec<String> {
    let fields = told.fields(client);
    fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn tells_what_is_asked_for_and_no_more() {
    assert_eq!(
        said(&told(true, true, true), &client()),
        [
            "client-cert: :AQID:",
            "client-cert-chain: :BAU=:, :Bg==:",
            "x-subject: CN=Zo\\C3\\AB,O=Acme\\, Inc.",
            "x-san: \"DNS:a.test\", \"URI:urn:a\\\"b\\\\c\"",
            &format!("x-fingerprint: {}", "ab".repeat(32)),
        ]
    );
    assert_eq!(said(&told(true, false, false), &client()), ["client-cert: :AQID:"]);
    assert_eq!(said(&told(false, false, false), &client()), [""; 0]);
}

#[test]
fn says_nothing_rather_than_something_empty() {
    let bare = ClientIdentity { subject: String::new(), sans: Vec::new(), chain: vec![vec![1]], ..client() };
    let names: Vec<_> = told(true, true, true).fields(&bare).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["client-cert", "x-fingerprint"]);
}

#[test]
fn takes_no_secret_that_is_short() {
    assert_eq!(Signer::new(&[b'x'; 31], "k").unwrap_err(), ShortKey(31));
    assert_eq!(Signer::new(b"\n", "k").unwrap_err(), ShortKey(0));
    assert!(Signer::new(&[b'x'; 32], "k").is_ok());
    assert_eq!(format!("{:?}", Signer::new(&[b'x'; 32], "k").unwrap()), "Signer(k)");
}

/// The key of RFC 9421 appendix B.1.5, and the base of B.2.5 with our components.
#[test]
fn signs_as_the_standard_does() {
    const KEY: &str =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let signer = Signer::new(&STANDARD.decode(KEY).unwrap(), "test-shared-secret").unwrap();
    let mut headers = HeaderMap::new();
    headers.append(CLIENT_CERT, HeaderValue::from_static(":AQID:"));
    headers.append("x-san", HeaderValue::from_static("\"DNS:a.test\""));
    headers.append("x-san", HeaderValue::from_static("\"DNS:b.test\""));
    headers.append("date", HeaderValue::from_static("not covered"));
    let signed = Signed {
        method: "GET",
        authority: "A.test",
        path: "/x",
        query: Some("a=1"),
        headers: &headers,
        created: 1_618_884_473,
    };
    let (base, _) = signer.base(&told(true, true, true), &signed).unwrap();
    let parameters = "(\"@method\" \"@authority\" \"@path\" \"@query\" \"client-cert\" \"x-san\");created=1618884473;\
                      keyid=\"test-shared-secret\";alg=\"hmac-sha256\"";
    assert_eq!(
        base,
        format!(
            "\"@method\": GET\n\"@authority\": a.test\n\"@path\": /x\n\"@query\": ?a=1\n\"client-cert\": :AQID:\n\
             \"x-san\": \"DNS:a.test\", \"DNS:b.test\"\n\"@signature-params\": {parameters}"
        )
    );
    let [(_, input), (_, signature)] = signer.sign(&told(true, true, true), &signed).unwrap();
    assert_eq!(input.to_str().unwrap(), format!("fluxheim={parameters}"));
    let tag = signature.to_str().unwrap().strip_prefix("fluxheim=:").unwrap().strip_suffix(':').unwrap();
    assert!(hmac::verify(&signer.key, base.as_bytes(), &STANDARD.decode(tag).unwrap()).is_ok());
    let other = Signed { path: "/y", ..signed };
    assert_ne!(signer.sign(&told(true, true, true), &other).unwrap()[1].1, signature);
}

/// RFC 9421 section B.2.5 itself: the same key over the base that is printed there.
#[test]
fn computes_what_is_printed_in_the_standard() {
    const KEY: &str =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let signer = Signer::new(&STANDARD.decode(KEY).unwrap(), "k").unwrap();
    let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\
                \"content-type\": application/json\n\"@signature-params\": \
                (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
    let tag = hmac::sign(&signer.key, base.as_bytes());
    assert_eq!(STANDARD.encode(tag.as_ref()), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
}

#[test]
fn leaves_the_port_of_the_scheme_out() {
    let of = |host: &'static str, tls| {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        authority(&headers, tls).map(str::to_owned)
    };
    assert_eq!(of("a.test:80", false).as_deref(), Some("a.test"));
    assert_eq!(of("a.test:443", true).as_deref(), Some("a.test"));
    assert_eq!(of("a.test:443", false).as_deref(), Some("a.test:443"));
    assert_eq!(authority(&HeaderMap::new(), true), None);
}
