//! Requests that are not signed as RFC 8555, section 6.2 wants it, and accounts.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::client::{Client, dns, jwk, sign};
use crate::support::acme_directory::{Directory, Setup};

#[test]
fn refuses_what_is_not_signed_as_it_should_be() {
    let directory = Directory::start(Setup::default());
    let client = Client::with_account(&directory);
    let url = client.url("newOrder");
    let payload = dns("a.test").to_string();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut header = client.header(&url);
        change(&mut header);
        client.send(&url, &sign(&client.key, &header, &payload))
    };
    let spoilt = |change: &dyn Fn(&mut Value)| {
        let mut body = sign(&client.key, &client.header(&url), &payload);
        change(&mut body);
        client.send(&url, &body)
    };
    let stranger = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let cases = [
        ("badNonce", with(&|header| header["nonce"] = json!("AAAA"))),
        ("badNonce", with(&|header| drop(header.as_object_mut().unwrap().remove("nonce")))),
        ("unauthorized", with(&|header| header["url"] = json!(client.url("revokeCert")))),
        ("badSignatureAlgorithm", with(&|header| header["alg"] = json!("RS256"))),
        ("badSignatureAlgorithm", with(&|header| header["alg"] = json!("none"))),
        ("malformed", with(&|header| header["jwk"] = jwk(&client.key))),
        ("malformed", with(&|header| header["crit"] = json!(["exp"]))),
        ("accountDoesNotExist", with(&|header| header["kid"] = json!(format!("{}0", client.account)))),
        ("malformed", client.send(&url, &sign(&stranger, &client.header(&url), &payload))),
        ("malformed", spoilt(&|body| body["header"] = json!({}))),
        (
            "malformed",
            spoilt(&|body| body["payload"] = json!(format!("{}=", body["payload"].as_str().unwrap()))),
        ),
        ("malformed", spoilt(&|body| body["payload"] = json!(BASE64.encode("{}")))),
    ];
    for (number, (problem, answer)) in cases.iter().enumerate() {
        assert_eq!(answer.problem(), *problem, "case {number}: {answer:?}");
        assert!(answer.header("Replay-Nonce").is_some(), "case {number}");
    }
    let good = sign(&client.key, &client.header(&url), &payload);
    assert_eq!(client.send(&url, &good).status, 201);
    assert_eq!(client.send(&url, &good).problem(), "badNonce", "a nonce is good once");
    let plain = client.curl(&["-H", "Content-Type: application/json", "-d", "{}", &url]).unwrap();
    assert_eq!(plain.status, 415);
    let nameless = client.curl(&["-A", "", &directory.url()]).unwrap();
    assert_eq!(nameless.problem(), "malformed", "without User-Agent");
}

#[test]
fn makes_changes_and_ends_accounts() {
    let directory = Directory::start(Setup::default());
    let mut client = Client::new(&directory);
    let existing = json!({ "onlyReturnExisting": true });
    assert_eq!(client.new_account(&existing).problem(), "accountDoesNotExist");
    assert_eq!(client.new_account(&json!({})).problem(), "userActionRequired");
    let with = |contact: &str| json!({ "termsOfServiceAgreed": true, "contact": [contact] });
    assert_eq!(client.new_account(&with("tel:1")).problem(), "unsupportedContact");
    assert_eq!(client.new_account(&with("mailto:a@b.test,c@d.test")).problem(), "invalidContact");
    let made = client.new_account(&with("mailto:a@b.test"));
    assert_eq!(made.status, 201);
    client.account = made.header("Location").unwrap().to_owned();
    let again = client.new_account(&existing);
    assert_eq!((again.status, again.header("Location")), (200, Some(client.account.as_str())));

    let new = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let url = client.url("keyChange");
    let rollover = |old: &EcdsaKeyPair| {
        let inner = json!({ "account": client.account, "oldKey": jwk(old) }).to_string();
        sign(&new, &json!({ "alg": "ES256", "url": url, "jwk": jwk(&new) }), &inner)
    };
    assert_eq!(client.post(&url, &rollover(&new)).problem(), "malformed", "oldKey is not the old key");
    assert_eq!(client.post(&url, &rollover(&client.key)).status, 200);
    let mut renewed = client;
    renewed.key = new;
    let account = renewed.account.clone();
    assert_eq!(renewed.get(&account).json()["status"], "valid");
    assert_eq!(renewed.post(&account, &json!({ "status": "deactivated" })).json()["status"], "deactivated");
    assert_eq!(renewed.get(&account).problem(), "unauthorized");
    assert_eq!(directory.accounts(), 1);
}

#[test]
fn binds_accounts_to_external_ones() {
    let (id, secret) = ("kid-1".to_owned(), b"0123456789abcdef0123456789abcdef".to_vec());
    let setup = Setup { external_accounts: vec![(id, secret.clone())], ..Setup::default() };
    let directory = Directory::start(setup);
    let client = Client::new(&directory);
    let url = client.url("newAccount");
    let bind = |kid: &str, secret: &[u8], jwk: &Value| {
        let header = json!({ "alg": "HS256", "kid": kid, "url": url });
        let (protected, payload) = (BASE64.encode(header.to_string()), BASE64.encode(jwk.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mac = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let binding = json!({ "protected": protected, "payload": payload, "signature": BASE64.encode(mac) });
        client.new_account(&json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding }))
    };
    let (own, other) = (jwk(&client.key), EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    let unbound = client.new_account(&json!({ "termsOfServiceAgreed": true }));
    assert_eq!(unbound.problem(), "externalAccountRequired");
    assert_eq!(bind("kid-2", &secret, &own).problem(), "unauthorized");
    assert_eq!(bind("kid-1", b"another", &own).problem(), "unauthorized");
    assert_eq!(bind("kid-1", &secret, &jwk(&other)).problem(), "malformed");
    assert_eq!(bind("kid-1", &secret, &own).status, 201);
}
