//! Signed tokens: who comes in by one, on every path, and where the keys come from.

use std::net::SocketAddr;
use std::time::SystemTime;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Flux, Nginx, Response, Scripted, exchange, wait};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Issuer(Ed25519KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    /// Its key set.
    fn keys(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x }] }).to_string()
    }

    /// A token that is good for an hour, with `more` in it.
    fn token(&self, more: &Value) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": "https://idp.test", "aud": "app", "exp": now + 3600, "sub": "ann" });
        more.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        let head = json!({ "alg": "EdDSA", "kid": "1" });
        let message = format!("{}.{}", b64(head.to_string()), b64(claims.to_string()));
        let signature = self.0.sign(message.as_bytes());
        format!("{message}.{}", b64(signature))
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `jwt` with the issuer and audience of [`Issuer`] and `more`, before an upstream and a folder.
fn guarded(origin: SocketAddr, idp: SocketAddr, more: &str) -> Flux {
    Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[upstreams]]\nname = \"idp\"\nservers = [\"{idp}\"]\n\
         [[vhosts]]\nhosts = [\"*\"]\njwt = {{ issuer = \"https://idp.test\", audience = \"app\", {more} }}\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}, {{ path = \"/site/\", static = \"$DIR/files\" }}]\n"
    ))
    .file("files/site/a.txt", b"file")
}

fn ask(at: SocketAddr, line: &str, fields: &str) -> Response {
    exchange(at, &format!("{line} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n"))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

const FILE: &str = "jwks_file = \"keys.json\", claims = { role = \"staff\" }, forward = { sub = \"x-user\" }, \
                    forward_token = false";

#[test]
fn nobody_comes_in_without_a_good_token_by_any_method_or_path() {
    let (origin, issuer) = (Scripted::answering(OK), Issuer::new());
    let flux =
        guarded(origin.address, origin.address, FILE).file("keys.json", issuer.keys().as_bytes()).start();
    let stranger = bearer(&Issuer::new().token(&json!({ "role": "staff" })));
    let expired = bearer(&issuer.token(&json!({ "role": "staff", "exp": 1_000_000_000 })));
    let lines = ["GET /", "HEAD /", "OPTIONS /", "POST /x", "GET /site/a.txt", "GET /site/none"];
    for (fields, status, challenge) in [
        ("", 401, "www-authenticate: bearer realm=\"restricted\"\r\n"),
        (stranger.as_str(), 401, "error=\"invalid_token\"\r\n"),
        (expired.as_str(), 401, "error=\"invalid_token\"\r\n"),
        (bearer(&issuer.token(&json!({}))).as_str(), 403, "error=\"insufficient_scope\"\r\n"),
    ] {
        for line in lines {
            let response = ask(flux.http(), line, fields);
            assert_eq!(response.status, status, "{line} {fields}");
            assert!(response.head.contains(challenge), "{}", response.head);
        }
    }
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n{stranger}\r\n\
                           GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(exchange(flux.http(), &upgrade).status, 401);
    assert_eq!(origin.requests(), 0);
    let _ = ask(flux.http(), "GET /expired", &expired);
    let line = flux.access_line("/expired");
    assert_eq!(
        (&line["error"], &line["error_detail"]),
        (&json!("invalid_token"), &json!("the token is expired"))
    );
}

#[test]
fn the_upstream_learns_the_claims_and_not_the_token() {
    let (origin, issuer) = (Scripted::answering(OK), Issuer::new());
    let flux =
        guarded(origin.address, origin.address, FILE).file("keys.json", issuer.keys().as_bytes()).start();
    let token = issuer.token(&json!({ "role": ["dev", "staff"] }));
    let forged = "X-User: root\r\nX_User: root\r\n";
    let response = ask(flux.http(), "GET /in", &format!("{forged}{}", bearer(&token)));
    assert_eq!(response.status, 200);
    let head = origin.last_head();
    assert_eq!(head.matches("x-user: ann\r\n").count(), 1, "{head}");
    assert!(!head.contains("root") && !head.contains("authorization"), "{head}");
    assert!(!flux.access_line("/in").to_string().contains(&token));
    assert_eq!(ask(flux.http(), "GET /site/a.txt", &bearer(&token)).body, b"file");
}

const FETCHED: &str = "jwks = { upstream = \"idp\", path = \"/keys.json\" }, source = \"cookie:session\"";

#[test]
fn keys_of_an_upstream_are_fetched_and_survive_its_end() {
    let (origin, issuer) = (Scripted::answering(OK), Issuer::new());
    let idp = Nginx::serving(&[("keys.json", issuer.keys().as_bytes())]);
    let flux = guarded(origin.address, idp.address, FETCHED).start();
    let cookie = format!("Cookie: a=b; session={}\r\n", issuer.token(&json!({})));
    let come_in = || (ask(flux.http(), "GET /", &cookie).status == 200).then_some(());
    assert!(wait(come_in).is_some(), "the keys were never read");
    drop(idp);
    flux.signal(nix::sys::signal::Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    flux.wait_for_start_of("key set not read");
    assert_eq!(ask(flux.http(), "GET /", &cookie).status, 200);
    assert_eq!(ask(flux.http(), "GET /", "").status, 401);
}

#[test]
fn without_keys_tokens_let_nobody_in() {
    let (origin, issuer) = (Scripted::answering(OK), Issuer::new());
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}", " ".repeat(300_000));
    let keys = issuer.keys();
    let wrong = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{keys}", keys.len());
    for answer in
        [large.as_str(), wrong.as_str(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "no HTTP\r\n\r\n"]
    {
        let idp = Scripted::answering(answer);
        let flux = guarded(origin.address, idp.address, FETCHED).start();
        flux.wait_for_start_of("key set not read");
        let cookie = format!("Cookie: session={}\r\n", issuer.token(&json!({})));
        for line in ["GET /", "GET /site/a.txt"] {
            assert_eq!(ask(flux.http(), line, &cookie).status, 503, "{line}");
        }
        assert!(idp.last_head().starts_with("get /keys.json http/1.1\r\n"), "{}", idp.last_head());
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_key_set_that_could_sign_or_is_missing_refuses_the_start() {
    let origin = Scripted::answering(OK);
    let file = "jwks_file = \"keys.json\"";
    let missing = guarded(origin.address, origin.address, file).run_to_end();
    assert_eq!(missing.status.code(), Some(78));
    let private = b"{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}";
    let output = guarded(origin.address, origin.address, file).file("keys.json", private).run_to_end();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(78) && said.contains("private or symmetric key"), "{said}");
    assert!(!said.contains("c2VjcmV0"), "{said}");
}
