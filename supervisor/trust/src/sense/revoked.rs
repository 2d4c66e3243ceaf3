//! Lists of revoked certificates.
//!
//! Owns the judgement of such a file as a whole; verifies no signature, which is done for each
//! certificate that is looked up. Follows RFC 5280 section 5.

use std::path::Path;

use x509_parser::der_parser::oid;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::text::{span, time};
use super::{kept, refuse, text, warn};
use crate::finding::{Code, Finding, Shown};
use crate::pem;

pub(super) fn judge(path: &Path, bytes: &[u8], now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let unusable = |seen: String| {
        let why = "whether a certificate is revoked could not be told";
        let fix =
            format!("`openssl crl -noout -in {}` must accept it: put the whole list there", Shown(path));
        refuse(path, Code::CrlUnusable, seen, why, fix)
    };
    let lists = pem::revocation_lists(bytes).map_err(|error| unusable(error.to_string()));
    for (at, der) in kept(lists, &mut findings).unwrap_or_default().iter().enumerate() {
        match CertificateRevocationList::from_der(der) {
            Ok(([], list)) => findings.extend(of_list(path, at, &list, now)),
            _ => findings.push(unusable(format!("list {} is no revocation list in DER", at + 1))),
        }
    }
    findings
}

fn of_list(path: &Path, at: usize, list: &CertificateRevocationList<'_>, now: i64) -> Option<Finding> {
    let which = format!("list {} ({})", at + 1, text::name(list.issuer()));
    let delta = oid!(2.5.29.27);
    if list.extensions().iter().any(|extension| extension.oid == delta) {
        let why = "it names only what changed since another list";
        let seen = format!("{which} is a delta");
        return Some(refuse(path, Code::CrlUnusable, seen, why, "put the complete list there"));
    }
    let Some(next) = list.next_update() else {
        let why = "it could be replayed for ever (RFC 5280 section 5.1.2.5)";
        let seen = format!("{which} does not say when the next one comes");
        return Some(refuse(path, Code::CrlUnusable, seen, why, "have it made with a nextUpdate"));
    };
    let (from, until) = (list.last_update().timestamp(), next.timestamp());
    if until < now {
        let seen = format!("{which} EXPIRED {} ago, {}", span(now.saturating_sub(until)), time(until));
        let why = "every certificate it could speak of is refused now, unless on_expired_crl allows it";
        return Some(warn(path, Code::Expired, seen, why, "fetch the next one, and reload"));
    }
    if from > now {
        let seen = format!("{which} is of {}, which is still to come", time(from));
        let why = "a clock is wrong";
        return Some(warn(path, Code::NotYetValid, seen, why, "set the clock of this machine, or the CA's"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(bytes: &[u8]) -> Vec<&'static str> {
        judge(Path::new("/c"), bytes, 0).iter().map(|finding| finding.code.id()).collect()
    }

    #[test]
    fn refuses_what_is_no_list() {
        let certificate = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let empty = b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
        let cut = b"-----BEGIN X509 CRL-----\nMAA=\n";
        for bytes in [&b""[..], b"text", certificate, empty, cut, b"\x30\x82\x01\x00junk"] {
            assert_eq!(codes(bytes), ["crl-unusable"], "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
