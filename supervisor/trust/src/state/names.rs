//! What is in the folder, and whether it has changed.

use std::ffi::CStr;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::sys::stat::Mode;

use super::{FOLDER, StateError, StateFolder};
use crate::node::Facts;

/// Which file a name led to, and when that was last written: another one is another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Facts);

impl StateFolder {
    /// The names of what is kept, sorted; those that begin with a dot are not among them.
    ///
    /// # Errors
    /// There are more than `most`, or it can't be listed.
    pub fn names(&self, most: usize) -> Result<Vec<String>, StateError> {
        let mut names = self.all_names(most)?;
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    pub(super) fn all_names(&self, most: usize) -> Result<Vec<String>, StateError> {
        let failed = |errno| StateError::failed(&self.path, "listing it", errno);
        // A descriptor of its own, as the place in a listing belongs to the open file.
        let mut listing = Dir::openat(&self.fd, ".", FOLDER, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            // None of ours is anything but ASCII; what is foreign is the check's to report.
            let Ok(name) = CStr::to_str(entry.file_name()) else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if names.len() == most {
                return Err(StateError::TooMany { path: self.path.clone(), most });
            }
            names.push(name.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Of the folder itself: it changes when a name appears, goes, or leads to another file.
    ///
    /// # Errors
    /// The kernel won't say.
    pub fn stamp(&self) -> Result<Stamp, StateError> {
        Facts::of(&self.fd).map(Stamp).map_err(|errno| StateError::failed(&self.path, "looking at it", errno))
    }

    /// Of what is kept as `name`, if anything is.
    ///
    /// # Errors
    /// The kernel won't say.
    pub fn stamp_of(&self, name: &str) -> Result<Option<Stamp>, StateError> {
        match self.peek(name) {
            Ok(facts) => Ok(Some(Stamp(facts))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(StateError::failed(&self.path.join(name), "looking at it", errno)),
        }
    }
}
