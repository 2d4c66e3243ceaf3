//! `[storage]`.
//!
//! Owns the names of filesystems that can be vouched for; asks no filesystem.

use crate::section::Section;
use crate::{AdvisoryFilesystem, Storage, value};

const FILESYSTEMS: &str = "kinds of filesystems, e.g. [\"nfs\"]";

pub(crate) fn read(section: &Section<'_>) -> Storage {
    let known = AdvisoryFilesystem::ALL.map(|filesystem| (filesystem.name(), filesystem));
    let trusted = section.list("trusted_filesystems", FILESYSTEMS, |text| value::word(text, &known));
    let mut trusted: Vec<_> = trusted.or(Vec::new()).into_iter().map(|at| at.value).collect();
    trusted.sort_unstable();
    trusted.dedup();
    Storage { trusted_filesystems: trusted }
}
