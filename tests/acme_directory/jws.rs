//! What requests are signed with (RFC 7515, RFC 7517, RFC 7638; RFC 8555, section 6.2), read strictly.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::problem::Problem;

/// Flattened JSON, nothing unprotected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

/// The protected header. `crit` and whatever else there is would be unknown to us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) url: String,
    pub(super) nonce: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) jwk: Option<Value>,
}

/// A JWS whose signature nobody has looked at yet.
pub(super) struct Jws {
    pub(super) header: Header,
    payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Jws {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let flat: Flattened = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed(format!("no flattened JWS: {error}")))?;
        let header = serde_json::from_slice(&decode(&flat.protected)?)
            .map_err(|error| Problem::malformed(format!("protected header: {error}")))?;
        Ok(Self {
            header,
            payload: decode(&flat.payload)?,
            signed: format!("{}.{}", flat.protected, flat.payload),
            signature: decode(&flat.signature)?,
        })
    }

    /// The payload, once `key` is known to have signed it.
    pub(super) fn verify(&self, key: &Key) -> Result<&[u8], Problem> {
        if self.header.alg != "ES256" {
            let detail = format!("{} is not taken here", self.header.alg);
            return Err(Problem::new(400, "badSignatureAlgorithm", detail));
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| Problem::malformed("the signature is not the key's"))?;
        Ok(&self.payload)
    }

    /// The payload, once that secret is known to have authenticated it (RFC 8555, section 7.3.4).
    pub(super) fn verify_mac(&self, secret: &[u8]) -> Result<&[u8], Problem> {
        if self.header.alg != "HS256" {
            return Err(Problem::malformed(format!("the binding's alg is {}, not HS256", self.header.alg)));
        }
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), self.signed.as_bytes(), &self.signature)
            .map_err(|_| Problem::unauthorized("the binding's MAC is wrong"))?;
        Ok(&self.payload)
    }
}

/// A public key on P-256.
#[derive(Clone, PartialEq)]
pub(super) struct Key {
    /// Uncompressed.
    pub(super) point: Vec<u8>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    d: Option<Value>,
}

impl Key {
    pub(super) fn parse(jwk: &Value) -> Result<Self, Problem> {
        let bad = |detail: String| Problem::new(400, "badPublicKey", detail);
        let jwk: Jwk =
            serde_json::from_value(jwk.clone()).map_err(|error| bad(format!("no JWK of P-256: {error}")))?;
        if jwk.d.is_some() {
            return Err(bad("a private key was sent".into()));
        }
        let (x, y) = (decode(&jwk.x)?, decode(&jwk.y)?);
        if (jwk.kty.as_str(), jwk.crv.as_str(), x.len(), y.len()) != ("EC", "P-256", 32, 32) {
            return Err(bad("keys here are of P-256, coordinates of 32 octets".into()));
        }
        Ok(Self { point: [&[4], &x[..], &y[..]].concat() })
    }

    /// RFC 7638, in base64url.
    pub(super) fn thumbprint(&self) -> String {
        let (x, y) = self.point[1..].split_at(32);
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y));
        encode(digest(&SHA256, jwk.as_bytes()).as_ref())
    }
}

pub(super) fn encode(octets: &[u8]) -> String {
    BASE64.encode(octets)
}

/// base64url without padding; anything else is refused (RFC 8555, section 6.1).
pub(super) fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    BASE64.decode(text).map_err(|error| Problem::malformed(format!("no base64url: {error}")))
}
