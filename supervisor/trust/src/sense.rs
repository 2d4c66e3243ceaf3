//! What an operator would otherwise learn at 3 am, judged from a certificate file and a key file.
//!
//! Owns the judgement; bytes and the time come in, findings go out. Opens no file, reads no clock and
//! verifies no signature: whether the key belongs to the certificate is told by the public half that
//! both have written down. Follows RFC 5280, RFC 8446 section 4.4.2 and RFC 9525.

mod bundle;
mod certificate;
mod chain;
mod dates;
mod der;
mod key;
mod names;
mod private;
mod public;
mod revoked;
mod text;
mod unread;
mod usage;

use std::path::Path;

use fluxheim_config::HostPattern;

use crate::finding::{Code, Finding, refuse, warn};
use crate::object::NamedHost;
use crate::pem::{self, Instead, PemError, PemKey};
use crate::tickets;
use certificate::Certificate;
use key::Fit;
use private::Private;

/// A certificate file and its key file. The bytes of one that may not be read are none: the other is
/// then judged alone.
pub(crate) struct Pair<'a> {
    pub cert_path: &'a Path,
    pub cert_pem: Option<&'a [u8]>,
    pub key_path: &'a Path,
    pub key_pem: Option<&'a [u8]>,
    /// Of the vhosts that use the pair.
    pub hosts: &'a [HostPattern],
    /// Seconds since 1970.
    pub now: i64,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Sense {
    /// About the certificate file.
    pub certificate: Vec<Finding>,
    /// About the key file.
    pub key: Vec<Finding>,
    /// Of the certificate that the key belongs to; none when no certificate can be read.
    pub facts: Option<CertificateFacts>,
}

/// What is public of a certificate, in words that can stand in a report as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// As they stand there, for comparing; all of them.
    sans: Vec<names::OwnedSan>,
    /// DNS names and addresses that it is for, the first hundred.
    pub names: Vec<String>,
    /// How many more there are.
    pub more_names: usize,
    /// Seconds since 1970: when it begins to be valid.
    pub not_before: i64,
    /// Seconds since 1970: when it ends.
    pub not_after: i64,
    /// `ECDSA P-256`, `RSA 2048`.
    pub key: String,
    /// Who certified it: `CN=R13, O=Let's Encrypt, C=US`.
    pub issuer: String,
}

impl CertificateFacts {
    /// Whether it is for that host (RFC 9525); nothing is asked of a vhost that answers for any.
    pub(crate) fn covers(&self, host: &HostPattern) -> bool {
        names::cover(&self.sans, host)
    }
}

/// Everything that the check would say of a certificate file and a key file with these contents, at
/// `now` in seconds since 1970. Opens nothing: for contents that are in no file yet.
#[must_use]
pub fn judge_contents(certificate: &[u8], key: &[u8], hosts: &[HostPattern], now: i64) -> Vec<Finding> {
    let (cert_path, key_path) = (Path::new("CERT"), Path::new("KEY"));
    let (cert_pem, key_pem) = (Some(certificate), Some(key));
    let Sense { certificate, key, .. } = judge(&Pair { cert_path, cert_pem, key_path, key_pem, hosts, now });
    certificate.into_iter().chain(key).collect()
}

/// Judges a pair, or the one of the two files that could be read.
pub(crate) fn judge(pair: &Pair<'_>) -> Sense {
    let mut sense = Sense::default();
    let key = pair.key_pem.and_then(|pem| {
        let read = PemKey::read(pem).map_err(|error| unread::key(pair.key_path, &error));
        kept(read, &mut sense.key)
    });
    let key = key.as_ref().and_then(|key| kept(key::parse(pair.key_path, key), &mut sense.key));
    if let Some(key) = &key {
        sense.key.extend(key::judge(pair.key_path, key.kind));
    }
    if let Some(pem) = pair.cert_pem {
        certificates(pair, pem, key.as_ref(), &mut sense);
    }
    sense
}

/// Judges the certificates of CAs whose clients are let in, at `now`, in seconds since 1970.
pub(crate) fn judge_ca_bundle(path: &Path, pem: &[u8], now: i64) -> Vec<Finding> {
    bundle::judge(path, pem, now)
}

/// Judges lists of revoked certificates, likewise.
pub(crate) fn judge_revocation_lists(path: &Path, bytes: &[u8], now: i64) -> Vec<Finding> {
    revoked::judge(path, bytes, now)
}

/// Judges keys of session tickets.
pub(crate) fn judge_ticket_keys(path: &Path, bytes: &[u8]) -> Vec<Finding> {
    let bad = |bad: tickets::BadTicketKeys| {
        let why = "the proxy does not start with it, nor take it";
        refuse(path, Code::TicketKeysUnusable, bad, why, bad.fix())
    };
    tickets::ticket_secrets(bytes).map_err(bad).err().into_iter().collect()
}

/// What is to be said of a file of CAs in which certificates are that vouch for nobody else. Nothing where it
/// can't be read.
#[must_use]
pub fn no_cas(path: &Path, pem: &[u8]) -> Option<Finding> {
    bundle::no_cas(path, &parse(path, &pem::ca_certificates(pem).ok()?).ok()?)
}

/// Says of hosts whose vhosts name no certificate that none covers them.
pub(crate) fn covered_by_none(path: &Path, hosts: &[NamedHost]) -> Finding {
    usage::covered_by_none(path, hosts)
}

fn certificates(pair: &Pair<'_>, pem: &[u8], key: Option<&Private<'_>>, sense: &mut Sense) {
    let path = pair.cert_path;
    let blocks = pem::certificate_chain(pem);
    // Where a key is all that there is, it is no certificate's file.
    let alone = matches!(blocks, Err(PemError::NoCertificate(Instead::PrivateKey)));
    if path != pair.key_path && !alone && pem::holds_a_key(pem) {
        sense.certificate.push(usage::holds_a_key(path));
    }
    let blocks = blocks.map_err(|error| unread::certificate(path, &error));
    let Some(blocks) = kept(blocks, &mut sense.certificate) else { return };
    let Some(chain) = kept(parse(path, &blocks), &mut sense.certificate) else { return };
    let fit = key.map_or(Fit::Unknown, |key| key::fit(key, &chain));
    sense.key.extend(key::judge_fit(pair, fit, key));
    let (leaf, certainty) = chain::leaf(&chain, fit);
    let Some(certificate) = chain.get(leaf) else { return };
    let order = chain::order(&chain, leaf);
    let found = &mut sense.certificate;
    found.extend(chain::judge(path, &chain, &order, certainty));
    found.extend(usage::judge(path, certificate));
    found.extend(usage::judge_names(path, certificate, pair.hosts));
    for (number, certificate) in order.judged(&chain) {
        let which = chain::which(number, leaf, certificate);
        found.extend(dates::judge(path, &which, certificate.validity(), pair.now));
        found.extend(usage::judge_signature(path, &which, certificate));
    }
    sense.facts = Some(facts(certificate));
}

/// Every certificate, or the first that can't be read.
fn parse<'a>(path: &Path, blocks: &'a [Vec<u8>]) -> Result<Vec<Certificate<'a>>, Finding> {
    let numbered = blocks.iter().enumerate();
    numbered
        .map(|(at, der)| Certificate::parse(der).map_err(|what| unread::damaged(path, at + 1, what)))
        .collect()
}

fn facts(certificate: &Certificate<'_>) -> CertificateFacts {
    let (not_before, not_after) = certificate.validity();
    CertificateFacts {
        sans: certificate.names.iter().map(names::OwnedSan::from).collect(),
        names: certificate.names.iter().take(MOST_NAMES).map(names::San::shown).collect(),
        more_names: certificate.names.len().saturating_sub(MOST_NAMES),
        not_before,
        not_after,
        key: certificate.key().0.to_string(),
        issuer: certificate.issuer(),
    }
}

fn kept<T>(result: Result<T, Finding>, findings: &mut Vec<Finding>) -> Option<T> {
    result.map_err(|finding| findings.push(finding)).ok()
}

/// Names of a certificate that a report shows.
const MOST_NAMES: usize = 100;

#[cfg(test)]
mod tests;
