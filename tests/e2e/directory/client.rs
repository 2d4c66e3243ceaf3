//! A client of ACME that can be told to do it wrong: JWS by hand, HTTP by curl.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::acme_directory::Directory;
use crate::support::{run, wait};

pub(super) struct Client {
    pub(super) key: EcdsaKeyPair,
    pub(super) account: String,
    folder: TempDir,
    pub(super) directory: Value,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let fits = |line: &&str| line.split(':').next().is_some_and(|start| start.eq_ignore_ascii_case(name));
        self.head.lines().find(fits).and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last part of the problem's type.
    pub(super) fn problem(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned()
    }
}

impl Client {
    /// Knows the directory, has a key, and no account yet.
    pub(super) fn new(of: &Directory) -> Self {
        let folder = crate::support::folder();
        std::fs::write(folder.path().join("root.pem"), of.web_root_pem()).unwrap();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let mut client = Self { key, account: String::new(), folder, directory: Value::Null };
        client.directory = client.curl(&[&of.url()]).unwrap().json();
        client
    }

    /// With an account.
    pub(super) fn with_account(of: &Directory) -> Self {
        let mut client = Self::new(of);
        let answer = client.new_account(&json!({ "termsOfServiceAgreed": true }));
        assert_eq!(answer.status, 201, "{answer:?}");
        client.account = answer.header("Location").unwrap().to_owned();
        client
    }

    pub(super) fn new_account(&self, payload: &Value) -> Answer {
        let url = self.url("newAccount");
        let header = json!({ "alg": "ES256", "nonce": self.nonce(), "url": url, "jwk": jwk(&self.key) });
        self.send(&url, &sign(&self.key, &header, &payload.to_string()))
    }

    /// The resource's URL, of the directory.
    pub(super) fn url(&self, resource: &str) -> String {
        self.directory[resource].as_str().unwrap_or_else(|| panic!("no {resource}")).to_owned()
    }

    pub(super) fn nonce(&self) -> String {
        self.curl(&["--head", &self.url("newNonce")]).unwrap().header("Replay-Nonce").unwrap().to_owned()
    }

    pub(super) fn header(&self, url: &str) -> Value {
        json!({ "alg": "ES256", "nonce": self.nonce(), "url": url, "kid": self.account })
    }

    pub(super) fn post(&self, url: &str, payload: &Value) -> Answer {
        self.send(url, &sign(&self.key, &self.header(url), &payload.to_string()))
    }

    /// POST-as-GET.
    pub(super) fn get(&self, url: &str) -> Answer {
        self.send(url, &sign(&self.key, &self.header(url), ""))
    }

    pub(super) fn send(&self, url: &str, body: &Value) -> Answer {
        self.curl(&["-H", "Content-Type: application/jose+json", "-d", &body.to_string(), url]).unwrap()
    }

    /// `None` if there was no answer.
    pub(super) fn curl(&self, arguments: &[&str]) -> Option<Answer> {
        let root = self.folder.path().join("root.pem");
        let always = ["-sS", "-i", "--max-time", "20", "--cacert", root.to_str().unwrap()];
        let output = run("curl", "curl", &[&always, arguments].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head: head.to_owned(), text: body.to_owned() })
    }

    pub(super) fn order(&self, payload: &Value) -> (String, Value) {
        let answer = self.post(&self.url("newOrder"), payload);
        assert_eq!(answer.status, 201, "{answer:?}");
        (answer.header("Location").unwrap().to_owned(), answer.json())
    }

    /// The challenge of that kind, of the order's first authorization.
    pub(super) fn challenge(&self, order: &Value, kind: &str) -> Value {
        let authorization = self.get(order["authorizations"][0].as_str().unwrap()).json();
        let challenges = authorization["challenges"].as_array().unwrap().clone();
        challenges.into_iter().find(|one| one["type"] == kind).unwrap_or_else(|| panic!("{authorization}"))
    }

    pub(super) fn key_authorization(&self, challenge: &Value) -> String {
        format!("{}.{}", challenge["token"].as_str().unwrap(), thumbprint(&self.key))
    }

    /// Says that the answer is there; what became of the challenge.
    pub(super) fn settle(&self, challenge: &Value) -> Value {
        let url = challenge["url"].as_str().unwrap();
        assert_eq!(self.post(url, &json!({})).status, 200);
        let settled = || Some(self.get(url).json()).filter(|one| one["status"] != "processing");
        wait(settled).unwrap()
    }

    /// Asks for the certificate of an order that is ready.
    pub(super) fn finalize(&self, order: &Value, names: &[&str], key: &KeyPair) -> Answer {
        self.post(order["finalize"].as_str().unwrap(), &json!({ "csr": csr(names, key) }))
    }

    pub(super) fn download(&self, order: &str) -> Answer {
        self.get(self.get(order).json()["certificate"].as_str().unwrap())
    }

    /// A file in the client's folder.
    pub(super) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

pub(super) fn dns(name: &str) -> Value {
    json!({ "identifiers": [{ "type": "dns", "value": name }] })
}

/// Answers the next request with that text; the port.
pub(super) fn web(status: &str, text: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{text}\r\n");
    std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(answer.as_bytes());
    });
    port
}

/// A request, in base64url.
pub(super) fn csr(names: &[&str], key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names =
        names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
    BASE64.encode(params.serialize_request(key).unwrap().der())
}

/// Flattened JSON.
pub(super) fn sign(key: &EcdsaKeyPair, header: &Value, payload: &str) -> Value {
    let (protected, payload) = (BASE64.encode(header.to_string()), BASE64.encode(payload));
    let signature = key.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).unwrap();
    json!({ "protected": protected, "payload": payload, "signature": BASE64.encode(signature) })
}

pub(super) fn jwk(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) })
}

/// RFC 7638: serde_json's map is in the order of the letters.
pub(super) fn thumbprint(key: &EcdsaKeyPair) -> String {
    BASE64.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, jwk(key).to_string().as_bytes()))
}
