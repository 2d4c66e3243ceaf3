//! The storage report: what was judged, what was found, as text and as JSON.
//!
//! Owns the two forms; `docs/storage.schema.json` is the JSON's, and its number changes when a
//! reader would break.

mod json;
mod text;

use crate::finding::{Finding, Severity};
use crate::identity::Identity;
use crate::inspect::Inspection;
use crate::object::Object;
use crate::repair::Repaired;
use crate::seen::Seen;
use crate::sense::CertificateFacts;

/// What the check found, object by object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageReport {
    /// For whom the files were judged.
    pub identity: Identity,
    /// In the order of the inventory.
    pub objects: Vec<ObjectReport>,
    /// Threads of the check that a mount which does not answer still holds.
    pub(crate) stuck: usize,
}

/// What the check found about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReport {
    /// The object.
    pub object: Object,
    /// What it is and where it lies, when it could be reached.
    pub seen: Option<Seen>,
    /// Empty when all is well.
    pub findings: Vec<Finding>,
    /// How many more there were; none is worse than the worst of these.
    pub more_findings: usize,
    /// Modes that were tightened before it was judged, when that was asked for.
    pub repaired: Vec<Repaired>,
    /// What a certificate says of itself, when it was read.
    pub certificate: Option<CertificateFacts>,
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything may be used; there may be warnings.
    Clean,
    /// Not everything, but time alone may mend it.
    MayHeal,
    /// Not everything, and somebody must mend it.
    Refused,
}

impl ObjectReport {
    pub(crate) fn new(object: Object, inspection: Inspection) -> Self {
        let Inspection { findings, left_out: more_findings, seen, .. } = inspection;
        Self { object, seen, findings, more_findings, repaired: Vec::new(), certificate: None }
    }

    /// Whether a finding forbids its use.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| !finding.severity.allows_use())
    }

    /// `ok`, `warning`, `unknown` or `refused`: the worst of its findings.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.findings.iter().map(|finding| finding.severity).max() {
            None => "ok",
            Some(Severity::Warn) => "warning",
            Some(Severity::Unknown) => "unknown",
            Some(Severity::Refuse) => "refused",
        }
    }
}

impl StorageReport {
    /// Whether everything may be used; warnings alone leave it clean.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.outcome() == Outcome::Clean
    }

    /// What it comes to as a whole.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let forbidding = self.findings().filter(|finding| !finding.severity.allows_use());
        let worst = forbidding.map(|finding| match finding.code.may_heal() {
            true => Outcome::MayHeal,
            false => Outcome::Refused,
        });
        worst.max().unwrap_or(Outcome::Clean)
    }

    /// Every finding, object by object.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.objects.iter().flat_map(|object| &object.findings)
    }
}

#[cfg(test)]
mod tests;
