//! Which certificate is the leaf, and whether the others lead from it to a root, in order.
//!
//! Owns these judgements. TLS 1.2 asks for each certificate to certify the one before it (RFC 5246
//! section 7.4.2); TLS 1.3 (RFC 8446 section 4.4.2) asks clients to bear others, and most do.

use std::path::Path;

use super::certificate::Certificate;
use super::key::Fit;
use super::{text, warn};
use crate::finding::{Code, Finding, Severity, Shown};

/// How the leaf was told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// The key belongs to it.
    Key,
    /// It stands first, or is the first that is no CA.
    Place,
}

/// The place of the leaf.
pub(super) fn leaf(chain: &[Certificate<'_>], fit: Fit) -> (usize, Certainty) {
    if let Fit::Certificate(at) = fit {
        return (at, Certainty::Key);
    }
    let is_ca = |certificate: &Certificate<'_>| certificate.is_ca == Some(true);
    let guess = chain.iter().position(|certificate| !is_ca(certificate)).unwrap_or(0);
    (guess, Certainty::Place)
}

/// Where every certificate of a file belongs.
pub(super) struct Order {
    leaf: usize,
    /// From the leaf on, each certified by the next, as far as the file goes.
    path: Vec<usize>,
    /// What is on no way from the leaf to a root.
    strays: Vec<usize>,
    is_kept: bool,
}

impl Order {
    /// The leaf and what leads from it to a root, with their places. The root itself is judged by
    /// clients, who have their own copy of it.
    pub(super) fn judged<'a, 'b>(
        &'a self,
        chain: &'a [Certificate<'b>],
    ) -> impl Iterator<Item = (usize, &'a Certificate<'b>)> {
        chain.iter().enumerate().filter(|(at, certificate)| {
            *at == self.leaf || !(self.strays.contains(at) || certificate.is_self_signed())
        })
    }
}

pub(super) fn order(chain: &[Certificate<'_>], leaf: usize) -> Order {
    let issuers = |of: usize| {
        let issued = chain.get(of);
        let is_issuer = move |at: &usize| {
            *at != of
                && issued.zip(chain.get(*at)).is_some_and(|(issued, issuer)| issued.is_issued_by(issuer))
        };
        (0..chain.len()).filter(is_issuer)
    };
    let mut path = vec![leaf];
    let mut reached = vec![leaf];
    let mut next = 0;
    while let Some(&at) = reached.get(next) {
        next += 1;
        for issuer in issuers(at) {
            if !reached.contains(&issuer) {
                // The first way found is the one told: of two CAs that certified one, the file's first.
                if path.last() == Some(&at) {
                    path.push(issuer);
                }
                reached.push(issuer);
            }
        }
    }
    let (belonging, strays): (Vec<_>, Vec<_>) = (0..chain.len()).partition(|at| reached.contains(at));
    let is_kept = belonging.is_sorted_by(|before, after| {
        let pair = chain.get(*before).zip(chain.get(*after));
        // Two for one subject may stand side by side: a client takes the one it likes.
        pair.is_some_and(|(before, after)| before.is_issued_by(after) || before.has_subject_of(after))
    });
    Order { leaf, path, strays, is_kept }
}

pub(super) fn judge(
    path: &Path,
    chain: &[Certificate<'_>],
    order: &Order,
    certainty: Certainty,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if order.leaf != 0 {
        findings.push(not_first(path, chain, order, certainty));
    } else if !order.is_kept {
        let why = "TLS 1.2 has each certificate certify the one before it; some clients go by that";
        findings.push(warn(path, Code::ChainOrder, listed(chain), why, rewrite(path, order)));
    }
    if !order.strays.is_empty() && order.leaf == 0 {
        let seen = format!("{} of no use to the leaf: {}", numbers(&order.strays), listed(chain));
        let why = "every client is sent what it can't use, and some stumble over it";
        findings.push(warn(path, Code::ChainOrder, seen, why, rewrite(path, order)));
    }
    findings.extend(incomplete(path, chain, order));
    findings
}

/// The proxy shows the first certificate as its own, and can't sign for it.
fn not_first(path: &Path, chain: &[Certificate<'_>], order: &Order, certainty: Certainty) -> Finding {
    let leaf = order.leaf + 1;
    let (severity, why) = match certainty {
        Certainty::Key => {
            (Severity::Refuse, format!("the key belongs to certificate {leaf}, which must be the first"))
        }
        Certainty::Place => (
            Severity::Warn,
            format!("certificate {leaf} is the first that is no CA, and the leaf must be first"),
        ),
    };
    Finding { severity, ..warn(path, Code::ChainOrder, listed(chain), why, rewrite(path, order)) }
}

/// Without a store of roots, a root that signs leaves itself can't be told from an intermediate that
/// is missing. A leaf that says where its issuer's certificate can be fetched is one of a public CA,
/// and these sign leaves with intermediates only. That the last of several certificates is certified
/// by a root that clients have is never known here.
fn incomplete(path: &Path, chain: &[Certificate<'_>], order: &Order) -> Option<Finding> {
    let leaf = chain.get(order.leaf)?;
    if order.path.len() > 1 || leaf.is_self_issued() || !leaf.names_its_issuer {
        return None;
    }
    let seen = format!("the leaf alone, certified by {}", text::shortened(leaf.issuer(), LONGEST_NAME));
    let why = "clients that don't fetch missing certificates refuse it; browsers often do fetch, so it looks fine there";
    let fix = format!(
        "append the intermediates of the CA to {}: most ACME clients write both to a file named fullchain",
        Shown(path)
    );
    Some(warn(path, Code::ChainIncomplete, seen, why, fix))
}

/// A certificate as findings name it.
pub(super) fn which(at: usize, leaf: usize, certificate: &Certificate<'_>) -> String {
    let subject = text::shortened(certificate.subject(), LONGEST_NAME);
    if at == leaf { format!("the leaf ({subject})") } else { format!("certificate {} ({subject})", at + 1) }
}

fn rewrite(path: &Path, order: &Order) -> String {
    format!("write {} anew with {}, in this order", Shown(path), numbers(&order.path))
}

fn numbers(places: &[usize]) -> String {
    let plural = if places.len() == 1 { "" } else { "s" };
    let places: Vec<_> = places.iter().map(|at| (at + 1).to_string()).collect();
    format!("certificate{plural} {}", places.join(", "))
}

fn listed(chain: &[Certificate<'_>]) -> String {
    let lines = chain.iter().enumerate().map(|(at, certificate)| {
        let subject = text::shortened(certificate.subject(), LONGEST_NAME);
        let issuer = text::shortened(certificate.issuer(), LONGEST_NAME);
        format!("{} {subject} by {issuer}", at + 1)
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Of a name within a sentence.
const LONGEST_NAME: usize = 80;
