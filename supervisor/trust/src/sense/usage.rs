//! What a certificate is good for: names, uses, and the digest of its signature.
//!
//! Owns these findings. They never refuse, save what no client could read. Follows RFC 5280 section
//! 4.2.1 and RFC 9525.

use std::path::Path;

use fluxheim_config::HostPattern;

use super::certificate::Certificate;
use super::public::Kind;
use super::{names, refuse, text, warn};
use crate::finding::{Code, Finding, Shown};
use crate::object::NamedHost;

/// The leaf's own fields.
pub(super) fn judge(path: &Path, leaf: &Certificate<'_>) -> Vec<Finding> {
    unusable(path, leaf).into_iter().chain(no_server(path, leaf)).collect()
}

/// What the proxy's library refuses to load, or takes for another key.
fn unusable(path: &Path, leaf: &Certificate<'_>) -> Option<Finding> {
    let (kind, key) = leaf.key();
    let (seen, why, fix) = if !leaf.is_v3() {
        let fix =
            "have it made again as version 3, with subjectAltName (`openssl x509 -req`: add `-extfile`)";
        ("the leaf is a certificate of version 1 or 2".to_owned(), "TLS clients take version 3 only", fix)
    } else if kind == Kind::OtherEc {
        let fix =
            "have it certified again, for a key on P-256 as `openssl ec -param_enc named_curve` writes it";
        let seen = "the leaf's key is on a curve that is unknown, or told by its numbers".to_owned();
        (seen, "TLS clients know named curves only (RFC 8422)", fix)
    } else if key.is_some_and(|key| key.is_compressed(kind)) {
        let fix = "have it certified again, for the key as `openssl ec -conv_form uncompressed` writes it";
        (
            "the leaf's key is a compressed point".to_owned(),
            "TLS clients take whole points only (RFC 8422)",
            fix,
        )
    } else if let Some(oid) = &leaf.demands {
        let seen =
            format!("the leaf has the critical extension {}", text::shortened(oid.clone(), LONGEST_OID));
        (seen, "the proxy and many clients don't know it, and must refuse it", "have it made without")
    } else if !leaf.is_signed_as_it_says() {
        let seen = "the leaf names its signature's algorithm in two ways".to_owned();
        (seen, "the proxy and its clients refuse it (RFC 5280 section 4.1.1.2)", "have it made again")
    } else {
        return None;
    };
    Some(refuse(path, Code::CertificateUnusable, seen, why, fix))
}

fn no_server(path: &Path, leaf: &Certificate<'_>) -> Option<Finding> {
    let faults = [
        (leaf.is_ca == Some(true), "basic constraints CA:TRUE"),
        (leaf.may_serve == Some(false), "extended key usage without serverAuth"),
        (leaf.may_sign == Some(false), "key usage without digitalSignature"),
    ];
    let seen: Vec<_> = faults.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    if seen.is_empty() {
        return None;
    }
    let why = "many clients refuse such a certificate for a site";
    let fix = "have it made for a server: CA:FALSE, digitalSignature, serverAuth (openssl req -x509: add `-addext \
        basicConstraints=critical,CA:FALSE`)";
    Some(warn(path, Code::NotAServerCertificate, format!("the leaf has {}", seen.join(", ")), why, fix))
}

pub(super) fn judge_names(path: &Path, leaf: &Certificate<'_>, hosts: &[HostPattern]) -> Option<Finding> {
    let code = Code::NameNotCovered;
    if leaf.names.is_empty() {
        let seen = "no DNS name and no address in subjectAltName";
        let why = "clients don't look at the common name (RFC 9525): no name is covered";
        return Some(warn(
            path,
            code,
            seen,
            why,
            "have it made with the names of the vhosts as subjectAltName",
        ));
    }
    let uncovered = names::uncovered(hosts, &leaf.names);
    if uncovered.is_empty() {
        return None;
    }
    let uncovered = listed(uncovered.into_iter().map(names::shown));
    let seen = format!("for {}, not for {uncovered}", listed(leaf.names.iter().map(names::San::shown)));
    let why = "clients that ask for these hosts refuse it";
    let fix = format!("have it made for {uncovered} as well, or name another certificate in the vhost");
    Some(warn(path, code, seen, why, fix))
}

/// Of hosts that are served whichever certificate fits the name, those that none fits.
pub(super) fn covered_by_none(path: &Path, hosts: &[NamedHost]) -> Finding {
    let uncovered =
        listed(hosts.iter().map(|named| format!("{} of {}", names::shown(&named.host), named.name)));
    let seen = format!("no certificate is for {uncovered}");
    let why = "clients that ask for these hosts get this one, the first of the configuration, and refuse it";
    let fix = "have one made for them, and name it in tls.certificates";
    warn(path, Code::NameNotCovered, seen, why, fix)
}

/// Of the leaf and of intermediates: nobody verifies the signature of a root.
pub(super) fn judge_signature(path: &Path, which: &str, certificate: &Certificate<'_>) -> Option<Finding> {
    if certificate.is_self_signed() {
        return None;
    }
    let digest = certificate.weak_digest()?;
    let seen = format!("{which} is signed with {digest}");
    let why = "such signatures can be forged: clients refuse them";
    Some(warn(path, Code::SignatureWeak, seen, why, "have it made again, signed with SHA-256"))
}

/// A key where everybody may read.
pub(super) fn holds_a_key(path: &Path) -> Finding {
    let fix = format!(
        "take the block out of {}, and make a new key and certificate if others could read it",
        Shown(path)
    );
    let why = "this file is judged and kept in memory as public";
    warn(path, Code::KeyInCertificate, "a private key beside the certificates", why, fix)
}

pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names = names.fuse();
    let mut text = names.by_ref().take(MOST_LISTED).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

/// Names that a line of a report can bear.
const MOST_LISTED: usize = 8;
/// Of an OID within a sentence.
const LONGEST_OID: usize = 40;
