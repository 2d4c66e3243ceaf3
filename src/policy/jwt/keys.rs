//! Key sets (RFC 7517): the public keys that tokens are verified with.
//!
//! Owns which keys are taken: those of an algorithm that Fluxheim verifies, meant for signatures, strong
//! enough. Others in the set are for somebody else and are left out. A set with a private key is refused
//! as a whole: it has leaked.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fluxheim_config::JwtAlgorithm;
use serde::Deserialize;
use serde_json::Value;

/// Most bytes of a key set.
pub const MOST_BYTES: usize = 256 << 10;

/// The keys of one set.
pub struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: JwtAlgorithm,
    public: ParsedPublicKey,
}

/// Why a key set can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is no JSON of the right shape.
    #[error("it is not a JWK Set: {{ \"keys\": [...] }}")]
    Shape,
    /// Over [`MOST_BYTES`], or over a hundred keys.
    #[error("it is larger than any key set: 256 KiB and 100 keys are the most")]
    TooLarge,
    /// It has the means to sign.
    #[error("it holds a private or symmetric key: whoever reads it can sign; give the public keys alone")]
    Private,
    /// None that can be used.
    #[error(
        "it has no key for signatures of RS256, PS256, ES256 or EdDSA (RSA keys have 2048 bits at least)"
    )]
    NoKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a key set.
    ///
    /// # Errors
    /// [`KeysError`] when not one key of it can be used, or it must not exist.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeysError> {
        if bytes.len() > MOST_BYTES {
            return Err(KeysError::TooLarge);
        }
        let set: Set = serde_json::from_slice(bytes).map_err(|_| KeysError::Shape)?;
        if set.keys.len() > MOST_KEYS {
            return Err(KeysError::TooLarge);
        }
        if set.keys.iter().any(|key| ["d", "k", "p"].iter().any(|part| key.get(part).is_some())) {
            return Err(KeysError::Private);
        }
        let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<_> = jwks.flat_map(|jwk| keys(&jwk)).collect();
        if keys.is_empty() { Err(KeysError::NoKey) } else { Ok(Self(keys)) }
    }

    /// Whether there is a key of that name for any algorithm.
    fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether `signature` is one of `message` by a key of that name and algorithm; a token that names no
    /// key may be signed with any, of which a few are tried.
    fn verify(&self, id: Option<&str>, algorithm: JwtAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let fit =
            |key: &&Key| key.algorithm == algorithm && id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut tried = self.0.iter().filter(fit).take(MOST_TRIED);
        tried.any(|key| key.public.verify_sig(message, signature).is_ok())
    }
}

/// Each key once for every algorithm that it may be used with: a token's own word for its algorithm can
/// never make a key do what it was not made for (RFC 8725 section 3.1).
fn keys(jwk: &Jwk) -> Vec<Key> {
    let for_signatures = jwk.r#use.as_deref().is_none_or(|used| used == "sig")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !for_signatures {
        return Vec::new();
    }
    let named = |algorithm: &JwtAlgorithm| {
        jwk.alg.as_deref().is_none_or(|alg| super::algorithm(alg) == Some(*algorithm))
    };
    let algorithms = JwtAlgorithm::ALL.into_iter().filter(named);
    algorithms
        .filter_map(|algorithm| Some(Key { id: jwk.kid.clone(), algorithm, public: public(jwk, algorithm)? }))
        .collect()
}

fn public(jwk: &Jwk, algorithm: JwtAlgorithm) -> Option<ParsedPublicKey> {
    let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
    match (jwk.kty.as_str(), jwk.crv.as_deref(), algorithm) {
        ("RSA", _, JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256) => {
            let (n, e) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
            // The first bit of a modulus is set: so many bytes are 2048 bits.
            let strong = n.len() >= 256 && n.first().is_some_and(|first| *first >= 0x80);
            let params = match algorithm {
                JwtAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                JwtAlgorithm::Rs256 | JwtAlgorithm::Es256 | JwtAlgorithm::EdDsa => {
                    &RSA_PKCS1_2048_8192_SHA256
                }
            };
            strong.then(|| PublicKeyComponents { n, e }.to_parsed_public_key(params).ok()).flatten()
        }
        ("EC", Some("P-256"), JwtAlgorithm::Es256) => {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            // RFC 7518 section 6.2.1.2: always the curve's full width.
            let point = [&[4_u8][..], &x, &y].concat();
            (x.len() == 32 && y.len() == 32)
                .then(|| ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok())
                .flatten()
        }
        ("OKP", Some("Ed25519"), JwtAlgorithm::EdDsa) => ParsedPublicKey::new(&ED25519, bytes(&jwk.x)?).ok(),
        _ => None,
    }
}

/// How many, and nothing of them.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// The keys that hold now; `None` until there are any.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: ArcSwapOption<Keys>,
    missed: AtomicBool,
}

/// What a look for a key gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verified {
    Good,
    Bad,
    /// The token names a key that is not there.
    UnknownKey,
    /// There are no keys yet.
    NoKeys,
}

impl KeyRing {
    /// A ring with these keys.
    #[must_use]
    pub fn with(keys: Keys) -> Self {
        let ring = Self::default();
        ring.replace(keys);
        ring
    }

    /// Puts `keys` in place of those there are.
    pub fn replace(&self, keys: Keys) {
        self.keys.store(Some(std::sync::Arc::new(keys)));
    }

    /// Takes what `earlier` holds, if this has none yet.
    pub fn inherit(&self, earlier: &Self) {
        if self.keys.load().is_none() {
            self.keys.store(earlier.keys.load_full());
        }
    }

    /// Whether a token named a key that is not there since this was last asked: the set may have a new one.
    #[must_use]
    pub fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::Relaxed)
    }

    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: JwtAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Verified {
        let keys = self.keys.load();
        let Some(keys) = keys.as_deref() else { return Verified::NoKeys };
        if keys.verify(id, algorithm, message, signature) {
            return Verified::Good;
        }
        if id.is_some_and(|id| !keys.knows(id)) {
            self.missed.store(true, Ordering::Relaxed);
            return Verified::UnknownKey;
        }
        Verified::Bad
    }
}

const MOST_KEYS: usize = 100;
/// Verifications that one token without a key's name may cost.
const MOST_TRIED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_public_keys_for_signatures_and_leaves_the_others_out() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let set =
            |key: &str| Keys::parse(format!("{{\"keys\": [{key}]}}").as_bytes()).map(|keys| keys.0.len());
        assert_eq!(
            set(&format!("{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"{x}\", \"more\": 1}}")),
            Ok(1)
        );
        for other in [
            format!("{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"{x}\", \"use\": \"enc\"}}"),
            format!("{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"{x}\", \"key_ops\": [\"encrypt\"]}}"),
            format!("{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"{x}\", \"alg\": \"ES256\"}}"),
            format!("{{\"kty\": \"OKP\", \"crv\": \"X25519\", \"x\": \"{x}\"}}"),
            format!("{{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"{x}\", \"y\": \"{x}\"}}"),
            "{\"kty\": \"EC\", \"crv\": \"P-256\"}".to_owned(),
            format!(
                "{{\"kty\": \"RSA\", \"n\": \"{}\", \"e\": \"AQAB\"}}",
                URL_SAFE_NO_PAD.encode([0xff; 128])
            ),
            "{\"kty\": 1}".to_owned(),
            "7".to_owned(),
        ] {
            assert_eq!(set(&other), Err(KeysError::NoKey), "{other}");
        }
    }

    #[test]
    fn refuses_what_is_no_set_or_could_sign() {
        for (text, error) in [
            ("", KeysError::Shape),
            ("{}", KeysError::Shape),
            ("[]", KeysError::Shape),
            ("{\"keys\": []}", KeysError::NoKey),
            ("{\"keys\": [{\"kty\": \"oct\", \"k\": \"AA\"}]}", KeysError::Private),
            (
                "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"\", \"d\": \"\"}]}",
                KeysError::Private,
            ),
        ] {
            assert_eq!(Keys::parse(text.as_bytes()).unwrap_err(), error, "{text}");
        }
        let many = format!("{{\"keys\": [{}1]}}", "1,".repeat(100));
        assert_eq!(Keys::parse(many.as_bytes()).unwrap_err(), KeysError::TooLarge);
        assert_eq!(Keys::parse(&[b' '; MOST_BYTES + 1]).unwrap_err(), KeysError::TooLarge);
    }
}
