//! The findings of a whole tree, as many as a person can read.
//!
//! Owns what is left out, and that a verdict never depends on it: what forbids the use of a tree is
//! kept beside any number of warnings.

use crate::finding::{Code, Finding, Severity};

/// Findings in the order they came, and how many more there were.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    kept: Vec<Finding>,
    warnings: usize,
    left_out: usize,
}

impl Gathered {
    pub(super) fn push(&mut self, finding: Finding) {
        if is_of_the_tree(finding.code) && self.has(finding.code, finding.severity) {
            return;
        }
        let room = match finding.severity {
            Severity::Warn => {
                self.warnings += 1;
                self.warnings <= MOST_WARNINGS
            }
            severity => self.kept.len() - self.warnings.min(MOST_WARNINGS) < MOST || !self.has_any(severity),
        };
        match room {
            true => self.kept.push(finding),
            false => self.left_out += 1,
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    fn has(&self, code: Code, severity: Severity) -> bool {
        self.kept.iter().any(|kept| (kept.code, kept.severity) == (code, severity))
    }

    fn has_any(&self, severity: Severity) -> bool {
        self.kept.iter().any(|kept| kept.severity == severity)
    }

    /// The findings, and how many were left out.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, usize) {
        (self.kept, self.left_out)
    }
}

/// Whether it says the same of everything below.
const fn is_of_the_tree(code: Code) -> bool {
    matches!(code, Code::AdvisoryModes | Code::FsGroup | Code::TooMany)
}

const MOST_WARNINGS: usize = 50;
/// Of those that forbid the use.
const MOST: usize = 150;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: Code, severity: Severity) -> Finding {
        let text = String::new;
        Finding { path: "/x".into(), code, severity, seen: text(), why: text(), fix: text() }
    }

    #[test]
    fn keeps_what_forbids_beside_any_number_of_warnings() {
        let mut gathered = Gathered::default();
        gathered.extend(std::iter::repeat_n(finding(Code::AclDormant, Severity::Warn), 1000));
        gathered.extend(std::iter::repeat_n(finding(Code::AclUnknown, Severity::Unknown), 1000));
        gathered.push(finding(Code::ModeTooOpen, Severity::Refuse));
        let (kept, left_out) = gathered.into_parts();
        assert_eq!(kept.iter().map(|kept| kept.severity).max(), Some(Severity::Refuse));
        assert_eq!((kept.len(), left_out), (50 + 150 + 1, 950 + 850));
    }

    #[test]
    fn says_once_what_holds_for_all() {
        let mut gathered = Gathered::default();
        gathered.extend(std::iter::repeat_n(finding(Code::FsGroup, Severity::Warn), 1000));
        assert_eq!(gathered.into_parts().0.len(), 1);
    }
}
