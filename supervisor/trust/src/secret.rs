//! Reading a judged file into memory that is wiped.
//!
//! Owns the bytes of what was read; prints none of them. What is read is the descriptor that was
//! judged, and a secret goes from it straight into pages of its own (see `memory`).

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::finding::{Code, Finding, Severity};
use crate::identity::Identity;
use crate::inspect::{self, Inspection, Judged};
use crate::memory::{Keeping, SecretPages};
use crate::node::Facts;
use crate::object::{Object, Role};
use crate::rules::Judge;

/// A file's content, wiped when dropped.
pub struct Secret(Bytes);

enum Bytes {
    /// Of a role that is no secret.
    Heap(Zeroizing<Vec<u8>>),
    Pages(SecretPages),
}

impl Secret {
    /// The content. Copies made of it are the caller's to wipe.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Heap(bytes) => bytes,
            Bytes::Pages(pages) => pages,
        }
    }

    /// In what kind of memory the content is.
    #[must_use]
    pub const fn keeping(&self) -> Keeping {
        match &self.0 {
            Bytes::Heap(_) => Keeping::Heap,
            Bytes::Pages(pages) => pages.keeping(),
        }
    }
}

/// Only the length.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.as_bytes().len())
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
    bytes(object.role, &object.path, findings, file)
        .map_err(|findings| Refused { object: object.clone(), findings })
}

/// The content of a file that passed.
pub(crate) fn bytes(
    role: Role,
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
    match slurp(role, &file, &facts) {
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

/// `None` when the file changed meanwhile.
pub(crate) fn slurp(role: Role, file: &File, facts: &Facts) -> io::Result<Option<Secret>> {
    let size = usize::try_from(facts.size).unwrap_or(usize::MAX);
    // One byte more than there should be shows growth.
    let room = size.saturating_add(1);
    let secret = Secret(if role.is_secret() {
        Bytes::Pages(pages(file, room)?)
    } else {
        let mut bytes = Zeroizing::new(vec![0; room]);
        let filled = fill(file, &mut bytes)?;
        bytes.truncate(filled);
        Bytes::Heap(bytes)
    });
    let now = Facts::of(file)?;
    let unchanged = secret.as_bytes().len() == size && !now.content_moved_since(facts);
    Ok(unchanged.then_some(secret))
}

fn pages(file: &File, room: usize) -> io::Result<SecretPages> {
    let pages = SecretPages::zeroed(room)?;
    let secret_memory = pages.keeping() == Keeping::SecretMemory;
    match filled(pages, file) {
        // Direct I/O (FUSE, 9p and SMB when told not to cache) can't reach secret memory.
        Err(error) if secret_memory && error.raw_os_error() == Some(libc::EFAULT) => {
            filled(SecretPages::reachable(room)?, file)
        }
        result => result,
    }
}

fn filled(mut pages: SecretPages, file: &File) -> io::Result<SecretPages> {
    let filled = fill(file, &mut pages)?;
    pages.truncate(filled);
    Ok(pages)
}

/// Reads until the end or until `room` is full; the buffer never grows, so no copy is left behind.
fn fill(file: &File, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match file.read_at(&mut room[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
