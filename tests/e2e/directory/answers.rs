//! From an order to its certificate, and what comes after.

use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::client::{Client, dns, web};
use crate::support::acme_directory::{Directory, Profile, Setup, Window, accounturi, rfc3339};
use crate::support::run;

/// The draft's own example (draft-ietf-acme-dns-persist-02, section 10.2).
#[test]
fn hashes_accounts_as_the_draft_does() {
    let of = |domain| {
        let thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        accounturi("https://ca.example/account-hash/", domain, thumbprint, "https://ca.example/acct/123")
    };
    let hash = |hash| format!("https://ca.example/account-hash/sha-256/{hash}");
    assert_eq!(of("example.com"), hash("5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"));
    assert_eq!(of("*"), hash("NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"));
}

#[test]
fn writes_times() {
    let at = |seconds| rfc3339(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(0), "1970-01-01T00:00:00Z");
    assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
}

/// An order that is ready, with the authorization of its only name given.
pub(super) fn ready(client: &Client, directory: &Directory, order: &Value) -> (String, Value) {
    let (url, body) = client.order(order);
    let challenge = client.challenge(&body, "http-01");
    let port = web("200 OK", &client.key_authorization(&challenge));
    directory.change(|setup| setup.http_port = port);
    let settled = client.settle(&challenge);
    assert_eq!(settled["status"], "valid", "{settled}");
    (url, body)
}

#[test]
fn issues_renews_and_revokes() {
    let life = Duration::from_secs(120);
    let profiles = vec![Profile { name: "minutes".into(), life }];
    let directory = Directory::start(Setup { profiles, ..Setup::default() });
    let client = Client::with_account(&directory);
    let mut order = dns("a.test");
    order["profile"] = json!("hours");
    assert_eq!(client.post(&client.url("newOrder"), &order).problem(), "invalidProfile");
    order["profile"] = json!("minutes");
    let (_, body) = client.order(&order);
    let key = KeyPair::generate().unwrap();
    assert_eq!(client.finalize(&body, &["a.test"], &key).problem(), "orderNotReady");

    let (url, body) = ready(&client, &directory, &order);
    assert_eq!(client.finalize(&body, &["b.test"], &key).problem(), "badCSR");
    assert_eq!(client.finalize(&body, &["a.test", "b.test"], &key).problem(), "badCSR");
    assert_eq!(client.finalize(&body, &["a.test"], &key).json()["status"], "valid");
    let chain = client.download(&url);
    assert_eq!(chain.header("Content-Type"), Some("application/pem-certificate-chain"));
    let (chain, root) = (client.file("chain.pem", &chain.text), client.file("ca.pem", &directory.root_pem()));
    let (chain, root) = (chain.to_str().unwrap(), root.to_str().unwrap());
    let verify = [
        "verify",
        "-CAfile",
        root,
        "-untrusted",
        chain,
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "a.test",
        chain,
    ];
    let verified = run("openssl", "openssl", &verify);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let issued = directory.issued().remove(0);
    assert_eq!(issued.not_after.duration_since(issued.not_before).unwrap(), life);

    let info = client.curl(&[&format!("{}/{}", client.url("renewalInfo"), issued.renewal_id)]).unwrap();
    let start = issued.not_before + life.mul_f64(0.6);
    assert_eq!(info.json()["suggestedWindow"]["start"], rfc3339(start));
    assert_eq!(info.header("Retry-After"), Some("1"));
    let unknown = client.curl(&[&format!("{}/AAAA.AAAA", client.url("renewalInfo"))]).unwrap();
    assert_eq!(unknown.status, 404);

    let soon = issued.not_before + Duration::from_secs(1);
    directory.change(|setup| setup.renewal = Some(Window::between(issued.not_before, soon)));
    let info = client.curl(&[&format!("{}/{}", client.url("renewalInfo"), issued.renewal_id)]).unwrap();
    assert_eq!(info.json()["suggestedWindow"]["end"], rfc3339(soon));

    order["replaces"] = json!("AAAA.AAAA");
    assert_eq!(client.post(&client.url("newOrder"), &order).problem(), "malformed");
    order["replaces"] = json!(issued.renewal_id);
    let (_, body) = ready(&client, &directory, &order);
    assert_eq!(body["replaces"], json!(issued.renewal_id));
    assert_eq!(client.finalize(&body, &["a.test"], &KeyPair::generate().unwrap()).status, 200);
    assert_eq!(client.post(&client.url("newOrder"), &order).problem(), "alreadyReplaced");

    use base64::Engine as _;
    let der = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&issued.der);
    let revoke = |client: &Client, reason: u64| {
        client.post(&client.url("revokeCert"), &json!({ "certificate": der, "reason": reason }))
    };
    assert_eq!(revoke(&Client::with_account(&directory), 1).problem(), "unauthorized");
    assert_eq!(revoke(&client, 7).problem(), "badRevocationReason");
    assert_eq!(revoke(&client, 1).status, 200);
    assert_eq!(revoke(&client, 1).problem(), "alreadyRevoked");
    assert_eq!(directory.issued()[0].revoked, Some(1));
}

#[test]
fn orders_are_for_names_and_addresses_as_they_are_written() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let refused = |identifier: Value| {
        client.post(&client.url("newOrder"), &json!({ "identifiers": [identifier] })).problem()
    };
    for name in ["A.test", "a.test.", "*.*.test", "a_b.test", "test", "127.0.0.1", "-a.test", ""] {
        assert_eq!(refused(json!({ "type": "dns", "value": name })), "rejectedIdentifier", "{name}");
    }
    for address in ["::01", "a.test", "127.1"] {
        assert_eq!(refused(json!({ "type": "ip", "value": address })), "rejectedIdentifier", "{address}");
    }
    assert_eq!(refused(json!({ "type": "mail", "value": "a@b.test" })), "unsupportedIdentifier");
    let (_, wild) = client.order(&dns("*.a.test"));
    let authorization = client.get(wild["authorizations"][0].as_str().unwrap()).json();
    assert_eq!(authorization["identifier"]["value"], "a.test");
    assert_eq!(authorization["wildcard"], true);
    let kinds: Vec<&str> = authorization["challenges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["dns-01", "dns-persist-01"]);
    let (_, address) = client.order(&json!({ "identifiers": [{ "type": "ip", "value": "::1" }] }));
    let authorization = client.get(address["authorizations"][0].as_str().unwrap()).json();
    let kinds: Vec<&str> = authorization["challenges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["http-01", "tls-alpn-01"]);
    let other = Client::with_account(&directory);
    assert_eq!(other.get(wild["authorizations"][0].as_str().unwrap()).problem(), "unauthorized");
}

#[test]
fn orders_take_their_time_and_valid_authorizations_serve_again() {
    let processing = Duration::from_millis(1500);
    let setup = Setup { processing, retry_after: Some(1), reuse_authorizations: true, ..Setup::default() };
    let directory = Directory::start(setup);
    let client = Client::with_account(&directory);
    let (url, body) = ready(&client, &directory, &dns("a.test"));
    let answer = client.finalize(&body, &["a.test"], &KeyPair::generate().unwrap());
    assert_eq!(
        (answer.json()["status"].as_str(), answer.header("Retry-After")),
        (Some("processing"), Some("1"))
    );
    std::thread::sleep(processing);
    assert_eq!(client.get(&url).json()["status"], "valid");
    let (_, again) = client.order(&dns("a.test"));
    assert_eq!(again["status"], "ready", "{again}");
}
