//! Reading the configuration: one file, or a folder of them.
//!
//! Owns which files of a folder count and how many there may be; does not understand TOML. The
//! rules are those of `Role::Config`: no untrusted writer, links followed and judged.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fluxheim_config::Source;
use nix::dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::finding::{Finding, Severity, Shown};
use crate::identity::Identity;
use crate::inspect::{self, Inspection};
use crate::object::{Object, Role};
use crate::rules::{self, Judge};
use crate::secret::{self, Refused};
use crate::walk::{self, Dir, End, Standpoint, Trail};

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

impl From<ConfigProblem> for ConfigUnreadable {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Reads the file at `path`, or every `*.toml` of the folder at `path` in byte order of their
/// names; hidden files don't count. At most 1 MiB a file and 256 files.
///
/// # Errors
/// Everything that is wrong, of all files.
pub fn read_config(path: &Path, identity: &Identity) -> Result<Vec<Source>, ConfigUnreadable> {
    let judge = Judge::new(identity);
    let Trail { passed, end, standpoint } = walk::to(path);
    let Ok(End::Folder(dir)) = end else {
        return Ok(vec![source(path, &judge, || walk::to(path))?]);
    };
    let mut findings = judge.passed(Role::Config, &passed);
    findings.extend(judge.config_folder(&dir));
    let names = refuse_if_bad(path, findings).and_then(|()| names(path, &dir))?;
    sources(path, &judge, &standpoint, &names)
}

fn sources(
    path: &Path,
    judge: &Judge<'_>,
    folder: &Standpoint,
    names: &[OsString],
) -> Result<Vec<Source>, ConfigUnreadable> {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match source(&path.join(name), judge, || folder.clone().to(Path::new(name))) {
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(ConfigUnreadable { problems }) }
}

fn source(path: &Path, judge: &Judge<'_>, way: impl Fn() -> Trail) -> Result<Source, ConfigProblem> {
    let Inspection { findings, file, .. } = inspect::inspect_by(Role::Config, judge, way);
    let bytes =
        secret::bytes(Role::Config, path, findings, file).map_err(|findings| refused(path, findings))?;
    match std::str::from_utf8(bytes.as_bytes()) {
        Ok(text) => Ok(Source { path: path.to_owned(), text: text.to_owned() }),
        Err(error) => Err(ConfigProblem::NotUtf8 { path: path.to_owned(), offset: error.valid_up_to() }),
    }
}

fn names(path: &Path, dir: &Dir) -> Result<Vec<OsString>, ConfigProblem> {
    let mut names = list(dir)
        .map_err(|errno| refused(path, vec![rules::os_error(&dir.path, "listing it failed", &errno)]))?;
    if names.is_empty() {
        return Err(ConfigProblem::NoFiles { path: path.to_owned() });
    }
    if names.len() > MOST_FILES {
        return Err(ConfigProblem::TooManyFiles { path: path.to_owned(), count: names.len() });
    }
    names.sort();
    Ok(names)
}

/// Lists the very folder that was judged.
fn list(dir: &Dir) -> nix::Result<Vec<OsString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = dir::Dir::openat(&dir.fd, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

fn refuse_if_bad(path: &Path, mut findings: Vec<Finding>) -> Result<(), ConfigProblem> {
    rules::deduplicate(&mut findings);
    if findings.iter().any(|finding| finding.severity == Severity::Refuse) {
        return Err(refused(path, findings));
    }
    Ok(())
}

fn refused(path: &Path, findings: Vec<Finding>) -> ConfigProblem {
    // Absolute in the findings, as given here: together they say where a relative path led.
    let object = Object { role: Role::Config, name: Shown(path).to_string(), path: path.to_owned() };
    ConfigProblem::Refused(Refused { object, findings })
}

/// More is a generated configuration that should be one file.
const MOST_FILES: usize = 256;

#[cfg(test)]
mod tests;
