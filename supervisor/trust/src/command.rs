//! `--check-tls-storage`, the same in both programs: from a request to text and an exit code.
//!
//! Owns what is judged, how long it waits, and which exit code that gives; prints nothing. Exit
//! codes are those of `docs/exit-codes.md`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fluxheim_config::{Config, Profile, exit, parse_under};

use crate::check::{How, MOST_STUCK, check};
use crate::config_files::read_config;
use crate::identity::Identity;
use crate::object::{Item, Object, Role, inventory};
use crate::report::{Outcome, StorageReport};
use crate::terms::Terms;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// A file, or a folder of `*.toml`.
    pub config: PathBuf,
    /// Hardening profile, instead of the configuration's own.
    pub profile: Option<Profile>,
    /// What is judged besides the files that the configuration names.
    pub also: Vec<Object>,
    /// Whether modes are tightened.
    pub repair: bool,
    /// How long to wait for what may heal by itself; `None` doesn't wait.
    pub wait: Option<Duration>,
    /// JSON instead of text.
    pub json: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The report, for stdout, and the exit code.
    Report(String, u8),
    /// There is none, for the configuration could not be read: for stderr, and the exit code.
    Refused(String, u8),
}

/// Checks, and checks again while waiting may help. `becomes` says under which id a process of this
/// configuration serves.
pub fn answer(request: &Request, becomes: impl Fn(&Config) -> Option<u32>) -> Answer {
    // A sum beyond any clock is as good as never.
    let end = request.wait.and_then(|wait| Instant::now().checked_add(wait));
    let left = || end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
    let mut stuck = 0;
    loop {
        let attempt = Attempt::make(request, &becomes, left());
        stuck += attempt.stuck();
        // Each of them would be left behind once more.
        let in_vain = stuck >= MOST_STUCK;
        let waits = request.wait.is_some() && !left().is_zero() && !in_vain;
        if attempt.outcome() != Outcome::MayHeal || !waits {
            return attempt.answer(request);
        }
        std::thread::sleep(AGAIN.min(left()));
    }
}

enum Attempt {
    Judged(StorageReport),
    NoConfig { said: String, may_heal: bool },
}

impl Attempt {
    fn make(request: &Request, becomes: impl Fn(&Config) -> Option<u32>, left: Duration) -> Self {
        let sources = match read_config(&request.config, &Identity::current()) {
            Ok(sources) => sources,
            Err(unreadable) => {
                return Self::NoConfig { said: unreadable.to_string(), may_heal: unreadable.may_heal() };
            }
        };
        match parse_under(&sources, request.profile) {
            Ok(config) => {
                let paths = sources.iter().map(|source| source.path.as_path());
                Self::Judged(judge(request, &config, paths, becomes(&config), left))
            }
            Err(mistakes) => Self::NoConfig { said: mistakes.to_string(), may_heal: false },
        }
    }

    /// Threads that it left behind.
    const fn stuck(&self) -> usize {
        match self {
            Self::Judged(report) => report.stuck,
            Self::NoConfig { .. } => 0,
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Judged(report) => report.outcome(),
            Self::NoConfig { may_heal: true, .. } => Outcome::MayHeal,
            Self::NoConfig { may_heal: false, .. } => Outcome::Refused,
        }
    }

    fn answer(self, request: &Request) -> Answer {
        let code = match self.outcome() {
            Outcome::Clean => exit::OK,
            // Who did not ask for waiting has a use for one answer only.
            Outcome::MayHeal if request.wait.is_some() => exit::TRY_AGAIN,
            Outcome::MayHeal | Outcome::Refused => exit::REFUSED,
        };
        match self {
            Self::Judged(report) if request.json => Answer::Report(format!("{}\n", report.to_json()), code),
            Self::Judged(report) => {
                let waited = match request.wait {
                    Some(wait) if code == exit::TRY_AGAIN => {
                        format!("waited {} ms: what is missing may still come\n", wait.as_millis())
                    }
                    _ => String::new(),
                };
                Answer::Report(format!("{report}{waited}"), code)
            }
            Self::NoConfig { said, .. } => Answer::Refused(said, code),
        }
    }
}

fn judge<'a>(
    request: &Request,
    config: &Config,
    sources: impl Iterator<Item = &'a Path>,
    becomes: Option<u32>,
    left: Duration,
) -> StorageReport {
    let mut inventory = inventory(config);
    let configs = sources.map(|path| {
        let object = Object { role: Role::Config, name: "--config".to_owned(), path: path.to_owned() };
        Item::One(object)
    });
    let also = request.also.iter().cloned().map(Item::One);
    inventory.items = configs.chain(inventory.items).chain(also).collect();
    let identity = becomes.map_or_else(Identity::current, Identity::of);
    // A wait bounds the attempts of it, but each gets what one object may take.
    let total = match request.wait {
        Some(_) => left.clamp(How::FULL.each, How::FULL.total),
        None => How::FULL.total,
    };
    check(&inventory, &Terms::of(config, identity), How { repair: request.repair, total, ..How::FULL })
}

/// Reads `ROLE=PATH`, as `--also` takes it.
///
/// # Errors
/// What is wrong with it, with the roles there are.
pub fn parse_also(value: &OsStr) -> Result<Object, String> {
    let bytes = value.as_bytes();
    let Some(at) = bytes.iter().position(|byte| *byte == b'=') else {
        return Err(format!("--also takes ROLE=PATH, not {value:?}; roles are {}", roles()));
    };
    let (role, path) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
    let role = String::from_utf8_lossy(role);
    match Role::from_id(&role) {
        Some(_) if path.is_empty() => Err(format!("--also {role}= has no path")),
        Some(role) => {
            let path = PathBuf::from(OsStr::from_bytes(path));
            Ok(Object { role, name: "--also".to_owned(), path })
        }
        None => Err(format!("--also: there is no role {role:?}; roles are {}", roles())),
    }
}

/// Reads what `--wait` takes: whole seconds, or a number with a unit: `30s`, `2m`, `500ms`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_wait(value: &OsStr) -> Result<Duration, String> {
    parse_time("--wait", value)
}

/// Reads the time that `flag` takes.
///
/// # Errors
/// What is wrong with it, for the user.
pub fn parse_time(flag: &str, value: &OsStr) -> Result<Duration, String> {
    let wrong = || format!("{flag} takes a time such as 30s or 2m, not {value:?}");
    let text = value.to_str().ok_or_else(wrong)?;
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(wrong)
}

fn roles() -> String {
    Role::ALL.map(Role::id).join(", ")
}

/// Short against the start of a pod, long against a check.
const AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_roles_and_paths() {
        let object = parse_also(OsStr::new("eab-hmac=/run/secrets/a=b")).unwrap();
        assert_eq!((object.role, object.path.as_path()), (Role::EabHmac, Path::new("/run/secrets/a=b")));
        for wrong in ["key=/a", "eab-hmac", "eab-hmac=", "=/a", ""] {
            let said = parse_also(OsStr::new(wrong)).unwrap_err();
            assert!(said.starts_with("--also"), "{said}");
        }
    }

    #[test]
    fn reads_times() {
        let read = |text: &str| parse_wait(OsStr::new(text)).ok();
        assert_eq!(read("30s"), Some(Duration::from_secs(30)));
        assert_eq!(read("30"), Some(Duration::from_secs(30)));
        assert_eq!(read("2m"), Some(Duration::from_secs(120)));
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h", "1 s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
