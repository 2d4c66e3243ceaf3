//! Challenges are looked for, and found only where the answer is right.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;

use super::client::{Client, dns, thumbprint, web};
use crate::support::Knot;
use crate::support::acme_directory::{Directory, Draft, Setup, accounturi};

#[test]
fn http_01() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let outcome = |status: &str, change: &dyn Fn(String) -> String| {
        let (_, order) = client.order(&dns("a.test"));
        let challenge = client.challenge(&order, "http-01");
        let port = web(status, &change(client.key_authorization(&challenge)));
        directory.change(|setup| setup.http_port = port);
        client.settle(&challenge)["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome("200 OK", &|text| text), "valid");
    assert_eq!(outcome("200 OK", &|text| text + "x"), "invalid");
    assert_eq!(outcome("302 Found", &|text| text), "invalid");
    let (url, order) = client.order(&dns("b.test"));
    // Nobody is at the port any more: the answer was given.
    let settled = client.settle(&client.challenge(&order, "http-01"));
    assert_eq!(settled["error"]["type"], "urn:ietf:params:acme:error:connection");
    assert_eq!(client.get(&url).json()["status"], "invalid");
}

/// Answers handshakes with a certificate for `names`; the port.
fn alpn(names: &[&str], digest: &[u8], critical: bool) -> u16 {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let mut extension = CustomExtension::new_acme_identifier(digest);
    extension.set_criticality(critical);
    params.custom_extensions = vec![extension];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&key).unwrap();
    // Not by `with_single_cert`, which takes no certificate with a critical extension that it does not know.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        while connection.is_handshaking() && connection.complete_io(&mut socket).is_ok() {}
    });
    port
}

#[test]
fn tls_alpn_01() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let outcome = |names: &[&str], spoil: u8, critical: bool| {
        let (_, order) = client.order(&json!({ "identifiers": [{ "type": "dns", "value": "a.test" }] }));
        let challenge = client.challenge(&order, "tls-alpn-01");
        let mut octets = digest(&SHA256, client.key_authorization(&challenge).as_bytes()).as_ref().to_vec();
        octets[0] ^= spoil;
        let port = alpn(names, &octets, critical);
        directory.change(|setup| setup.tls_port = port);
        client.settle(&challenge)["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome(&["a.test"], 0, true), "valid");
    assert_eq!(outcome(&["a.test"], 1, true), "invalid");
    assert_eq!(outcome(&["a.test"], 0, false), "invalid");
    assert_eq!(outcome(&["a.test", "b.test"], 0, true), "invalid");
    assert_eq!(outcome(&["b.test"], 0, true), "invalid");
}

#[test]
fn dns_01_of_a_name_and_its_wildcard_side_by_side() {
    let knot = Knot::serving(&[("a.test.", "_acme-challenge.b CNAME else._acme-challenge")]);
    let directory = Directory::start(Setup { resolver: Some(knot.address), ..Setup::default() });
    let client = Client::with_account(&directory);
    let challenge = |name| client.challenge(&client.order(&dns(name)).1, "dns-01");
    let value = |challenge| BASE64.encode(digest(&SHA256, client.key_authorization(challenge).as_bytes()));
    let (plain, wild, missing, aside) =
        (challenge("a.test"), challenge("*.a.test"), challenge("a.test"), challenge("b.a.test"));
    for (name, challenge) in
        [("_acme-challenge", &plain), ("_acme-challenge", &wild), ("else._acme-challenge", &aside)]
    {
        knot.update(&format!("zone a.test.\nadd {name}.a.test. 60 TXT {}", value(challenge)));
    }
    assert_eq!(client.settle(&plain)["status"], "valid");
    assert_eq!(client.settle(&wild)["status"], "valid");
    assert_eq!(client.settle(&aside)["status"], "valid", "behind a CNAME");
    assert_eq!(client.settle(&missing)["status"], "invalid");
}

/// What becomes of a challenge with that record there, for `name`.
fn persisting(draft: Draft, name: &str, record: impl Fn(&Client) -> String) -> (String, String) {
    let knot = Knot::serving(&[("a.test.", "")]);
    let directory =
        Directory::start(Setup { resolver: Some(knot.address), persist: draft, ..Setup::default() });
    let client = Client::with_account(&directory);
    let record = record(&client);
    if !record.is_empty() {
        // Long text is several strings (RFC 1035, section 3.3.14).
        let (head, tail) = record.split_at(record.len() / 2);
        knot.update(&format!("zone a.test.\nadd _validation-persist.a.test. 60 TXT \"{head}\" \"{tail}\""));
    }
    let settled = client.settle(&client.challenge(&client.order(&dns(name)).1, "dns-persist-01"));
    let problem =
        settled["error"]["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
    (settled["status"].as_str().unwrap().to_owned(), problem)
}

fn good() -> (String, String) {
    ("valid".into(), String::new())
}

fn bad(problem: &str) -> (String, String) {
    ("invalid".into(), problem.into())
}

/// The hashed URI of the client's account, for `domain`.
fn hashed(client: &Client, domain: &str) -> String {
    let prefix = client.directory["meta"]["accountHashPrefix"].as_str().unwrap();
    accounturi(prefix, domain, &thumbprint(&client.key), &client.account)
}

#[test]
fn dns_persist_01_as_of_draft_02() {
    let two = |name, record: &dyn Fn(&Client) -> String| persisting(Draft::Two, name, record);
    let plain = |client: &Client| format!("ca.test; accounturi={}", hashed(client, "a.test"));
    assert_eq!(two("a.test", &plain), good());
    assert_eq!(two("a.test", &|client| format!("CA.test;accounturi={}", hashed(client, "*"))), good());
    assert_eq!(two("*.a.test", &plain), bad("unauthorized"));
    assert_eq!(two("*.a.test", &|client| plain(client) + "; policy=WildCard"), good());
    assert_eq!(
        two("a.test", &|client| format!("ca.test; accounturi={}", hashed(client, "b.test"))),
        bad("unauthorized")
    );
    assert_eq!(
        two("a.test", &|client| format!("ca.test; accounturi={}", client.account)),
        bad("unauthorized")
    );
    assert_eq!(two("a.test", &|_| String::new()), bad("unauthorized"));
}

#[test]
fn dns_persist_01_as_of_draft_01() {
    let one = |name, record: &dyn Fn(&Client) -> String| persisting(Draft::One, name, record);
    let plain = |client: &Client| format!("ca.test; accounturi={}", client.account);
    let until = |days: i64| {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        now + days * 24 * 3600
    };
    assert_eq!(one("a.test", &plain), good());
    assert_eq!(one("a.test", &|client| format!("{}; persistUntil={}", plain(client), until(1))), good());
    assert_eq!(
        one("a.test", &|client| format!("{}; persistUntil={}", plain(client), until(-1))),
        bad("unauthorized")
    );
    assert_eq!(one("a.test", &|client| plain(client) + "; persistUntil=tomorrow"), bad("malformed"));
    assert_eq!(
        one("a.test", &|client| format!("{0}; accounturi={1}", plain(client), client.account)),
        bad("malformed")
    );
    assert_eq!(one("a.test", &|client| plain(client).replace("ca.test", "other.test")), bad("unauthorized"));
    assert_eq!(one("a.test", &|client| format!("{}0", plain(client))), bad("unauthorized"));
    assert_eq!(one("a.test", &|_| "ca.test".into()), bad("malformed"));
}

#[test]
fn validations_take_their_time() {
    let validation_delay = Duration::from_secs(1);
    let directory = Directory::start(Setup { validation_delay, retry_after: Some(1), ..Setup::default() });
    let client = Client::with_account(&directory);
    let (_, order) = client.order(&dns("a.test"));
    let challenge = client.challenge(&order, "http-01");
    let port = web("200 OK", &client.key_authorization(&challenge));
    directory.change(|setup| setup.http_port = port);
    let begun = client.post(challenge["url"].as_str().unwrap(), &json!({})).json();
    assert_eq!(begun["status"], "processing");
    let authorization = client.get(order["authorizations"][0].as_str().unwrap());
    assert_eq!(
        (authorization.json()["status"].as_str(), authorization.header("Retry-After")),
        (Some("pending"), Some("1"))
    );
}
