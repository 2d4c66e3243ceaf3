//! The report as text, for people.

use std::fmt;

use super::{ObjectReport, StorageReport};
use crate::finding::{Finding, Shown};
use crate::identity::Identity;
use crate::object::Object;
use crate::repair::Repaired;
use crate::seen::{DeliverySeen, Seen};

impl fmt::Display for StorageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { uid, gid, groups } = &self.identity;
        writeln!(f, "storage as user {uid}, group {gid}, supplementary groups {groups:?}")?;
        self.objects.iter().try_for_each(|object| write_object(f, object))?;
        let count = |verdict| self.objects.iter().filter(|object| object.verdict() == verdict).count();
        let (all, plural) = (self.objects.len(), if self.objects.len() == 1 { "" } else { "s" });
        write!(f, "{all} object{plural} judged, {} refused", count("refused"))?;
        for (verdict, words) in [("unknown", "unknown"), ("warning", "with warnings")] {
            match count(verdict) {
                0 => {}
                some => write!(f, ", {some} {words}")?,
            }
        }
        writeln!(f)?;
        if self.is_clean() {
            return Ok(());
        }
        writeln!(f, "(paths are as they are seen in here: for what is mounted, mend its source, outside)")
    }
}

fn write_object(f: &mut fmt::Formatter<'_>, report: &ObjectReport) -> fmt::Result {
    let Object { role, name, path } = &report.object;
    write!(f, "{:<8}{role} of {name}: {}", report.verdict(), Shown(path))?;
    match &report.seen {
        Some(seen) => writeln!(f, ", {seen}")?,
        None => writeln!(f)?,
    }
    // Where all is well, the place is of no interest, unless it is what makes it well.
    if let Some(seen) = report.seen.as_ref().filter(|seen| is_telling(report, seen)) {
        write_place(f, seen)?;
    }
    for Repaired { path, was, now } in &report.repaired {
        writeln!(f, "    repaired {}: mode {was:04o} is {now:04o} now", Shown(path))?;
    }
    for Finding { path, code, severity, seen, why, fix } in &report.findings {
        writeln!(f, "    {} [{code}] {}: {seen}", severity.id(), Shown(path))?;
        writeln!(f, "        why: {why}")?;
        writeln!(f, "        fix: {fix}")?;
    }
    match report.more_findings {
        0 => Ok(()),
        more => writeln!(f, "    and {more} more findings of the same kinds, none of them worse"),
    }
}

fn is_telling(report: &ObjectReport, seen: &Seen) -> bool {
    !report.findings.is_empty() || seen.delivery.is_some() || !seen.links.is_empty()
}

fn write_place(f: &mut fmt::Formatter<'_>, seen: &Seen) -> fmt::Result {
    writeln!(f, "    on {}", seen.mount)?;
    if let Some(acl) = &seen.acl {
        writeln!(f, "    ACL {acl}")?;
    }
    match &seen.delivery {
        Some(DeliverySeen { kind, evidence }) => {
            writeln!(f, "    delivered as {}: {}", kind.title(), evidence.join("; "))?;
        }
        None => {
            for (path, target) in &seen.links {
                writeln!(f, "    through {} -> {}", Shown(path), Shown(target))?;
            }
        }
    }
    match seen.entries {
        Some(entries) => writeln!(f, "    {entries} files and folders judged in it"),
        None => Ok(()),
    }
}
