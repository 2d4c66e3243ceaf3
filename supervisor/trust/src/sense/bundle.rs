//! Certificates of CAs that vouch for clients or upstreams.
//!
//! Owns the judgement of such a file as a whole: a finding names all certificates that share a fault.
//! Follows RFC 5280 sections 4.2.1.9 and 6.1.1.

use std::path::Path;

use super::certificate::Certificate;
use super::{dates, kept, parse, text, unread, usage, warn};
use crate::finding::{Code, Finding, Shown};
use crate::pem;

pub(super) fn judge(path: &Path, bytes: &[u8], now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if pem::holds_a_key(bytes) {
        findings.push(usage::holds_a_key(path));
    }
    let blocks = pem::ca_certificates(bytes).map_err(|error| unread::certificate(path, &error));
    let Some(blocks) = kept(blocks, &mut findings) else { return findings };
    let Some(bundle) = kept(parse(path, &blocks), &mut findings) else { return findings };
    findings.extend(no_cas(path, &bundle));
    let mut dated: Vec<Finding> = Vec::new();
    for (at, certificate) in bundle.iter().enumerate() {
        let finding = dates::judge(path, &which(at, certificate), certificate.validity(), now);
        dated.extend(finding);
    }
    findings.extend(gathered(dated));
    findings
}

/// A certificate of version 1 can't say what it is; as a root it is taken for a CA.
pub(super) fn no_cas(path: &Path, bundle: &[Certificate<'_>]) -> Option<Finding> {
    let is_none =
        |(_, certificate): &(usize, &Certificate<'_>)| certificate.is_v3() && certificate.is_ca != Some(true);
    let found = bundle.iter().enumerate().filter(is_none).map(|(at, certificate)| which(at, certificate));
    let found = usage::listed(found);
    if found.is_empty() {
        return None;
    }
    let why = "it vouches for nobody but the one it was made for";
    let fix = format!(
        "put the certificate of the CA there, which `openssl x509 -noout -issuer -in {}` names",
        Shown(path)
    );
    Some(warn(path, Code::NotACa, format!("no basic constraints CA:TRUE: {found}"), why, fix))
}

/// One finding a code, which tells all that was seen.
fn gathered(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<(Finding, Vec<String>)> = Vec::new();
    for finding in findings {
        match kept.iter_mut().find(|(first, _)| first.code == finding.code) {
            Some((_, seen)) => seen.push(finding.seen),
            None => {
                let seen = vec![finding.seen.clone()];
                kept.push((finding, seen));
            }
        }
    }
    kept.into_iter().map(|(first, seen)| Finding { seen: usage::listed(seen.into_iter()), ..first }).collect()
}

fn which(at: usize, certificate: &Certificate<'_>) -> String {
    format!("certificate {} ({})", at + 1, text::shortened(certificate.subject(), LONGEST_NAME))
}

/// Of a name within a sentence.
const LONGEST_NAME: usize = 80;
