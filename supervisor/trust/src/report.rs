//! The storage report: what was judged, what was found, as text and as JSON.
//!
//! Owns the two forms; the JSON's schema number changes when a reader would break.

use std::fmt;

use serde_json::{Value, json};

use crate::finding::{Finding, Severity, Shown};
use crate::identity::Identity;
use crate::object::Object;

/// What the check found, object by object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageReport {
    /// For whom the files were judged.
    pub identity: Identity,
    /// In the order of the inventory.
    pub objects: Vec<ObjectReport>,
}

/// What the check found about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReport {
    /// The object.
    pub object: Object,
    /// Mode and owner, when it could be reached.
    pub seen: Option<String>,
    /// Empty when all is well.
    pub findings: Vec<Finding>,
}

impl ObjectReport {
    /// Whether a finding forbids its use.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Refuse)
    }

    fn verdict(&self) -> &'static str {
        match (self.is_refused(), self.findings.is_empty()) {
            (true, _) => "refused",
            (false, false) => "warning",
            (false, true) => "ok",
        }
    }
}

impl StorageReport {
    /// Whether nothing is refused; warnings alone leave it clean.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.objects.iter().any(ObjectReport::is_refused)
    }

    /// Every finding, object by object.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.objects.iter().flat_map(|object| &object.findings)
    }

    /// One line of JSON; `docs/storage.md` has the schema.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Identity { uid, gid, groups } = &self.identity;
        json!({
            "schema": 1,
            "clean": self.is_clean(),
            "identity": { "uid": uid, "gid": gid, "groups": groups },
            "objects": self.objects.iter().map(object_json).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

fn object_json(report: &ObjectReport) -> Value {
    json!({
        "role": report.object.role.id(),
        "name": report.object.name,
        "path": report.object.path.to_string_lossy(),
        "verdict": report.verdict(),
        "seen": report.seen,
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "path": finding.path.to_string_lossy(),
        "code": finding.code.id(),
        "severity": finding.severity.id(),
        "seen": finding.seen,
        "why": finding.why,
        "fix": finding.fix,
    })
}

impl fmt::Display for StorageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { uid, gid, groups } = &self.identity;
        writeln!(f, "storage as user {uid}, group {gid}, supplementary groups {groups:?}")?;
        self.objects.iter().try_for_each(|object| write_object(f, object))?;
        let refused = self.objects.iter().filter(|object| object.is_refused()).count();
        let (count, plural) = (self.objects.len(), if self.objects.len() == 1 { "" } else { "s" });
        writeln!(f, "{count} object{plural} judged, {refused} refused")
    }
}

fn write_object(f: &mut fmt::Formatter<'_>, report: &ObjectReport) -> fmt::Result {
    let Object { role, name, path } = &report.object;
    write!(f, "{:<8}{role} of {name}: {}", report.verdict(), Shown(path))?;
    match &report.seen {
        Some(seen) => writeln!(f, ", {seen}")?,
        None => writeln!(f)?,
    }
    for Finding { path, code, severity, seen, why, fix } in &report.findings {
        writeln!(f, "    {} [{code}] {}: {seen}", severity.id(), Shown(path))?;
        writeln!(f, "        why: {why}")?;
        writeln!(f, "        fix: {fix}")?;
    }
    Ok(())
}
