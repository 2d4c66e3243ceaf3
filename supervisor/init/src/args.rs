//! The command line.
//!
//! Owns flag names, their combinations and the help text; does nothing of what they ask.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fluxheim_config::Profile;
use fluxheim_trust::Object;
use fluxheim_trust::command::{Request, parse_also, parse_wait};
use lexopt::{Arg, Parser};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run(Start),
    /// As [`Command::Run`], but become the proxy.
    Exec(Start),
    Posture {
        start: Start,
        format: Format,
    },
    Running {
        config: PathBuf,
        format: Format,
    },
    CheckStorage(Request),
    Health {
        config: PathBuf,
        ready: bool,
    },
    Sleep(Duration),
    Probe {
        config: PathBuf,
        profile: Option<Profile>,
    },
    Help,
    Version,
}

/// What to start, and with which configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Absolute.
    pub(crate) config: PathBuf,
    pub(crate) proxy: PathBuf,
    /// Instead of the configuration's own.
    pub(crate) profile: Option<Profile>,
}

impl Start {
    /// What the proxy is started with.
    pub(crate) fn arguments(&self) -> Vec<&OsStr> {
        let mut arguments = vec![OsStr::new("--config"), self.config.as_os_str()];
        if let Some(profile) = self.profile {
            arguments.extend([OsStr::new("--profile"), OsStr::new(profile.name())]);
        }
        arguments
    }
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Why the command line makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("{0}")]
    Flag(#[from] lexopt::Error),
    #[error(
        "invalid option '--{0}': it is the proxy's; outside of a container say fluxheim --{0}, with Docker or Podman \
         run --entrypoint /fluxheim IMAGE --{0}"
    )]
    Proxy(String),
    #[error("{0} and {1} can't be given together")]
    Conflict(&'static str, &'static str),
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
    #[error("--format takes text or json, not {0:?}")]
    Format(OsString),
    #[error("{0}")]
    Storage(String),
    #[error("--sleep takes whole seconds such as 5, not {0:?}")]
    Seconds(OsString),
    #[error("there is no profile {0:?}; known are {known}", known = profiles())]
    Profile(OsString),
    #[error("the current folder can't be told ({0}); give --config an absolute path")]
    NoFolder(std::io::Error),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// On unknown flags, missing values and combinations without meaning.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Wrong> {
    let mut given = Given::default();
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("config") => given.config = Some(parser.value()?.into()),
            Arg::Long("proxy") => given.proxy = Some(parser.value()?.into()),
            Arg::Long("format") => given.format = Some(format(parser.value()?)?),
            Arg::Long("profile") => given.profile = Some(profile(parser.value()?)?),
            Arg::Long("also") => given.also.push(parse_also(&parser.value()?).map_err(Wrong::Storage)?),
            Arg::Long("wait") => given.wait = Some(parse_wait(&parser.value()?).map_err(Wrong::Storage)?),
            Arg::Long("repair") => given.repair = true,
            Arg::Long("exec") => given.set(Mode::Exec)?,
            Arg::Long("running") => given.running = true,
            Arg::Long("ready") => given.ready = true,
            Arg::Long("check-tls-storage") => given.set(Mode::CheckStorage)?,
            Arg::Long("posture") => given.set(Mode::Posture)?,
            Arg::Long("health") => given.set(Mode::Health)?,
            Arg::Long("probe") => given.set(Mode::Probe)?,
            Arg::Long("sleep") => given.set(Mode::Sleep(seconds(parser.value()?)?))?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long(flag) if OF_THE_PROXY.contains(&flag) => return Err(Wrong::Proxy(flag.to_owned())),
            other => return Err(other.unexpected().into()),
        }
    }
    given.command()
}

/// Name, version and the commit it was built from.
pub(crate) fn version() -> String {
    let commit = option_env!("FLUXHEIM_COMMIT").unwrap_or("unknown");
    format!("fluxheim-init {} (commit {commit})", env!("CARGO_PKG_VERSION"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Exec,
    CheckStorage,
    Posture,
    Health,
    Probe,
    Sleep(u32),
}

impl Mode {
    fn flag(self) -> &'static str {
        match self {
            Self::Exec => "--exec",
            Self::CheckStorage => "--check-tls-storage",
            Self::Posture => "--posture",
            Self::Health => "--health",
            Self::Probe => "--probe",
            Self::Sleep(_) => "--sleep",
        }
    }
}

#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    proxy: Option<PathBuf>,
    format: Option<Format>,
    profile: Option<Profile>,
    mode: Option<Mode>,
    running: bool,
    ready: bool,
    also: Vec<Object>,
    wait: Option<Duration>,
    repair: bool,
}

impl Given {
    fn set(&mut self, mode: Mode) -> Result<(), Wrong> {
        match self.mode.replace(mode) {
            Some(first) if first != mode => Err(Wrong::Conflict(first.flag(), mode.flag())),
            _ => Ok(()),
        }
    }

    fn command(self) -> Result<Command, Wrong> {
        self.check()?;
        let config = self.config.as_deref().unwrap_or_else(|| Path::new(DEFAULT_CONFIG));
        let config = std::path::absolute(config).map_err(Wrong::NoFolder)?;
        let format = self.format.unwrap_or(Format::Text);
        let proxy = self.proxy.unwrap_or_else(|| DEFAULT_PROXY.into());
        let profile = self.profile;
        Ok(match self.mode {
            None => Command::Run(Start { config, proxy, profile }),
            Some(Mode::Exec) => Command::Exec(Start { config, proxy, profile }),
            Some(Mode::Posture) if self.running => Command::Running { config, format },
            Some(Mode::Posture) => Command::Posture { start: Start { config, proxy, profile }, format },
            Some(Mode::CheckStorage) => {
                let Self { also, wait, repair, .. } = self;
                let json = format == Format::Json;
                Command::CheckStorage(Request { config, profile, also, repair, wait, json })
            }
            Some(Mode::Health) => Command::Health { config, ready: self.ready },
            Some(Mode::Probe) => Command::Probe { config, profile },
            Some(Mode::Sleep(seconds)) => Command::Sleep(Duration::from_secs(seconds.into())),
        })
    }

    /// A flag that was given and makes sense with the storage check only.
    fn only_of_storage(&self) -> Option<&'static str> {
        let flags =
            [("--also", !self.also.is_empty()), ("--wait", self.wait.is_some()), ("--repair", self.repair)];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    fn check(&self) -> Result<(), Wrong> {
        let reports = matches!(self.mode, Some(Mode::Posture | Mode::CheckStorage));
        match self.mode {
            _ if self.running && self.mode != Some(Mode::Posture) => {
                Err(Wrong::Needs("--running", "--posture"))
            }
            _ if self.ready && self.mode != Some(Mode::Health) => Err(Wrong::Needs("--ready", "--health")),
            _ if self.format.is_some() && !reports => {
                Err(Wrong::Needs("--format", "--posture or --check-tls-storage"))
            }
            Some(Mode::Health | Mode::Sleep(_)) if self.profile.is_some() => {
                Err(Wrong::Needs("--profile", "a start, --posture or --check-tls-storage"))
            }
            mode if mode != Some(Mode::CheckStorage) && self.only_of_storage().is_some() => {
                Err(Wrong::Needs(self.only_of_storage().unwrap_or_default(), "--check-tls-storage"))
            }
            _ if self.running && self.profile.is_some() => Err(Wrong::Conflict("--profile", "--running")),
            Some(Mode::Exec) => Ok(()),
            Some(mode) if self.proxy.is_some() => Err(Wrong::Conflict("--proxy", mode.flag())),
            _ => Ok(()),
        }
    }
}

fn format(value: OsString) -> Result<Format, Wrong> {
    match value.to_str() {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        _ => Err(Wrong::Format(value)),
    }
}

fn seconds(value: OsString) -> Result<u32, Wrong> {
    value.to_str().and_then(|text| text.parse().ok()).ok_or(Wrong::Seconds(value))
}

fn profile(value: OsString) -> Result<Profile, Wrong> {
    value.to_str().and_then(Profile::from_name).ok_or(Wrong::Profile(value))
}

fn profiles() -> String {
    Profile::ALL.map(Profile::name).join(", ")
}

/// Where the image has the configuration.
const DEFAULT_CONFIG: &str = "/etc/fluxheim/fluxheim.toml";

/// Flags that only the other program has.
const OF_THE_PROXY: [&str; 3] = ["check-config", "print-config", "hash-password"];

/// Where the image has the proxy.
const DEFAULT_PROXY: &str = "/fluxheim";

pub(crate) const HELP: &str = "\
fluxheim-init: verifies storage, hardens, starts the proxy and watches over it

  fluxheim-init [--config FILE] [--profile NAME] [--proxy PATH]
      start and supervise; the entry point of the image
  fluxheim-init --exec [--config FILE] [--profile NAME] [--proxy PATH]
      the same, but become the proxy, which judges itself: no supervision, no --health
  fluxheim-init --check-tls-storage [--config FILE] [--profile NAME] [--format text|json]
                [--also ROLE=PATH]... [--repair] [--wait TIME]
      judge the files the configuration names, and whether certificates and keys are what they
      should be; starts nothing. --also judges another file (roles: private-key, ca-bundle,
      eab-hmac, state-folder and more), --repair takes excess rights from files of the service
      user, --wait 30s waits for files that are not there yet (75 when they don't come)
  fluxheim-init --posture [--config FILE] [--profile NAME] [--format text|json]
      what this environment gives and what would be refused; starts no proxy
  fluxheim-init --posture --running [--config FILE] [--format text|json]
      what the running instance was judged at its start
  fluxheim-init --health [--ready] [--config FILE]
      0 when the running instance is alive (ready), else 75; for probes
  fluxheim-init --sleep SECONDS
      for preStop hooks in an image without a shell; TERM ends it early

  --config FILE   a file, or a folder of *.toml; default /etc/fluxheim/fluxheim.toml
  --profile NAME  container, docker-root, k8s-restricted, rootless or strict, instead
                  of the configuration's own
  --proxy PATH    default /fluxheim
  --help, --version

Signals: TERM, INT, QUIT, PWR and RTMIN+3 stop, HUP reloads, USR1 prints the
posture report of the start again. NOTIFY_SOCKET is told READY and STOPPING.

Exit codes: 0 fine, 64 usage, 70 internal, 75 try again, 78 refused, 126 can't
execute, 127 not found; otherwise the proxy's own, 128+n when a signal ended it.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn no_arguments_start_the_image_s_own() {
        let start = Start { config: DEFAULT_CONFIG.into(), proxy: DEFAULT_PROXY.into(), profile: None };
        assert_eq!(parsed(""), Ok(Command::Run(start)));
    }

    #[test]
    fn reads_every_mode() {
        let config = PathBuf::from("/c");
        let json = Format::Json;
        let request = Request {
            config: config.clone(),
            profile: Some(Profile::Strict),
            also: vec![parse_also("state-folder=/s".as_ref()).unwrap()],
            repair: true,
            wait: Some(Duration::from_secs(30)),
            json: true,
        };
        let flags = "--also state-folder=/s --repair --wait 30s --profile strict";
        assert_eq!(
            parsed(&format!("--check-tls-storage --format json --config /c {flags}")),
            Ok(Command::CheckStorage(request))
        );
        assert_eq!(
            parsed("--posture --running --format=json --config=/c"),
            Ok(Command::Running { config: config.clone(), format: json })
        );
        assert_eq!(parsed("--health --ready --config /c"), Ok(Command::Health { config, ready: true }));
        assert_eq!(parsed("--sleep 5"), Ok(Command::Sleep(Duration::from_secs(5))));
        let start = Start { config: "/c".into(), proxy: "/p".into(), profile: Some(Profile::DockerRoot) };
        assert_eq!(parsed("--exec --profile docker-root --config /c --proxy /p"), Ok(Command::Exec(start)));
        assert_eq!(parsed("--help"), Ok(Command::Help));
        assert_eq!(parsed("--version"), Ok(Command::Version));
    }

    #[test]
    fn names_the_program_that_has_a_flag() {
        let told = parsed("--check-config").unwrap_err();
        assert!(told.starts_with("invalid option '--check-config': it is the proxy's"), "{told}");
        assert!(told.ends_with("run --entrypoint /fluxheim IMAGE --check-config"), "{told}");
        assert!(parsed("--conifg").unwrap_err().starts_with("invalid option '--conifg'"));
    }

    #[test]
    fn a_relative_config_becomes_absolute() {
        let Ok(Command::Run(start)) = parsed("--config x.toml") else { panic!("no run") };
        assert!(start.config.is_absolute());
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for line in [
            "--fly",
            "extra",
            "--config",
            "--sleep soon",
            "--sleep -1",
            "--format xml --posture",
            "--format json",
            "--ready",
            "--running",
            "--health --posture",
            "--health --proxy /p",
            "--exec --posture",
            "--profile docker",
            "--health --profile strict",
            "--repair",
            "--posture --wait 1s",
            "--also state-folder=/s",
            "--check-tls-storage --wait soon",
            "--check-tls-storage --also /s",
            "--posture --running --profile strict",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
