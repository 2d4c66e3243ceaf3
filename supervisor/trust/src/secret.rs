//! Reading a judged file into memory that is wiped.
//!
//! Owns the bytes of secrets and their wiping; prints none of them. What is read is the descriptor
//! that was judged.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::finding::{Code, Finding, Severity};
use crate::identity::Identity;
use crate::inspect::{self, Inspection, Judged};
use crate::node::Facts;
use crate::object::{Object, Role};
use crate::rules::Judge;

/// A file's content, wiped when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The content. Copies made of it are the caller's to wipe.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Only the length.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// A file that the rules forbid to use, with everything that is wrong with it.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub object: Object,
    /// Everything found, warnings too; at least one refuses.
    pub findings: Vec<Finding>,
}

/// One finding a line.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Object { role, name, .. } = &self.object;
        for (number, finding) in self.findings.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            let of = if *role == Role::Config { "" } else { "of " };
            write!(f, "{end}{role} {of}{name}: {finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Reads `object` if the rules allow it to `identity`: the same walk and rules as
/// [`check`](crate::check), at most 1 MiB, from the very descriptor that was judged.
///
/// # Errors
/// Everything that is wrong with the file and the way to it.
pub fn read(object: &Object, identity: &Identity) -> Result<Secret, Refused> {
    let judge = Judge::new(identity);
    let Inspection { findings, file, .. } = inspect::inspect(object, &judge);
    bytes(&object.path, findings, file).map_err(|findings| Refused { object: object.clone(), findings })
}

/// The content of a file that passed.
pub(crate) fn bytes(
    asked: &Path,
    mut findings: Vec<Finding>,
    file: Option<Judged>,
) -> Result<Secret, Vec<Finding>> {
    if findings.iter().any(|finding| finding.severity == Severity::Refuse) {
        return Err(findings);
    }
    let Some(Judged { file, facts, path }) = file else {
        findings.push(Finding {
            path: asked.to_owned(),
            code: Code::NotAFile,
            severity: Severity::Refuse,
            seen: "a folder".to_owned(),
            why: "only files can be read".to_owned(),
            fix: "name a file".to_owned(),
        });
        return Err(findings);
    };
    match slurp(&file, &facts) {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => {
            findings.push(inspect::changing(&path));
            Err(findings)
        }
        Err(error) => {
            findings.push(crate::rules::os_error(&path, "reading it failed", &error));
            Err(findings)
        }
    }
}

/// `None` when the file changed meanwhile. The buffer never grows, so no copy is left behind.
fn slurp(file: &std::fs::File, facts: &Facts) -> std::io::Result<Option<Secret>> {
    let size = usize::try_from(facts.size).unwrap_or(usize::MAX);
    // One byte more than there should be shows growth.
    let mut bytes = Zeroizing::new(vec![0; size.saturating_add(1)]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let now = Facts::of(file)?;
    if filled != size || now.content_moved_since(facts) {
        return Ok(None);
    }
    bytes.truncate(filled);
    Ok(Some(Secret(bytes)))
}

#[cfg(test)]
mod tests;
