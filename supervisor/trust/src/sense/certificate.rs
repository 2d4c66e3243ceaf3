//! What a certificate says, as far as it is judged.
//!
//! Owns reading it; no signature is verified. The extensions are read one by one, and only those that
//! matter, so an odd one among the others makes no certificate unusable. Follows RFC 5280.

use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::der_parser::asn1_rs::{Any, Class};
use x509_parser::der_parser::oid;
use x509_parser::nom::Parser;
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

use super::der::{Elements, Tag};
use super::names::{self, San};
use super::public::{Kind, Public};
use super::text;

/// One certificate.
pub(super) struct Certificate<'a> {
    parsed: X509Certificate<'a>,
    /// Of basic constraints; none when there are none.
    pub(super) is_ca: Option<bool>,
    /// Of key usage; none when any use is meant.
    pub(super) may_sign: Option<bool>,
    /// Of extended key usage; none when any use is meant.
    pub(super) may_serve: Option<bool>,
    pub(super) names: Vec<San<'a>>,
    /// Whether it says where its issuer's certificate can be fetched.
    pub(super) names_its_issuer: bool,
    /// The OID of an extension that forbids its use to whoever does not know it, as the proxy's library.
    pub(super) demands: Option<String>,
    key_id: Option<&'a [u8]>,
    issuer_key_id: Option<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    /// # Errors
    /// What it is instead.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, &'static str> {
        // The limit of the proxy's library, and of clients that use it.
        if der.len() > usize::from(u16::MAX) {
            return Err("longer than 64 KiB");
        }
        let (rest, parsed) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|_| "no certificate in DER")?;
        if !rest.is_empty() {
            return Err("followed by something else within its block");
        }
        let extensions = Extensions::of(&parsed).ok_or("a certificate with the same extension twice")?;
        extensions.read(parsed).ok_or("a certificate with an extension that can't be read")
    }

    /// Whether it is of the version that has extensions, the only one that TLS clients take of a site.
    pub(super) fn is_v3(&self) -> bool {
        self.parsed.version == X509Version::V3
    }

    /// Whether both places that tell how it is signed say the same (RFC 5280 section 4.1.1.2).
    pub(super) fn is_signed_as_it_says(&self) -> bool {
        self.parsed.signature == self.parsed.signature_algorithm
    }

    /// What it is certified for, in words.
    pub(super) fn subject(&self) -> String {
        text::name(&self.parsed.subject)
    }

    /// Who certified it, in words.
    pub(super) fn issuer(&self) -> String {
        text::name(&self.parsed.issuer)
    }

    /// Seconds since 1970; the certificate is valid at both and between them.
    pub(super) fn validity(&self) -> (i64, i64) {
        let validity = &self.parsed.validity;
        (validity.not_before.timestamp(), validity.not_after.timestamp())
    }

    /// By its names alone. As clients do, they are compared byte by byte.
    pub(super) fn is_self_issued(&self) -> bool {
        self.parsed.issuer.as_raw() == self.parsed.subject.as_raw()
    }

    /// By names and key identifiers. That the signature is right is for clients to find.
    pub(super) fn is_self_signed(&self) -> bool {
        self.is_issued_by(self)
    }

    /// The same of another certificate.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        let same_key = match (self.issuer_key_id, issuer.key_id) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        };
        same_key && self.parsed.issuer.as_raw() == issuer.parsed.subject.as_raw()
    }

    /// Whether both are for the same subject, as when two CAs certified one.
    pub(super) fn has_subject_of(&self, other: &Self) -> bool {
        self.parsed.subject.as_raw() == other.parsed.subject.as_raw()
    }

    /// The kind of its key, and the key.
    pub(super) fn key(&self) -> (Kind, Option<Public<'_>>) {
        let key = &self.parsed.subject_pki;
        let kind = match (Kind::of(key.algorithm.algorithm.as_bytes()), named_curve(&key.algorithm)) {
            (Kind::OtherEc, Some(curve)) => Kind::on_curve(curve),
            (kind, _) => kind,
        };
        match Public::of_certificate(kind, &key.subject_public_key.data) {
            Some(public) => (public.sized(kind), Some(public)),
            None => (kind, None),
        }
    }

    /// The digest of its signature that nobody should trust any more.
    pub(super) fn weak_digest(&self) -> Option<&'static str> {
        let algorithm = &self.parsed.signature_algorithm;
        let oid = algorithm.algorithm.as_bytes();
        if oid == oid!(raw 1.2.840.113549.1.1.10) {
            return pss_digest_is_sha1(algorithm.parameters.as_ref()).then_some("SHA-1");
        }
        WEAK.iter().find(|(known, _)| *known == oid).map(|(_, digest)| *digest)
    }
}

/// The extensions of a certificate, each there once.
struct Extensions<'a> {
    found: Vec<(Vec<u8>, &'a [u8])>,
    demands: Option<String>,
}

impl<'a> Extensions<'a> {
    fn of(parsed: &X509Certificate<'a>) -> Option<Self> {
        let mut found: Vec<(Vec<u8>, &'a [u8])> = Vec::new();
        let mut demands = None;
        for extension in parsed.extensions() {
            let oid = extension.oid.as_bytes();
            if found.iter().any(|(other, _)| other == oid) {
                return None;
            }
            found.push((oid.to_vec(), extension.value));
            if extension.critical && !MAY_BE_CRITICAL.contains(&oid) {
                demands = Some(extension.oid.to_id_string());
            }
        }
        Some(Self { found, demands })
    }

    fn read(&self, parsed: X509Certificate<'a>) -> Option<Certificate<'a>> {
        Some(Certificate {
            parsed,
            demands: self.demands.clone(),
            is_ca: self.get(&oid!(raw 2.5.29.19), is_ca)?,
            may_sign: self.get(&oid!(raw 2.5.29.15), may_sign)?,
            may_serve: self.get(&oid!(raw 2.5.29.37), may_serve)?,
            names: self.get(&oid!(raw 2.5.29.17), names::read)?.unwrap_or_default(),
            names_its_issuer: self.get(&oid!(raw 1.3.6.1.5.5.7.1.1), names_its_issuer)?.unwrap_or(false),
            key_id: self.get(&oid!(raw 2.5.29.14), |value| Elements::only(value, Tag::OctetString))?,
            issuer_key_id: self.get(&oid!(raw 2.5.29.35), issuer_key_id)?.flatten(),
        })
    }

    /// None when it is damaged, none within when it isn't there.
    fn get<T>(&self, oid: &[u8], read: impl Fn(&'a [u8]) -> Option<T>) -> Option<Option<T>> {
        match self.found.iter().find(|(known, _)| known == oid) {
            Some((_, value)) => read(value).map(Some),
            None => Some(None),
        }
    }
}

/// RFC 5280 section 4.2.1.9
fn is_ca(value: &[u8]) -> Option<bool> {
    let mut fields = Elements::of(Elements::only(value, Tag::Sequence)?);
    Some(fields.take_if(Tag::Boolean).is_some_and(|flag| flag != [0]))
}

/// Section 4.2.1.3: digitalSignature is the first bit.
fn may_sign(value: &[u8]) -> Option<bool> {
    let bits = Elements::only(value, Tag::BitString)?;
    Some(bits.get(1).is_some_and(|first| first & 0x80 != 0))
}

/// Section 4.2.1.12: id-kp-serverAuth or anyExtendedKeyUsage.
fn may_serve(value: &[u8]) -> Option<bool> {
    let mut uses = Elements::of(Elements::only(value, Tag::Sequence)?);
    let mut found = false;
    while !uses.is_empty() {
        let oid = uses.take(Tag::Oid)?;
        found |= oid == oid!(raw 1.3.6.1.5.5.7.3.1) || oid == oid!(raw 2.5.29.37.0);
    }
    Some(found)
}

/// Section 4.2.2.1: id-ad-caIssuers.
fn names_its_issuer(value: &[u8]) -> Option<bool> {
    let mut places = Elements::of(Elements::only(value, Tag::Sequence)?);
    let mut found = false;
    while !places.is_empty() {
        let mut place = Elements::of(places.take(Tag::Sequence)?);
        found |= place.take(Tag::Oid)? == oid!(raw 1.3.6.1.5.5.7.48.2);
    }
    Some(found)
}

/// Section 4.2.1.1; it may name the issuer by other means.
fn issuer_key_id(value: &[u8]) -> Option<Option<&[u8]>> {
    let mut fields = Elements::of(Elements::only(value, Tag::Sequence)?);
    Some(fields.take_if(Tag::Context(0)))
}

/// RFC 4055 section 3.1: the digest of RSASSA-PSS is SHA-1 unless it says otherwise.
fn pss_digest_is_sha1(parameters: Option<&Any<'_>>) -> bool {
    let Some(parameters) = parameters else { return true };
    match Elements::of(parameters.data).take_if(Tag::Context(0)) {
        Some(digest) => Elements::only(digest, Tag::Sequence)
            .and_then(|digest| Elements::of(digest).take(Tag::Oid))
            .is_some_and(|oid| oid == oid!(raw 1.3.14.3.2.26)),
        None => true,
    }
}

fn named_curve<'a>(algorithm: &'a AlgorithmIdentifier<'_>) -> Option<&'a [u8]> {
    let parameters = algorithm.parameters.as_ref()?;
    let is_oid = parameters.class() == Class::Universal && parameters.tag().0 == 6;
    is_oid.then_some(parameters.data)
}

/// What webpki knows, by which the proxy loads a leaf: key usage, names, basic constraints, name
/// constraints, CRL distribution points, extended key usage, and timestamps of certificate logs.
const MAY_BE_CRITICAL: &[&[u8]] = &[
    &oid!(raw 2.5.29.15),
    &oid!(raw 2.5.29.17),
    &oid!(raw 2.5.29.19),
    &oid!(raw 2.5.29.30),
    &oid!(raw 2.5.29.31),
    &oid!(raw 2.5.29.37),
    &oid!(raw 1.3.6.1.4.1.11129.2.4.2),
];

const WEAK: &[(&[u8], &str)] = &[
    (&oid!(raw 1.2.840.113549.1.1.2), "MD2"),
    (&oid!(raw 1.2.840.113549.1.1.4), "MD5"),
    (&oid!(raw 1.2.840.113549.1.1.5), "SHA-1"),
    (&oid!(raw 1.3.14.3.2.29), "SHA-1"),
    (&oid!(raw 1.2.840.10040.4.3), "SHA-1"),
    (&oid!(raw 1.2.840.10045.4.1), "SHA-1"),
];
