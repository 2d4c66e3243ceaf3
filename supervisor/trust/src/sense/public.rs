//! Kinds of keys, and the public half by which a key and a certificate are told to belong together.
//!
//! Owns what is compared; computes nothing, so a half that isn't written down can't be known.
//! Follows RFC 3279, RFC 5480, RFC 8410 and RFC 9881.

use std::fmt;

use x509_parser::der_parser::oid;

use super::der::{Elements, Tag, positive, whole_bytes};

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With the bits of its modulus.
    Rsa(usize),
    RsaPss,
    /// On a curve of that name.
    Ec(&'static str),
    /// On a curve that is none of those; of a certificate also one that is told by its numbers.
    OtherEc,
    Ed25519,
    /// With its parameter set.
    MlDsa(u8),
    Unsupported(&'static str),
    Unknown,
}

impl Kind {
    /// By the OID of an algorithm. An RSA key's bits and a curve are told elsewhere.
    pub(super) fn of(oid: &[u8]) -> Self {
        ALGORITHMS.iter().find(|(known, _)| *known == oid).map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// By the OID of a curve.
    pub(super) fn on_curve(oid: &[u8]) -> Self {
        CURVES.iter().find(|(known, _)| *known == oid).map_or(Self::OtherEc, |(_, name)| Self::Ec(name))
    }

    /// By the parameters of a private key (RFC 3279 section 2.3.5): the name of a curve, or all of its
    /// numbers, among which the prime tells the curve. That the others fit is for the library to see.
    pub(super) fn of_parameters(parameters: &mut Elements<'_>) -> Option<Self> {
        match parameters.any()? {
            (Some(Tag::Oid), oid) => Some(Self::on_curve(oid)),
            (Some(Tag::Sequence), numbers) => {
                let mut numbers = Elements::of(numbers);
                numbers.take(Tag::Integer)?;
                let mut field = Elements::of(numbers.take(Tag::Sequence)?);
                field.take(Tag::Oid)?;
                let prime = field.take(Tag::Integer).and_then(positive);
                let curve = PRIMES.iter().find(|(known, _)| Some(*known) == prime);
                Some(curve.map_or(Self::OtherEc, |(_, name)| Self::Ec(name)))
            }
            _ => None,
        }
    }

    /// Whether the proxy's library signs with such a key, the size of RSA apart.
    pub(super) fn signs(self) -> bool {
        match self {
            Self::Rsa(_) | Self::Ed25519 | Self::MlDsa(_) => true,
            Self::Ec(curve) => matches!(curve, "P-256" | "P-384" | "P-521"),
            Self::RsaPss | Self::OtherEc | Self::Unsupported(_) | Self::Unknown => false,
        }
    }

    /// Whether a key of one kind can belong to a certificate of the other.
    pub(super) fn may_be(self, other: Self) -> bool {
        match (self, other) {
            (Self::Rsa(_), Self::Rsa(_)) | (Self::Ec(_), Self::OtherEc) => true,
            (one, other) => one == other,
        }
    }
}

/// As reports have it: `ECDSA P-256`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::RsaPss => f.write_str("RSA-PSS"),
            Self::Ec(curve) => write!(f, "ECDSA {curve}"),
            Self::OtherEc => f.write_str("ECDSA on an unknown curve"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa(set) => write!(f, "ML-DSA-{set}"),
            Self::Unsupported(name) => f.write_str(name),
            Self::Unknown => f.write_str("a key of an unknown kind"),
        }
    }
}

/// The half that both a certificate and a key have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Public<'a> {
    /// Both without leading zeros.
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    /// A point, or whatever else the kind has.
    Bytes(&'a [u8]),
}

impl<'a> Public<'a> {
    /// Of RSAPublicKey's two numbers.
    pub(super) fn rsa(numbers: &mut Elements<'a>) -> Option<Self> {
        let modulus = positive(numbers.take(Tag::Integer)?)?;
        let exponent = positive(numbers.take(Tag::Integer)?)?;
        Some(Self::Rsa { modulus, exponent })
    }

    /// Of the BIT STRING of a SubjectPublicKeyInfo.
    pub(super) fn of_certificate(kind: Kind, bytes: &'a [u8]) -> Option<Self> {
        match kind {
            Kind::Rsa(_) | Kind::RsaPss => {
                let mut numbers = Elements::of(Elements::only(bytes, Tag::Sequence)?);
                Self::rsa(&mut numbers)
            }
            _ => Some(Self::Bytes(bytes)),
        }
    }

    /// Of a BIT STRING in a private key.
    pub(super) fn of_bits(bit_string: &'a [u8]) -> Option<Self> {
        whole_bytes(bit_string).map(Self::Bytes)
    }

    /// `kind` with what only the key itself tells.
    pub(super) fn sized(self, kind: Kind) -> Kind {
        match (kind, self) {
            (Kind::Rsa(_), Self::Rsa { modulus, .. }) => Kind::Rsa(bits(modulus)),
            _ => kind,
        }
    }

    /// Whether both are the same, a point that is written short among them.
    pub(super) fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Bytes([4, whole @ ..]), Self::Bytes([sign @ (2 | 3), x @ ..]))
            | (Self::Bytes([sign @ (2 | 3), x @ ..]), Self::Bytes([4, whole @ ..])) => {
                let parity = whole.last().map_or(0, |last| last & 1);
                whole.len() == 2 * x.len() && whole.starts_with(x) && parity == sign & 1
            }
            _ => self == other,
        }
    }

    /// Whether it is a point that is written short, as TLS does not have it (RFC 8422 section 5.1.2).
    pub(super) const fn is_compressed(self, kind: Kind) -> bool {
        matches!((kind, self), (Kind::Ec(_), Self::Bytes([2 | 3, ..])))
    }
}

fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(unused)
}

const ALGORITHMS: &[(&[u8], Kind)] = &[
    (&oid!(raw 1.2.840.113549.1.1.1), Kind::Rsa(0)),
    (&oid!(raw 1.2.840.113549.1.1.10), Kind::RsaPss),
    (&oid!(raw 1.2.840.10045.2.1), Kind::OtherEc),
    (&oid!(raw 1.3.101.112), Kind::Ed25519),
    (&oid!(raw 2.16.840.1.101.3.4.3.17), Kind::MlDsa(44)),
    (&oid!(raw 2.16.840.1.101.3.4.3.18), Kind::MlDsa(65)),
    (&oid!(raw 2.16.840.1.101.3.4.3.19), Kind::MlDsa(87)),
    (&oid!(raw 1.2.840.10040.4.1), Kind::Unsupported("DSA")),
    (&oid!(raw 1.2.840.113549.1.3.1), Kind::Unsupported("DH")),
    (&oid!(raw 1.3.101.110), Kind::Unsupported("X25519")),
    (&oid!(raw 1.3.101.111), Kind::Unsupported("X448")),
    (&oid!(raw 1.3.101.113), Kind::Unsupported("Ed448")),
];

const CURVES: &[(&[u8], &str)] = &[
    (&oid!(raw 1.2.840.10045.3.1.7), "P-256"),
    (&oid!(raw 1.3.132.0.34), "P-384"),
    (&oid!(raw 1.3.132.0.35), "P-521"),
    (&oid!(raw 1.3.132.0.33), "P-224"),
    (&oid!(raw 1.3.132.0.10), "secp256k1"),
    (&oid!(raw 1.3.36.3.3.2.8.1.1.7), "brainpoolP256r1"),
    (&oid!(raw 1.3.36.3.3.2.8.1.1.11), "brainpoolP384r1"),
    (&oid!(raw 1.3.36.3.3.2.8.1.1.13), "brainpoolP512r1"),
];

/// Of the curves that the proxy signs on (FIPS 186-4, appendix D.1.2).
const PRIMES: &[(&[u8], &str)] = &[
    (
        b"\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        "P-256",
    ),
    (
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
          \xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xff\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
        "P-384",
    ),
    (&P_521, "P-521"),
];
const P_521: [u8; 66] = {
    let mut prime = [0xff; 66];
    prime[0] = 1;
    prime
};
