//! Files that are sent from memory: pages for failures, and what `respond` answers.
//!
//! Owns the rules that they are read by, those of static files: a regular file, which no link leads out of its folder to.

use std::io::{self, Read};
use std::path::Path;

use fluxheim_trust::{StaticEntry, StaticRoot};

use super::kind;

/// A file as it was when it was read.
pub(in crate::edge) struct Whole {
    /// Its type, by its name.
    pub(in crate::edge) kind: String,
    pub(in crate::edge) content: Vec<u8>,
}

/// Reads the file at `path`.
///
/// # Errors
/// Why it can't be used, in words.
pub(in crate::edge) fn read(path: &Path) -> Result<Whole, String> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("it has no name that is UTF-8")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let root = StaticRoot::at(folder.unwrap_or_else(|| Path::new("."))).map_err(|error| error.to_string())?;
    let file = match root.open(name) {
        Ok(StaticEntry::File { file, .. }) => file,
        Ok(StaticEntry::Directory) => return Err("it is a folder".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let content = bounded(file).map_err(|error| error.to_string())?;
    Ok(Whole { kind: kind::of(name).into_owned(), content })
}

fn bounded(file: std::fs::File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} KiB", LARGEST >> 10)));
    }
    Ok(content)
}

/// They are kept in memory.
const LARGEST: u64 = 256 << 10;
