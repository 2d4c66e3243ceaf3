//! Whether a key can be used, and whether it belongs to the certificate.
//!
//! Owns these judgements; the limits are those of the library that signs (aws-lc through rustls).

use std::path::Path;

use super::certificate::Certificate;
use super::private::Private;
use super::public::Kind;
use super::{Pair, refuse, unread, warn};
use crate::finding::{Code, Finding, Shown};
use crate::pem::PemKey;

/// Which certificate of a file a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// By its place.
    Certificate(usize),
    /// To none.
    Mismatch,
    /// The key doesn't have its public half, and the first certificate's key is of its kind.
    Unproven,
    /// There is no key to compare.
    Unknown,
}

pub(super) fn parse<'a>(path: &Path, key: &'a PemKey) -> Result<Private<'a>, Finding> {
    Private::parse(key).ok_or_else(|| unread::damaged_key(path))
}

/// The key alone.
pub(super) fn judge(path: &Path, kind: Kind) -> Option<Finding> {
    let seen = kind.to_string();
    match kind {
        Kind::Rsa(bits) if bits < 2048 => {
            let why = "such a key can be broken; the proxy does not load it";
            Some(refuse(path, Code::KeyWeak, seen, why, unread::new_key(path)))
        }
        Kind::Rsa(bits) if bits <= 8192 => None,
        kind if kind.signs() && !matches!(kind, Kind::Rsa(_)) => None,
        _ => {
            let why = "the proxy signs with RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521, Ed25519 and \
                ML-DSA";
            Some(refuse(path, Code::KeyUnsupported, seen, why, unread::new_key(path)))
        }
    }
}

pub(super) fn fit(key: &Private<'_>, chain: &[Certificate<'_>]) -> Fit {
    let Some(public) = key.public else {
        let may_be = chain.first().is_some_and(|leaf| key.kind.may_be(leaf.key().0));
        return if may_be { Fit::Unproven } else { Fit::Mismatch };
    };
    let belongs = |certificate: &Certificate<'_>| {
        let (kind, other) = certificate.key();
        key.kind.may_be(kind) && other.is_some_and(|other| other.is(public))
    };
    chain.iter().position(belongs).map_or(Fit::Mismatch, Fit::Certificate)
}

/// The key beside its certificate.
pub(super) fn judge_fit(pair: &Pair<'_>, fit: Fit, key: Option<&Private<'_>>) -> Option<Finding> {
    let (cert, path) = (Shown(pair.cert_path), pair.key_path);
    let compare =
        format!("`openssl x509 -noout -pubkey -in {cert}` and `openssl pkey -pubout -in {}`", Shown(path));
    match fit {
        Fit::Certificate(_) | Fit::Unknown => None,
        Fit::Mismatch => {
            let seen = format!("{} that belongs to no certificate in {cert}", key?.kind);
            let fix = format!("name the two files that belong together: {compare} must print the same");
            Some(refuse(path, Code::KeyMismatch, seen, "no handshake would succeed", fix))
        }
        // What can't be used need not be proven.
        Fit::Unproven if judge(path, key?.kind).is_some() => None,
        Fit::Unproven => {
            let seen = format!("{} without its public half", key?.kind);
            let why = "that it belongs to the certificate is proven only when the proxy loads both";
            let fix = format!("compare by hand, {compare}, or write the key anew with its public half");
            Some(warn(path, Code::KeyUnproven, seen, why, fix))
        }
    }
}
