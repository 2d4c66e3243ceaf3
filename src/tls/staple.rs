//! OCSP responses that are sent along with a certificate (RFC 6960; RFC 6066 section 8).
//!
//! Owns reading what one says of a certificate: the little of its DER that tells whom it is about, that it
//! is good, and until when. Clients verify the signature; here a wrong one would be no worse than none.

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::time::ASN1Time;

/// A response that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staple {
    pub(super) response: Vec<u8>,
    /// Seconds since 1970: when there is to be a newer one; `None` where it does not say.
    pub(super) until: Option<i64>,
}

/// Why one is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it is no OCSP response in DER (RFC 6960)")]
    Malformed,
    #[error("it is an error of the responder, not a response about a certificate")]
    Error,
    #[error("it is about another certificate")]
    Other,
    #[error("it says that the certificate is revoked, or that nothing is known of it")]
    NotGood,
    #[error("it is not valid yet")]
    Early,
    #[error("its time is over")]
    Late,
}

/// What `der` says of one certificate.
struct Single<'a> {
    hash: &'a [u8],
    issuer_name: &'a [u8],
    serial: &'a [u8],
    good: bool,
    this_update: i64,
    next_update: Option<i64>,
}

impl Staple {
    /// A response about the first of `chain` that is good at `now`.
    ///
    /// # Errors
    /// [`Unfit`] where it may not be sent.
    pub(super) fn read(der: &[u8], chain: &[CertificateDer<'_>], now: i64) -> Result<Self, Unfit> {
        let leaf = chain.first().ok_or(Unfit::Other)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| Unfit::Other)?;
        let singles = singles(der)?;
        let about = singles.iter().find(|single| single.is_about(&leaf)).ok_or(Unfit::Other)?;
        if !about.good {
            return Err(Unfit::NotGood);
        }
        if about.this_update > now.saturating_add(SKEW) {
            return Err(Unfit::Early);
        }
        if about.next_update.is_some_and(|until| until <= now) {
            return Err(Unfit::Late);
        }
        Ok(Self { response: der.to_vec(), until: about.next_update })
    }
}

impl Single<'_> {
    /// By serial number and the hash of the issuer's name (RFC 6960 section 4.1.1).
    fn is_about(&self, leaf: &X509Certificate<'_>) -> bool {
        let algorithm = match self.hash {
            SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            SHA256 => &digest::SHA256,
            SHA384 => &digest::SHA384,
            SHA512 => &digest::SHA512,
            _ => return false,
        };
        let issuer = digest::digest(algorithm, leaf.issuer().as_raw());
        self.serial == leaf.raw_serial() && self.issuer_name == issuer.as_ref()
    }
}

fn singles(der: &[u8]) -> Result<Vec<Single<'_>>, Unfit> {
    let mut response = Reader(der).sequence()?;
    let status = response.expect(Tag::Enumerated)?;
    if status != [0] {
        return Err(Unfit::Error);
    }
    let mut bytes = response.explicit(0)?.sequence()?;
    if bytes.expect(Tag::Oid)? != BASIC {
        return Err(Unfit::Malformed);
    }
    let mut basic = Reader(bytes.expect(Tag::OctetString)?).sequence()?;
    let mut data = basic.sequence()?;
    // The version, where it is not the first.
    let _ = data.explicit(0);
    // By name or by key.
    let _responder = data.any()?;
    let _produced = data.expect(Tag::GeneralizedTime)?;
    let mut all = data.sequence()?;
    let mut singles = Vec::new();
    while !all.0.is_empty() {
        singles.push(single(all.sequence()?)?);
    }
    Ok(singles)
}

fn single(mut reader: Reader<'_>) -> Result<Single<'_>, Unfit> {
    let mut id = reader.sequence()?;
    let hash = id.sequence()?.expect(Tag::Oid)?;
    let issuer_name = id.expect(Tag::OctetString)?;
    let _issuer_key = id.expect(Tag::OctetString)?;
    let serial = id.expect(Tag::Integer)?;
    let status = reader.any()?;
    let this_update = reader.time()?;
    let next_update = reader.explicit(0).ok().map(|mut next| next.time()).transpose()?;
    let good = status.class() == Class::ContextSpecific && status.tag() == Tag(0);
    Ok(Single { hash, issuer_name, serial, good, this_update, next_update })
}

/// What is left to read of some DER.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn any(&mut self) -> Result<Any<'a>, Unfit> {
        let (rest, any) = Any::from_der(self.0).map_err(|_| Unfit::Malformed)?;
        self.0 = rest;
        Ok(any)
    }

    /// The content of the next value, if it is a `tag`; else it stays.
    fn of(&mut self, class: Class, tag: Tag) -> Result<&'a [u8], Unfit> {
        let (rest, any) = Any::from_der(self.0).map_err(|_| Unfit::Malformed)?;
        if any.class() != class || any.tag() != tag {
            return Err(Unfit::Malformed);
        }
        self.0 = rest;
        Ok(any.data)
    }

    fn expect(&mut self, tag: Tag) -> Result<&'a [u8], Unfit> {
        self.of(Class::Universal, tag)
    }

    fn sequence(&mut self) -> Result<Self, Unfit> {
        self.expect(Tag::Sequence).map(Self)
    }

    fn explicit(&mut self, tag: u32) -> Result<Self, Unfit> {
        self.of(Class::ContextSpecific, Tag(tag)).map(Self)
    }

    fn time(&mut self) -> Result<i64, Unfit> {
        let (rest, time) = ASN1Time::from_der(self.0).map_err(|_| Unfit::Malformed)?;
        self.0 = rest;
        Ok(time.timestamp())
    }
}

/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// 1.3.14.3.2.26
const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
/// 2.16.840.1.101.3.4.2.1 to 3.
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
/// Seconds by which the responder's clock may be ahead.
const SKEW: i64 = 300;

#[cfg(test)]
mod tests;
