//! What an upstream is told of a client's certificate, and how it can tell that it is us who say so.
//!
//! Owns the form of the fields: RFC 9440 for the certificate, structured fields (RFC 9651) for names, HTTP
//! Message Signatures (RFC 9421) with hmac-sha256 for the proof. Pure: the time comes in.

use std::fmt::Write;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fluxheim_config::ClientIdentity as Config;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::types::{ClientIdentity, San};

/// What a client must never say: the fields of RFC 9440.
pub static FIELDS: [HeaderName; 2] = [CLIENT_CERT, CLIENT_CERT_CHAIN];
/// The fields of a signature. Where we sign, a client's own would stand beside ours.
pub static SIGNATURE_FIELDS: [HeaderName; 2] = [SIGNATURE, SIGNATURE_INPUT];

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// `client_identity`, compiled.
#[derive(Debug)]
pub struct Told {
    certificate: bool,
    chain: bool,
    subject: Option<HeaderName>,
    san: Option<HeaderName>,
    fingerprint: Option<HeaderName>,
    pub signer: Option<Arc<Signer>>,
}

impl Told {
    /// Compiles what is to be told.
    #[must_use]
    pub fn new(config: &Config, signer: Option<Arc<Signer>>) -> Self {
        // The configuration takes no name that is none.
        let name = |name: &Option<String>| name.as_ref().and_then(|name| name.parse().ok());
        Self {
            certificate: config.certificate,
            chain: config.chain,
            subject: name(&config.subject_header),
            san: name(&config.san_header),
            fingerprint: name(&config.fingerprint_header),
            signer,
        }
    }

    /// The names of the operator's own.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.subject, &self.san, &self.fingerprint].into_iter().flatten()
    }

    /// What to say of `client`. A value that no field can hold is not said.
    #[must_use]
    pub fn fields(&self, client: &ClientIdentity) -> Vec<(HeaderName, HeaderValue)> {
        let (leaf, rest) = client.chain.split_first().unzip();
        let certificate = leaf.filter(|_| self.certificate).map(|der| byte_sequence(der));
        let chain = rest.filter(|rest| self.chain && !rest.is_empty());
        let chain =
            chain.map(|rest| rest.iter().map(|der| byte_sequence(der)).collect::<Vec<_>>().join(", "));
        let texts = [
            (Some(CLIENT_CERT), certificate),
            (Some(CLIENT_CERT_CHAIN), chain),
            (self.subject.clone(), Some(client.subject.clone()).filter(|subject| !subject.is_empty())),
            (self.san.clone(), Some(names(&client.sans)).filter(|names| !names.is_empty())),
            (self.fingerprint.clone(), Some(client.fingerprint_text())),
        ];
        let said = texts.into_iter().filter_map(|(name, text)| {
            let value = HeaderValue::from_str(&text?).ok()?;
            Some((name?, value))
        });
        said.collect()
    }

    /// The fields that a signature covers, of those that the request has.
    fn covered(&self) -> impl Iterator<Item = &HeaderName> {
        FIELDS.iter().chain(self.names())
    }
}

/// RFC 9440 section 2.1.
fn byte_sequence(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

/// A list of strings: `"DNS:a.example", "URI:spiffe://example/a"`.
fn names(sans: &[San]) -> String {
    let string = |san: &San| format!("\"{}\"", san.to_string().replace('\\', "\\\\").replace('"', "\\\""));
    sans.iter().map(string).collect::<Vec<_>>().join(", ")
}

/// Signs requests.
pub struct Signer {
    key: hmac::Key,
    key_id: String,
}

/// A secret that others could guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret has {0} bytes, and must have {LEAST_KEY} or more: make one with `openssl rand -hex 32`")]
pub struct ShortKey(usize);

/// What a signature is made of beside the fields.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    pub method: &'a str,
    /// As the upstream gets it.
    pub authority: &'a str,
    /// Of the upstream, without the query.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// Seconds since 1970.
    pub created: u64,
}

impl Signer {
    /// With the secret of a file; a line break at its end is none of it.
    ///
    /// # Errors
    /// [`ShortKey`]
    pub fn new(secret: &[u8], key_id: &str) -> Result<Self, ShortKey> {
        let secret =
            secret.strip_suffix(b"\n").map_or(secret, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if secret.len() < LEAST_KEY {
            return Err(ShortKey(secret.len()));
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), key_id: key_id.to_owned() })
    }

    /// `Signature-Input` and `Signature`. `None` where a part of the request can't be signed, which then
    /// must not be sent.
    #[must_use]
    pub fn sign(&self, told: &Told, signed: &Signed<'_>) -> Option<[(HeaderName, HeaderValue); 2]> {
        let (base, parameters) = self.base(told, signed)?;
        let tag = hmac::sign(&self.key, base.as_bytes());
        let input = HeaderValue::from_str(&format!("{LABEL}={parameters}")).ok()?;
        let signature = HeaderValue::from_str(&format!("{LABEL}={}", byte_sequence(tag.as_ref()))).ok()?;
        Some([(SIGNATURE_INPUT, input), (SIGNATURE, signature)])
    }

    /// The signature base and its parameters (RFC 9421 section 2.5).
    fn base(&self, told: &Told, signed: &Signed<'_>) -> Option<(String, String)> {
        let authority = signed.authority.to_ascii_lowercase();
        let query = format!("?{}", signed.query.unwrap_or_default());
        let mut parts: Vec<(String, String)> = vec![
            ("@method".into(), signed.method.into()),
            ("@authority".into(), authority),
            ("@path".into(), signed.path.into()),
            ("@query".into(), query),
        ];
        for name in told.covered().filter(|name| signed.headers.contains_key(*name)) {
            let values = signed.headers.get_all(name).iter().map(|value| value.to_str().map(str::trim));
            parts.push((name.as_str().to_owned(), values.collect::<Result<Vec<_>, _>>().ok()?.join(", ")));
        }
        let names: Vec<_> = parts.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let parameters = format!(
            "({});created={};keyid=\"{}\";alg=\"hmac-sha256\"",
            names.join(" "),
            signed.created,
            self.key_id
        );
        let mut base = String::new();
        for (name, value) in parts {
            // Writing to a String can't fail.
            let _ = writeln!(base, "\"{name}\": {value}");
        }
        let _ = write!(base, "\"@signature-params\": {parameters}");
        Some((base, parameters))
    }
}

/// Nothing of the secret.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.key_id)
    }
}

/// The host as the target URI of a request over that scheme has it: without the scheme's own port (RFC 9421
/// section 2.2.3).
#[must_use]
pub fn authority(headers: &HeaderMap, tls: bool) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let port = if tls { ":443" } else { ":80" };
    Some(host.strip_suffix(port).unwrap_or(host))
}

/// How the signature is called among those of a request.
const LABEL: &str = "fluxheim";
/// As much as the digest has (RFC 2104 section 3).
const LEAST_KEY: usize = 32;

#[cfg(test)]
mod tests;
