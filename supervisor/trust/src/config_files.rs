//! Reading the configuration: one file, or a folder of them.
//!
//! Owns which files of a folder count and how many there may be; does not understand TOML. The
//! rules are those of `Role::Config`: no untrusted writer, links followed and judged.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bounded;
use crate::finding::{Code, Finding, Shown};
use crate::identity::Identity;
use crate::inspect::{self, Inspection};
use crate::object::{Object, Role};
use crate::rules;
use crate::secret::{self, Refused};
use crate::terms::{Judge, Terms};
use crate::walk::{Dir, End, Ground, Standpoint, Trail};
use fluxheim_config::Source;

/// Why the configuration can't be read: everything that is wrong, one line each.
#[derive(Debug)]
pub struct ConfigUnreadable {
    /// At least one.
    pub problems: Vec<ConfigProblem>,
}

/// One thing that is wrong with a configuration's files.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The trust rules refuse a file or the folder.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// TOML is UTF-8.
    #[error("{path}: not UTF-8: byte {offset} (counted from 0) is wrong; save the file as UTF-8", path = Shown(path))]
    NotUtf8 { path: PathBuf, offset: usize },
    /// A folder without anything to read is more likely a wrong path than a wish.
    #[error("{path}: no file named *.toml in this folder; put one there or name a file", path = Shown(path))]
    NoFiles { path: PathBuf },
    /// See the limit in the text.
    #[error("{path}: {count} files named *.toml, at most {MOST_FILES} are read; merge some", path = Shown(path))]
    TooManyFiles { path: PathBuf, count: usize },
}

impl fmt::Display for ConfigUnreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if number == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigUnreadable {}

impl ConfigUnreadable {
    /// Whether time alone may mend it: a volume that is not filled yet, a rotation under way.
    #[must_use]
    pub fn may_heal(&self) -> bool {
        self.problems.iter().all(|problem| match problem {
            ConfigProblem::Refused(refused) => refused.may_heal(),
            ConfigProblem::NoFiles { .. } => true,
            ConfigProblem::NotUtf8 { .. } | ConfigProblem::TooManyFiles { .. } => false,
        })
    }
}

impl From<ConfigProblem> for ConfigUnreadable {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Reads the file at `path`, or every `*.toml` of the folder at `path` in byte order of their
/// names; hidden files don't count. At most 1 MiB a file and 256 files. What one link exchanges as a
/// whole (the `..data` of Kubernetes) is read as it was at one moment. Takes at most 10 s.
///
/// # Errors
/// Everything that is wrong, of all files.
pub fn read_config(path: &Path, identity: &Identity) -> Result<Vec<Source>, ConfigUnreadable> {
    let (asked, terms) = (path.to_owned(), Terms::strict(identity.clone()));
    match bounded::within(PATIENCE, move || read_by(&asked, &terms)) {
        Ok(read) => read,
        Err(late) => Err(refused(path, vec![rules::late(path, &late)]).into()),
    }
}

fn read_by(path: &Path, terms: &Terms) -> Result<Vec<Source>, ConfigUnreadable> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (judge, ground) = (Judge::of_config(terms), Ground::new());
        let reading = Reading { path, judge, ground, moved: Cell::new(false) };
        let read = reading.sources();
        // A file was replaced between the look at it and its opening: everything is read anew.
        if read.is_ok() || !reading.moved.get() || attempts == inspect::ATTEMPTS {
            return read;
        }
    }
}

/// One attempt to read everything as it was at one moment.
struct Reading<'a> {
    path: &'a Path,
    judge: Judge<'a>,
    ground: Ground,
    /// Whether something did not hold still.
    moved: Cell<bool>,
}

impl Reading<'_> {
    fn sources(&self) -> Result<Vec<Source>, ConfigUnreadable> {
        let trail = self.ground.to(self.path);
        let Trail { passed, end: Ok(End::Folder(dir)), standpoint } = trail else {
            return Ok(vec![self.source(self.path, trail)?]);
        };
        let mut findings = self.judge.passed(Role::Config, &passed, None, &None);
        findings.extend(self.judge.config_folder(&dir));
        let names = refuse_if_bad(self.path, findings).and_then(|()| names(self.path, &dir))?;
        self.files(&standpoint, &names)
    }

    fn files(&self, folder: &Standpoint, names: &[OsString]) -> Result<Vec<Source>, ConfigUnreadable> {
        let (mut sources, mut problems) = (Vec::new(), Vec::new());
        for name in names {
            let trail = folder.clone().to(Path::new(name), &self.ground);
            match self.source(&self.path.join(name), trail) {
                Ok(source) => sources.push(source),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(sources) } else { Err(ConfigUnreadable { problems }) }
    }

    fn source(&self, path: &Path, trail: Trail) -> Result<Source, ConfigProblem> {
        let mut inspection =
            inspect::inspect_trail(Role::Config, &self.judge, trail).unwrap_or_else(|moved| {
                self.moved.set(true);
                moved.given_up()
            });
        let Some(bytes) = secret::content(Role::Config, path, &mut inspection) else {
            let Inspection { findings, .. } = inspection;
            if findings.iter().any(|finding| finding.code == Code::Changing) {
                self.moved.set(true);
            }
            return Err(refused(path, findings));
        };
        match std::str::from_utf8(bytes.as_bytes()) {
            Ok(text) => Ok(Source { path: path.to_owned(), text: text.to_owned() }),
            Err(error) => Err(ConfigProblem::NotUtf8 { path: path.to_owned(), offset: error.valid_up_to() }),
        }
    }
}

/// Those of the very folder that was judged.
fn names(path: &Path, dir: &Dir) -> Result<Vec<OsString>, ConfigProblem> {
    let (mut names, _) = dir
        .names(usize::MAX)
        .map_err(|errno| refused(path, vec![rules::os_error(&dir.path, "listing it failed", &errno)]))?;
    names.retain(|name| {
        let name = name.as_bytes();
        name.ends_with(b".toml") && !name.starts_with(b".")
    });
    if names.len() > MOST_FILES {
        return Err(ConfigProblem::TooManyFiles { path: path.to_owned(), count: names.len() });
    }
    if names.is_empty() {
        return Err(ConfigProblem::NoFiles { path: path.to_owned() });
    }
    Ok(names)
}

fn refuse_if_bad(path: &Path, mut findings: Vec<Finding>) -> Result<(), ConfigProblem> {
    rules::deduplicate(&mut findings);
    if findings.iter().any(|finding| !finding.severity.allows_use()) {
        return Err(refused(path, findings));
    }
    Ok(())
}

fn refused(path: &Path, findings: Vec<Finding>) -> ConfigProblem {
    // Absolute in the findings, as given here: together they say where a relative path led.
    let object = Object { role: Role::Config, name: Shown(path).to_string(), path: path.to_owned() };
    ConfigProblem::Refused(Refused { object, findings })
}

/// Much longer than a disk or a network filesystem that lives needs for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// More is a generated configuration that should be one file.
const MOST_FILES: usize = 256;

#[cfg(test)]
mod tests;
