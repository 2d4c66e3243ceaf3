//! Signed requests that `instant-acme` does not make as they are needed here: those that bring in a new key.
//!
//! Owns that a key is kept before a CA hears of it: accounts are opened (RFC 8555 section 7.3) and change
//! their key (section 7.3.5) with keys that the caller has already. Keys are ECDSA on P-256 (RFC 7518
//! section 3.4).

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{Client, ClientError};

/// Why it did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum JwsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{detail}")]
    Problem {
        /// `urn:ietf:params:acme:error:...`
        kind: String,
        detail: String,
    },
    #[error("the CA's directory has no {0}")]
    Directory(&'static str),
    #[error("the CA's answer lacks {0}")]
    Answer(&'static str),
    #[error("the account key can't be used")]
    Key,
}

/// The key of an account.
pub(super) struct AccountKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl AccountKey {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn generate() -> Result<Self, JwsError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| JwsError::Key)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| JwsError::Key)?;
        Self::read(pkcs8.as_ref())
    }

    /// The key in PKCS#8.
    ///
    /// # Errors
    /// It is none, or of another kind.
    pub(super) fn read(pkcs8: &[u8]) -> Result<Self, JwsError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        Ok(Self { pair: pair.map_err(|_| JwsError::Key)?, pkcs8: Zeroizing::new(pkcs8.to_vec()) })
    }

    /// In PKCS#8; copies are the caller's to wipe.
    #[must_use]
    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// RFC 7517 section 4, its members in the order that RFC 7638 section 3 wants.
    fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
        let point = self.pair.public_key().as_ref();
        let half =
            |from: usize| BASE64_URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({ "crv": "P-256", "kty": "EC", "x": half(1), "y": half(33) })
    }

    fn sign(&self, header: &Value, payload: &Value) -> Result<Value, JwsError> {
        jws(header, payload, |input| {
            let signature = self.pair.sign(&SystemRandom::new(), input).map_err(|_| JwsError::Key)?;
            Ok(signature.as_ref().to_vec())
        })
    }
}

/// Only that it is one.
impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountKey")
    }
}

/// The account at the CA's own customer service (RFC 8555 section 7.3.4).
pub(super) struct External {
    pub(super) key_id: String,
    key: hmac::Key,
}

impl External {
    /// From the HMAC key itself.
    #[must_use]
    pub(super) fn new(key_id: String, key: &[u8]) -> Self {
        Self { key_id, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    fn bind(&self, account: &AccountKey, url: &str) -> Result<Value, JwsError> {
        let header = json!({ "alg": "HS256", "kid": self.key_id, "url": url });
        jws(&header, &account.jwk(), |input| Ok(hmac::sign(&self.key, input).as_ref().to_vec()))
    }
}

/// Not its key.
impl std::fmt::Debug for External {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("External").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Opens an account, or finds the one that the key has already; returns its URL.
///
/// # Errors
/// [`JwsError`]
pub(super) async fn open_account(
    client: &Client,
    key: &AccountKey,
    contact: &[String],
    external: Option<&External>,
) -> Result<String, JwsError> {
    let url = client.directory("newAccount").ok_or(JwsError::Directory("newAccount"))?;
    let mut payload = json!({ "termsOfServiceAgreed": true, "contact": contact });
    if let Some(external) = external {
        payload["externalAccountBinding"] = external.bind(key, &url)?;
    }
    account_url(
        &post(client, &url, |nonce| {
            key.sign(&json!({ "alg": "ES256", "jwk": key.jwk(), "nonce": nonce, "url": url }), &payload)
        })
        .await?,
    )
}

/// The URL of the account that `key` has, if it has one.
///
/// # Errors
/// [`JwsError`]
pub(super) async fn find_account(client: &Client, key: &AccountKey) -> Result<Option<String>, JwsError> {
    let url = client.directory("newAccount").ok_or(JwsError::Directory("newAccount"))?;
    let payload = json!({ "onlyReturnExisting": true });
    let found = post(client, &url, |nonce| {
        key.sign(&json!({ "alg": "ES256", "jwk": key.jwk(), "nonce": nonce, "url": url }), &payload)
    });
    match found.await {
        Ok(answer) => account_url(&answer).map(Some),
        Err(JwsError::Problem { kind, .. }) if kind.ends_with(":accountDoesNotExist") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes `next` the key of the account `account` in place of `key`.
///
/// # Errors
/// [`JwsError`]
pub(super) async fn change_key(
    client: &Client,
    account: &str,
    key: &AccountKey,
    next: &AccountKey,
) -> Result<(), JwsError> {
    let url = client.directory("keyChange").ok_or(JwsError::Directory("keyChange"))?;
    let inner = next.sign(
        &json!({ "alg": "ES256", "jwk": next.jwk(), "url": url }),
        &json!({ "account": account, "oldKey": key.jwk() }),
    )?;
    post(client, &url, |nonce| {
        key.sign(&json!({ "alg": "ES256", "kid": account, "nonce": nonce, "url": url }), &inner)
    })
    .await?;
    Ok(())
}

fn account_url(answer: &Response<Bytes>) -> Result<String, JwsError> {
    let url = answer.headers().get(http::header::LOCATION).and_then(|url| url.to_str().ok());
    url.map(str::to_owned).ok_or(JwsError::Answer("the account's URL"))
}

/// Posts what `sign` makes of a nonce; a few times where the CA takes none (RFC 8555 section 6.5).
async fn post(
    client: &Client,
    url: &str,
    sign: impl Fn(&str) -> Result<Value, JwsError>,
) -> Result<Response<Bytes>, JwsError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let body = sign(&nonce(client).await?)?.to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(http::header::CONTENT_TYPE, "application/jose+json")
            .body(Full::new(Bytes::from(body)));
        let answer = client.send(request.map_err(|_| JwsError::Answer("a valid URL"))?).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        match problem(&answer) {
            JwsError::Problem { kind, .. } if kind.ends_with(":badNonce") && attempt < ATTEMPTS => {}
            error => return Err(error),
        }
    }
}

async fn nonce(client: &Client) -> Result<String, JwsError> {
    let url = client.directory("newNonce").ok_or(JwsError::Directory("newNonce"))?;
    let request = Request::builder().method(Method::HEAD).uri(url).body(Full::default());
    let answer = client.send(request.map_err(|_| JwsError::Answer("a valid URL"))?).await?;
    let nonce = answer.headers().get("replay-nonce").and_then(|nonce| nonce.to_str().ok());
    nonce.map(str::to_owned).ok_or(JwsError::Answer("a nonce"))
}

/// RFC 7807, as RFC 8555 section 6.7 uses it.
fn problem(answer: &Response<Bytes>) -> JwsError {
    let value: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = text("type").unwrap_or_default();
    let detail = text("detail").unwrap_or_else(|| format!("status {}", answer.status()));
    JwsError::Problem { kind, detail }
}

/// RFC 7515 section 7.2.2.
fn jws(
    header: &Value,
    payload: &Value,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, JwsError>,
) -> Result<Value, JwsError> {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let (protected, payload) = (encode(header), encode(payload));
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
    Ok(json!({ "protected": protected, "payload": payload, "signature": signature }))
}

/// Pebble refuses one nonce in twenty on purpose; more in a row mean that something is wrong.
const ATTEMPTS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_when_it_is_read_again() {
        let key = AccountKey::generate().unwrap();
        let again = AccountKey::read(key.pkcs8()).unwrap();
        assert_eq!(key.jwk(), again.jwk());
        assert!(AccountKey::read(b"no key").is_err());
        let theirs = instant_acme::Key::from_pkcs8_der(key.pkcs8().into());
        assert!(theirs.is_ok());
    }

    #[test]
    fn the_members_of_a_key_stand_in_the_order_of_its_thumbprint() {
        let jwk = AccountKey::generate().unwrap().jwk().to_string();
        let at = |member: &str| jwk.find(member).unwrap();
        assert!(at("\"crv\"") < at("\"kty\"") && at("\"kty\"") < at("\"x\"") && at("\"x\"") < at("\"y\""));
    }
}
