//! Tokens as issuers make them, and as attackers do.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding,
};
use fluxheim_config::Source;
use serde_json::{Value, json};

use super::keys::Keys;
use super::*;

const NOW: f64 = 1_800_000_000.0;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// One key of each kind.
struct Issuer {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        Self {
            ed: Ed25519KeyPair::generate().unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    fn set(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let (n, e) = self.rsa_parts();
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(self.ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(&point[1..33]), "y": b64(&point[33..65]) },
            { "kty": "RSA", "kid": "rsa", "use": "sig", "n": b64(n), "e": b64(e) },
        ] })
    }

    fn rsa_parts(&self) -> (Vec<u8>, Vec<u8>) {
        // PKCS#1: SEQUENCE { INTEGER n, INTEGER e }, n with a zero byte in front.
        let der = self.rsa.public_key().as_ref().to_vec();
        (der[9..265].to_vec(), der[der.len() - 3..].to_vec())
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(head.to_string()), b64(claims.to_string()));
        let random = SystemRandom::new();
        let rsa = |how: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(how, &random, message.as_bytes(), &mut signature).unwrap();
            signature
        };
        let signature = match head["alg"].as_str().unwrap() {
            "EdDSA" | "Ed25519" => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            "ES256" => self.ec.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            "PS256" => rsa(&RSA_PSS_SHA256),
            _ => rsa(&RSA_PKCS1_SHA256),
        };
        format!("{message}.{}", b64(signature))
    }
}

fn bearer(issuer: &Issuer, more: &str) -> Bearer {
    let text = format!(
        "[server]\nhttp = [\"0.0.0.0:80\"]\n[defaults]\n\
         jwt = {{ jwks_file = \"k\", issuer = \"https://idp.test\", audience = \"app\", {more} }}\n"
    );
    let config = fluxheim_config::parse(&[Source { path: "f".into(), text }]).unwrap();
    let keys = Keys::parse(issuer.set().to_string().as_bytes()).unwrap();
    Bearer::new(config.defaults.jwt.as_deref().unwrap(), Arc::new(KeyRing::with(keys)))
}

fn judge(bearer: &Bearer, token: &str) -> Result<Vec<(String, String)>, TokenError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    let told = bearer.judge(&headers, NOW)?;
    Ok(told.into_iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
}

fn head(alg: &str, kid: &str) -> Value {
    json!({ "alg": alg, "kid": kid, "typ": "JWT" })
}

fn claims() -> Value {
    json!({ "iss": "https://idp.test", "aud": ["other", "app"], "exp": 1_800_000_060, "sub": "ann" })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn takes_tokens_of_each_algorithm_that_is_named() {
    let issuer = Issuer::new();
    let all = bearer(&issuer, "algorithms = [\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]");
    for (alg, kid) in
        [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed"), ("Ed25519", "ed")]
    {
        let token = issuer.sign(&head(alg, kid), &claims());
        assert_eq!(judge(&all, &token), Ok(vec![]), "{alg}");
        let nameless = issuer.sign(&json!({ "alg": alg }), &claims());
        assert_eq!(judge(&all, &nameless), Ok(vec![]), "{alg} without kid");
    }
    let default = bearer(&issuer, "");
    assert_eq!(judge(&default, &issuer.sign(&head("PS256", "rsa"), &claims())), Err(TokenError::Algorithm));
}

#[test]
fn takes_no_key_for_what_it_was_not_made_for() {
    let issuer = Issuer::new();
    let all = bearer(&issuer, "algorithms = [\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]");
    for alg in ["none", "None", "NONE", "", "HS256", "RS512", "es256", "EdDSA "] {
        let token = issuer.sign(&head(alg, "rsa"), &claims());
        assert_eq!(judge(&all, &token), Err(TokenError::Algorithm), "{alg}");
        let (message, _) = token.rsplit_once('.').unwrap();
        assert!(judge(&all, &format!("{message}.")).is_err(), "{alg} unsigned");
    }
    // Signed well, by another key than the one it names.
    for (alg, kid) in [("RS256", "ec"), ("ES256", "ed"), ("EdDSA", "rsa")] {
        let token = issuer.sign(&head(alg, kid), &claims());
        assert_eq!(judge(&all, &token), Err(TokenError::Signature), "{alg} {kid}");
    }
    let stranger = Issuer::new();
    assert_eq!(judge(&all, &stranger.sign(&head("EdDSA", "ed"), &claims())), Err(TokenError::Signature));
    assert_eq!(judge(&all, &stranger.sign(&head("EdDSA", "new"), &claims())), Err(TokenError::UnknownKey));
    assert!(all.keys.take_missed() && !all.keys.take_missed());
}

#[test]
fn a_changed_token_is_worth_nothing() {
    let issuer = Issuer::new();
    let bearer = bearer(&issuer, "");
    let token = issuer.sign(&head("ES256", "ec"), &claims());
    let parts: Vec<_> = token.split('.').collect();
    let admin = b64(changed("sub", json!("root")).to_string());
    assert_eq!(judge(&bearer, &format!("{}.{admin}.{}", parts[0], parts[2])), Err(TokenError::Signature));
    let other = b64(head("ES256", "ec").to_string().replace("JWT", "jwt"));
    assert_eq!(judge(&bearer, &format!("{other}.{}.{}", parts[1], parts[2])), Err(TokenError::Signature));
    for malformed in [
        String::new(),
        "a.b".to_owned(),
        format!("{token}.x"),
        format!("{}==", token),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "!"),
        format!("{}.{}.{}", b64("[]"), parts[1], parts[2]),
        format!("{}.{}.{}", b64("{\"alg\":\"ES256\",\"alg\":\"none\"}"), parts[1], parts[2]),
    ] {
        assert!(judge(&bearer, &malformed).is_err(), "{malformed}");
    }
    let long = issuer.sign(&head("ES256", "ec"), &changed("pad", json!("x".repeat(9000))));
    assert_eq!(judge(&bearer, &long), Err(TokenError::TooLong));
}

#[test]
fn holds_to_times_issuer_and_audience_and_to_their_types() {
    let issuer = Issuer::new();
    let bearer = bearer(&issuer, "leeway = \"30s\"");
    for (name, value, result) in [
        ("exp", Value::Null, Err(TokenError::NoExpiry)),
        ("exp", json!("1800000060"), Err(TokenError::Malformed)),
        ("exp", json!(1_799_999_971_u64), Ok(vec![])),
        ("exp", json!(1_799_999_970_u64), Err(TokenError::Expired)),
        ("exp", json!(-1), Err(TokenError::Expired)),
        ("nbf", json!(1_800_000_030_u64), Ok(vec![])),
        ("nbf", json!(1_800_000_030.5), Err(TokenError::NotYet)),
        ("nbf", json!("never"), Err(TokenError::Malformed)),
        ("iss", Value::Null, Err(TokenError::Issuer)),
        ("iss", json!("https://idp.test/"), Err(TokenError::Issuer)),
        ("iss", json!(["https://idp.test"]), Err(TokenError::Issuer)),
        ("aud", Value::Null, Err(TokenError::Audience)),
        ("aud", json!("App"), Err(TokenError::Audience)),
        ("aud", json!([]), Err(TokenError::Audience)),
        ("aud", json!("app"), Ok(vec![])),
    ] {
        let token = issuer.sign(&head("EdDSA", "ed"), &changed(name, value.clone()));
        assert_eq!(judge(&bearer, &token), result, "{name} {value}");
    }
}

#[test]
fn what_is_critical_or_meant_for_other_uses_is_refused() {
    let issuer = Issuer::new();
    let bearer = bearer(&issuer, "");
    let with = |name: &str, value: Value| {
        let mut head = head("EdDSA", "ed");
        head[name] = value;
        judge(&bearer, &issuer.sign(&head, &claims()))
    };
    assert_eq!(with("crit", json!(["b64"])), Err(TokenError::Critical));
    assert_eq!(with("crit", json!([])), Err(TokenError::Critical));
    assert_eq!(with("typ", json!("logout+jwt")), Err(TokenError::Type));
    assert_eq!(with("typ", json!("application/at+JWT")), Ok(vec![]));
    assert_eq!(with("jku", json!("https://evil.test/keys")), Ok(vec![]));
}

#[test]
fn asks_for_claims_and_tells_them_to_the_upstream() {
    let issuer = Issuer::new();
    let bearer = bearer(
        &issuer,
        "claims = { role = [\"admin\", \"ops\"], scope = \"read\", \"/realm/groups\" = \"staff\" }, \
         forward = { sub = \"x-user\", role = \"x-roles\", gone = \"x-gone\" }",
    );
    let good = json!({ "iss": "https://idp.test", "aud": "app", "exp": 1_800_000_060, "sub": "ann",
        "role": ["dev", "ops"], "scope": "write read", "realm": { "groups": ["staff"] } });
    let judged = |claims: &Value| judge(&bearer, &issuer.sign(&head("EdDSA", "ed"), claims));
    let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(judged(&good), Ok(vec![told("x-roles", "dev,ops"), told("x-user", "ann")]));
    for (name, value, result) in [
        ("role", json!("dev"), TokenError::Claims),
        ("role", json!({ "ops": true }), TokenError::Claims),
        ("scope", json!("reader"), TokenError::Claims),
        ("realm", json!("staff"), TokenError::Claims),
        ("sub", json!("ann\r\nX-Admin: 1"), TokenError::Unsendable),
        ("sub", json!({}), TokenError::Unsendable),
        ("sub", json!(""), TokenError::Unsendable),
        ("role", json!(["ops", "a,b"]), TokenError::Unsendable),
    ] {
        let mut claims = good.clone();
        claims[name] = value.clone();
        assert_eq!(judged(&claims), Err(result), "{name} {value}");
    }
}

#[test]
fn takes_a_token_from_one_place_only() {
    let issuer = Issuer::new();
    let token = issuer.sign(&head("EdDSA", "ed"), &claims());
    let from = |source: &str, fields: &[(&str, String)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        bearer(&issuer, &format!("source = \"{source}\"")).judge(&headers, NOW).map(|_| ())
    };
    let ours = ("authorization", format!("bearer {token}"));
    assert_eq!(from("authorization", std::slice::from_ref(&ours)), Ok(()));
    assert_eq!(from("authorization", &[ours.clone(), ours.clone()]), Err(TokenError::Missing));
    assert_eq!(from("authorization", &[("authorization", token.clone())]), Err(TokenError::Missing));
    assert_eq!(from("cookie:session", std::slice::from_ref(&ours)), Err(TokenError::Missing));
    assert_eq!(from("cookie:session", &[("cookie", format!("a=b; session={token}"))]), Ok(()));
    let two = ("cookie", format!("session=x; session={token}"));
    assert_eq!(from("cookie:session", &[two]), Err(TokenError::Missing));
    assert_eq!(from("header:X-Token", &[("x-token", token.clone())]), Ok(()));
}

#[test]
fn without_keys_nobody_comes_in() {
    let issuer = Issuer::new();
    let mut bearer = bearer(&issuer, "");
    let token = issuer.sign(&head("EdDSA", "ed"), &claims());
    let full = std::mem::take(&mut bearer.keys);
    assert_eq!(judge(&bearer, &token), Err(TokenError::NoKeys));
    assert_eq!(bearer.challenge(TokenError::NoKeys), None);
    bearer.keys.inherit(&full);
    assert_eq!(judge(&bearer, &token), Ok(vec![]));
}
