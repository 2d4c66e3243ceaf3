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

use crate::finding::Finding;
use crate::inspect::{self, Inspection, Judged};
use crate::memory::{Keeping, SecretPages};
use crate::node::Facts;
use crate::object::{Object, Role};
use crate::rules;
use crate::terms::{Judge, Terms};

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

impl Refused {
    /// Whether time alone may mend all that forbids its use.
    #[must_use]
    pub fn may_heal(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity.allows_use() || finding.code.may_heal())
    }
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

/// Reads `object` if the rules allow it: the same walk and rules as [`check`](crate::check()), from
/// the very descriptor that was judged.
///
/// # Errors
/// Everything that is wrong with the file and the way to it.
pub fn read(object: &Object, terms: &Terms) -> Result<Secret, Refused> {
    let mut inspection = inspect::inspect(object, &Judge::new(terms));
    content(object.role, &object.path, &mut inspection)
        .ok_or_else(|| Refused { object: object.clone(), findings: inspection.findings })
}

/// The content of a file that passed; what keeps it from being read is added to the findings.
pub(crate) fn content(role: Role, asked: &Path, inspection: &mut Inspection) -> Option<Secret> {
    if !inspection.may_be_used() {
        return None;
    }
    let Some(Judged { file, facts, path, .. }) = &inspection.file else {
        inspection.findings.push(rules::no_file(asked));
        return None;
    };
    match slurp(Kept::of(role), file, facts) {
        Ok(Some(secret)) => return Some(secret),
        Ok(None) => inspection.findings.push(rules::changing(path)),
        Err(error) => inspection.findings.push(rules::os_error(path, "reading it failed", &error)),
    }
    None
}

/// In what kind of memory to keep what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Heap,
    Pages,
}

impl Kept {
    pub(crate) const fn of(role: Role) -> Self {
        if role.is_secret() { Self::Pages } else { Self::Heap }
    }
}

/// `None` when the file changed meanwhile.
pub(crate) fn slurp(keep: Kept, file: &File, facts: &Facts) -> io::Result<Option<Secret>> {
    let size = usize::try_from(facts.size).unwrap_or(usize::MAX);
    // One byte more than there should be shows growth.
    let room = size.saturating_add(1);
    let secret = Secret(if keep == Kept::Pages {
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
