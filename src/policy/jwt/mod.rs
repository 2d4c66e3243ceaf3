//! Signed tokens (RFC 7519), taken as RFC 8725 says.
//!
//! Owns what a token must be and say, and what of it an upstream is told. The clock is passed in; keys
//! come from a ring that others fill. Signatures are the cryptographic library's: nothing here computes.

mod claims;
pub mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fluxheim_config::{Jwt, JwtAlgorithm, TokenSource};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::policy::jwt::claims::Claims;
use crate::policy::jwt::keys::{KeyRing, Verified};

/// The rules of one route.
#[derive(Debug)]
pub struct Bearer {
    keys: Arc<KeyRing>,
    issuers: Vec<String>,
    audiences: Option<Vec<String>>,
    algorithms: Vec<JwtAlgorithm>,
    claims: BTreeMap<String, Vec<String>>,
    forward: Vec<(HeaderName, String)>,
    source: TokenSource,
    forward_token: bool,
    leeway: f64,
    realm: String,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// 401
    #[error("the request has no token, or more than one")]
    Missing,
    /// 401
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// 401
    #[error("the token is not three parts of base64url with JSON in them")]
    Malformed,
    /// 401
    #[error("the token is of a type for other uses")]
    Type,
    /// 401
    #[error("the token asks for an extension that is not understood")]
    Critical,
    /// 401
    #[error("the token's algorithm is not one of algorithms")]
    Algorithm,
    /// 401
    #[error("the token names a key that is not in the key set")]
    UnknownKey,
    /// 401
    #[error("the token's signature is not by a key of the key set")]
    Signature,
    /// 401
    #[error("the token does not say when it expires")]
    NoExpiry,
    /// 401
    #[error("the token is expired")]
    Expired,
    /// 401
    #[error("the token is not valid yet")]
    NotYet,
    /// 401
    #[error("the token is by another issuer")]
    Issuer,
    /// 401
    #[error("the token is for another audience")]
    Audience,
    /// 401
    #[error("the token has a claim that no header field can hold")]
    Unsendable,
    /// 403
    #[error("the token does not have the claims that are asked for")]
    Claims,
    /// 503
    #[error("the key set has not been read yet")]
    NoKeys,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Bearer {
    /// Compiles the rules.
    #[must_use]
    pub fn new(jwt: &Jwt, keys: Arc<KeyRing>) -> Self {
        let forward =
            jwt.forward.iter().filter_map(|(name, claim)| Some((name.parse().ok()?, claim.clone())));
        Self {
            keys,
            issuers: jwt.issuers.clone(),
            audiences: jwt.audiences.clone(),
            algorithms: jwt.algorithms.clone(),
            claims: jwt.claims.clone(),
            forward: forward.collect(),
            source: jwt.source.clone(),
            forward_token: jwt.forward_token,
            leeway: jwt.leeway.as_secs_f64(),
            realm: jwt.realm.clone(),
        }
    }

    /// Judges the token of a request at `now`, in seconds since 1970; gives what the upstream is told.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn judge(&self, headers: &HeaderMap, now: f64) -> Result<Vec<(HeaderName, HeaderValue)>, TokenError> {
        let token = self.token(headers).ok_or(TokenError::Missing)?;
        let claims = self.verified(token)?;
        self.check_times(&claims, now)?;
        if !claims.issuer().is_some_and(|issuer| self.issuers.iter().any(|known| known == issuer)) {
            return Err(TokenError::Issuer);
        }
        if self.audiences.as_ref().is_some_and(|audiences| !claims.is_for(audiences)) {
            return Err(TokenError::Audience);
        }
        if !self.claims.iter().all(|(name, values)| claims.has(name, values)) {
            return Err(TokenError::Claims);
        }
        let told = self.forward.iter().filter_map(|(name, claim)| {
            let value = claims.told(claim)?;
            Some(value.map(|value| (name.clone(), value)).ok_or(TokenError::Unsendable))
        });
        told.collect()
    }

    /// The challenge for a request that was judged so (RFC 6750 section 3).
    #[must_use]
    pub fn challenge(&self, error: TokenError) -> Option<HeaderValue> {
        let said = match error {
            TokenError::Missing => "",
            TokenError::NoKeys => return None,
            TokenError::Claims => ", error=\"insufficient_scope\"",
            _ => ", error=\"invalid_token\"",
        };
        HeaderValue::from_str(&format!("Bearer realm=\"{}\"{said}", self.realm)).ok()
    }

    /// The request fields that carry the rules' own words to the upstream.
    pub(super) fn told(&self) -> impl Iterator<Item = HeaderName> {
        self.forward.iter().map(|(name, _)| name.clone())
    }

    /// The field that the upstream must not get, since it holds the token.
    #[must_use]
    pub fn withheld(&self) -> Option<HeaderName> {
        match &self.source {
            _ if self.forward_token => None,
            TokenSource::Authorization => Some(header::AUTHORIZATION),
            TokenSource::Header(name) => name.parse().ok(),
            TokenSource::Cookie(_) => None,
        }
    }

    fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        match &self.source {
            TokenSource::Authorization => {
                let field = single(headers, header::AUTHORIZATION.as_str())?;
                let (scheme, token) = field.split_at_checked(7)?;
                scheme.eq_ignore_ascii_case("bearer ").then(|| token.trim())
            }
            TokenSource::Header(name) => single(headers, name).map(str::trim),
            TokenSource::Cookie(name) => cookie(headers, name),
        }
    }

    fn verified(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MOST_BYTES {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (head, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let head: Header = serde_json::from_slice(&decoded(head)?).map_err(|_| TokenError::Malformed)?;
        // RFC 7515 section 4.1.11: what is critical and not understood makes it invalid.
        if head.crit.is_some() {
            return Err(TokenError::Critical);
        }
        if !head.typ.as_deref().is_none_or(is_for_access) {
            return Err(TokenError::Type);
        }
        let algorithm = algorithm(&head.alg).filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        let signature = decoded(signature)?;
        match self.keys.verify(head.kid.as_deref(), algorithm, message.as_bytes(), &signature) {
            Verified::Good => {}
            Verified::Bad => return Err(TokenError::Signature),
            Verified::UnknownKey => return Err(TokenError::UnknownKey),
            Verified::NoKeys => return Err(TokenError::NoKeys),
        }
        // Read only now: nothing is believed, or spent on, before the signature.
        Claims::parse(&decoded(payload)?).ok_or(TokenError::Malformed)
    }

    fn check_times(&self, claims: &Claims, now: f64) -> Result<(), TokenError> {
        let expires = claims.time("exp").ok_or(TokenError::Malformed)?.ok_or(TokenError::NoExpiry)?;
        if now >= expires + self.leeway {
            return Err(TokenError::Expired);
        }
        let begins = claims.time("nbf").ok_or(TokenError::Malformed)?;
        if begins.is_some_and(|begins| begins > now + self.leeway) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

/// The algorithm that a token or a key calls so; RFC 9864 has a second word for one.
fn algorithm(name: &str) -> Option<JwtAlgorithm> {
    if name == "Ed25519" {
        return Some(JwtAlgorithm::EdDsa);
    }
    JwtAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
}

/// Whether it is a type of token that lets somebody in (RFC 8725 section 3.11, RFC 9068 section 2.1).
fn is_for_access(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// A field that stands there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut fields = headers.get_all(name).iter();
    fields.next().filter(|_| fields.next().is_none())?.to_str().ok()
}

/// A cookie that stands there once: of two, one may be planted from a neighbouring host.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    found.next().filter(|_| found.next().is_none())
}

/// What fits in a request beside all else, and what none in use comes near.
const MOST_BYTES: usize = 8 << 10;

#[cfg(test)]
mod tests;
