//! What a person is told when a configuration is refused.
//!
//! Owns the list of mistakes and how one is printed; finds none itself. The form
//! `PATH:LINE:COL: message` follows the GNU coding standards, so editors can jump to it.

use std::fmt;
use std::path::PathBuf;

/// One mistake, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file as its [`crate::Source`] names it; empty when there is no file at all.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters from 1.
    pub column: usize,
    /// What is wrong. Text from the file is quoted, shortened and free of control characters.
    pub message: String,
    /// How to mend it, where that can be said.
    pub help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.as_os_str().is_empty() {
            let path = self.path.to_string_lossy().replace(char::is_control, "?");
            write!(f, "{path}:{}:{}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// Every mistake of one run, in the order of files and lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    list: Vec<Mistake>,
    omitted: usize,
}

impl Mistakes {
    /// `None` when `list` is empty: no mistakes are no `Mistakes`.
    pub(crate) fn new(list: Vec<Mistake>, omitted: usize) -> Option<Self> {
        (!list.is_empty()).then_some(Self { list, omitted })
    }

    /// The mistakes, first file and first line first; at most 100.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.list.iter()
    }

    /// How many more were found than [`Mistakes::iter`] gives.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{mistake}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
