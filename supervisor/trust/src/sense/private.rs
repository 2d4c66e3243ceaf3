//! What a private key is, by its structure alone.
//!
//! Owns finding the public half in it; copies no byte of it and computes nothing. Follows RFC 8017
//! (PKCS#1), RFC 5915 (SEC1), RFC 5958 (PKCS#8) and RFC 8410.

use super::der::{Elements, Tag};
use super::public::{Kind, Public};
use crate::pem::{KeyForm, PemKey};

/// A key that is whole, as far as its structure shows.
#[derive(Clone, Copy)]
pub(super) struct Private<'a> {
    pub(super) kind: Kind,
    /// None when it isn't written down in the key, which then is computed from the other half.
    pub(super) public: Option<Public<'a>>,
}

impl<'a> Private<'a> {
    /// None when it is damaged.
    pub(super) fn parse(key: &'a PemKey) -> Option<Self> {
        match key.form() {
            KeyForm::Pkcs1 => rsa(key.der()),
            KeyForm::Sec1 => ec(key.der(), None),
            KeyForm::Pkcs8 => pkcs8(key.der()),
        }
    }
}

fn pkcs8(der: &[u8]) -> Option<Private<'_>> {
    let mut fields = Elements::of(Elements::only(der, Tag::Sequence)?);
    let version = fields.take(Tag::Integer)?;
    let mut algorithm = Elements::of(fields.take(Tag::Sequence)?);
    let kind = match Kind::of(algorithm.take(Tag::Oid)?) {
        Kind::OtherEc => Kind::of_parameters(&mut algorithm)?,
        kind => kind,
    };
    let key = fields.take(Tag::OctetString)?;
    let _attributes = fields.take_if(Tag::Context(0));
    let public = fields.take_if(Tag::Context(1));
    if !matches!(version, [0] | [1]) || !fields.is_empty() {
        return None;
    }
    match kind {
        Kind::Rsa(_) => rsa(key),
        Kind::Ec(_) | Kind::OtherEc => ec(key, Some(kind)),
        Kind::Ed25519 => {
            let seed = Elements::only(key, Tag::OctetString)?;
            let public = match public {
                Some(bits) => Some(Public::of_bits(bits)?),
                None => None,
            };
            (seed.len() == ED25519_SEED).then_some(Private { kind, public })
        }
        _ => Some(Private { kind, public: None }),
    }
}

fn rsa(der: &[u8]) -> Option<Private<'_>> {
    let mut numbers = Elements::of(Elements::only(der, Tag::Sequence)?);
    // Version 1 has more than two primes, which nothing in use signs with.
    let version = numbers.take(Tag::Integer)?;
    let public = Public::rsa(&mut numbers)?;
    // The private exponent, two primes, two exponents and a coefficient.
    for _ in 0..6 {
        numbers.take(Tag::Integer)?;
    }
    let kind = if version == [0] { public.sized(Kind::Rsa(0)) } else { MULTI_PRIME };
    (version != [0] || numbers.is_empty()).then_some(Private { kind, public: Some(public) })
}

/// `outside` is what PKCS#8 says around it.
fn ec(der: &[u8], outside: Option<Kind>) -> Option<Private<'_>> {
    let mut fields = Elements::of(Elements::only(der, Tag::Sequence)?);
    let version = fields.take(Tag::Integer)?;
    let scalar = fields.take(Tag::OctetString)?;
    let inside = match fields.take_if(Tag::Context(0)) {
        Some(parameters) => Some(Kind::of_parameters(&mut Elements::of(parameters))?),
        None => None,
    };
    let public = match fields.take_if(Tag::Context(1)) {
        Some(bits) => Some(Public::of_bits(Elements::only(bits, Tag::BitString)?)?),
        None => None,
    };
    let agree = outside.is_none() || inside.is_none() || outside == inside;
    let kind = outside.or(inside).unwrap_or_else(|| by_length(scalar));
    (version == [1] && agree && fields.is_empty()).then_some(Private { kind, public })
}

/// Some leave the curve out, though RFC 5915 forbids it; the library then tries those it signs on.
fn by_length(scalar: &[u8]) -> Kind {
    match scalar.len() {
        32 => Kind::Ec("P-256"),
        48 => Kind::Ec("P-384"),
        66 => Kind::Ec("P-521"),
        _ => Kind::OtherEc,
    }
}

const ED25519_SEED: usize = 32;
const MULTI_PRIME: Kind = Kind::Unsupported("RSA with more than two primes");
