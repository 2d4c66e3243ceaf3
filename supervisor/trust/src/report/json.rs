//! The report as JSON, one line; `docs/storage.schema.json` is its schema.

use serde_json::{Value, json};

use super::{ObjectReport, StorageReport};
use crate::finding::Finding;
use crate::identity::Identity;
use crate::repair::Repaired;
use crate::seen::{DeliverySeen, MountSeen, Seen};
use crate::sense::CertificateFacts;

/// Changes when a reader would break.
const SCHEMA: u32 = 2;

impl StorageReport {
    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Identity { uid, gid, groups } = &self.identity;
        json!({
            "schema": SCHEMA,
            "clean": self.is_clean(),
            "identity": { "uid": uid, "gid": gid, "groups": groups },
            "objects": self.objects.iter().map(object).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

fn object(report: &ObjectReport) -> Value {
    json!({
        "role": report.object.role.id(),
        "name": report.object.name,
        "path": report.object.path.to_string_lossy(),
        "verdict": report.verdict(),
        "seen": report.seen.as_ref().map(seen),
        "certificate": report.certificate.as_ref().map(certificate),
        "repaired": report.repaired.iter().map(repaired).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "more_findings": report.more_findings,
    })
}

fn seen(seen: &Seen) -> Value {
    let links = seen
        .links
        .iter()
        .map(|(path, target)| json!({ "path": path.to_string_lossy(), "target": target.to_string_lossy() }));
    json!({
        "kind": seen.kind,
        "mode": octal(seen.mode),
        "mode_text": seen.mode_text,
        "uid": seen.uid,
        "gid": seen.gid,
        "size": seen.size,
        "hard_links": seen.hard_links,
        "acl": seen.acl,
        "mount": mount(&seen.mount),
        "links": links.collect::<Vec<_>>(),
        "delivery": seen.delivery.as_ref().map(delivery),
        "entries": seen.entries,
    })
}

fn mount(mount: &MountSeen) -> Value {
    json!({
        "filesystem": mount.filesystem,
        "point": mount.point.to_string_lossy(),
        "flags": mount.flags,
        "is_object": mount.is_object,
    })
}

fn delivery(delivery: &DeliverySeen) -> Value {
    json!({ "kind": delivery.kind.id(), "evidence": delivery.evidence })
}

fn certificate(facts: &CertificateFacts) -> Value {
    json!({
        "names": facts.names,
        "more_names": facts.more_names,
        "issuer": facts.issuer,
        "key": facts.key,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
    })
}

fn repaired(repaired: &Repaired) -> Value {
    json!({
        "path": repaired.path.to_string_lossy(),
        "was": octal(repaired.was),
        "now": octal(repaired.now),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "path": finding.path.to_string_lossy(),
        "code": finding.code.id(),
        "severity": finding.severity.id(),
        "seen": finding.seen,
        "why": finding.why,
        "fix": finding.fix,
    })
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}
