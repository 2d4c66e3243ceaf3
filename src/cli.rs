//! The command line of `fluxheim`.
//!
//! Owns flags and usage text; runs nothing.

pub mod completions;
mod ctl;
mod dns_hook;

use std::path::PathBuf;
use std::time::Duration;

use fluxheim_config::Profile;
use fluxheim_trust::Object;
use fluxheim_trust::command::{Request, parse_also, parse_wait};
use lexopt::prelude::{Long, Short, Value, ValueExt};

use completions::Shell;

pub use ctl::{Ctl, HELP as CTL_HELP, Order};
pub use dns_hook::{DnsHook, HELP as DNS_HOOK_HELP};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the proxy.
    Run(Configuration),
    /// Parse and validate the configuration; touch no other file.
    CheckConfig(Configuration),
    /// Check who can read or replace the files that the configuration names.
    CheckTlsStorage(Request),
    /// Print the effective configuration.
    PrintConfig(Configuration),
    /// Ask the running proxy.
    Ctl(Ctl),
    CtlHelp,
    /// Run programs for a proxy.
    DnsHook(DnsHook),
    DnsHookHelp,
    /// Print the completions for a shell.
    Completions(Shell),
    /// Make a hash of the password on stdin.
    HashPassword,
    Help,
    Version,
}

/// Where the configuration is, and under which hardening profile it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// A file, or a folder of `*.toml`.
    pub path: PathBuf,
    /// Instead of the one it names itself.
    pub profile: Option<Profile>,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// What is wrong with them, for the user.
pub fn parse<I>(args: I) -> Result<Command, String>
where
    I: IntoIterator<Item = std::ffi::OsString>,
{
    let mut parser = lexopt::Parser::from_args(args);
    let mut config = None;
    let mut json = None;
    let (mut also, mut repair, mut wait) = (Vec::new(), false, None);
    let mut profile = None;
    let mut action = None;
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Long("config") => config = Some(PathBuf::from(value(&mut parser)?)),
            Long("profile") => profile = Some(parse_profile(&mut parser)?),
            Long("format") => json = Some(parse_format(&mut parser)?),
            Long("also") => also.push(parse_also(&value(&mut parser)?)?),
            Long("repair") => repair = true,
            Long("wait") => wait = Some(parse_wait(&value(&mut parser)?)?),
            Long("check-config") => set(&mut action, "--check-config")?,
            Long("check-tls-storage") => set(&mut action, "--check-tls-storage")?,
            Long("hash-password") => set(&mut action, "--hash-password")?,
            Long("print-config") => set(&mut action, "--print-config")?,
            Value(word) if word == "ctl" && action.is_none() => {
                none_before("ctl", &before(&profile, json, &also, repair, wait))?;
                return Ok(ctl::parse(&mut parser, config)?.map_or(Command::CtlHelp, Command::Ctl));
            }
            Value(word) if word == "dns-hook" && action.is_none() => {
                none_before("dns-hook", &[("--config", config.is_some())])?;
                none_before("dns-hook", &before(&profile, json, &also, repair, wait))?;
                return Ok(dns_hook::parse(&mut parser)?.map_or(Command::DnsHookHelp, Command::DnsHook));
            }
            Value(word) if word == "completions" && action.is_none() => {
                let shell = parser.value().and_then(ValueExt::string);
                let shell =
                    shell.map_err(|_| "completions: for which shell? bash, zsh or fish".to_owned())?;
                return Shell::from_name(&shell).map(Command::Completions);
            }
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("version") | Short('V') => return Ok(Command::Version),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let given = [("--format", json.is_some()), ("--also", !also.is_empty())];
    let given = given.into_iter().chain([("--repair", repair), ("--wait", wait.is_some())]);
    if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given)
        && action != Some("--check-tls-storage")
    {
        return Err(format!("{flag} goes with --check-tls-storage"));
    }
    let path = config.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
    let config = Configuration { path, profile };
    Ok(match action {
        Some("--check-config") => Command::CheckConfig(config),
        Some("--check-tls-storage") => {
            let Configuration { path: config, profile } = config;
            let json = json.unwrap_or(false);
            Command::CheckTlsStorage(Request { config, profile, also, repair, wait, json })
        }
        Some("--hash-password") => Command::HashPassword,
        Some("--print-config") => Command::PrintConfig(config),
        _ => Command::Run(config),
    })
}

/// Flags, and whether they were given.
type Given = [(&'static str, bool)];

/// Those that a word of its own does not go with.
fn before(
    profile: &Option<Profile>,
    json: Option<bool>,
    also: &[Object],
    repair: bool,
    wait: Option<Duration>,
) -> [(&'static str, bool); 5] {
    [
        ("--profile", profile.is_some()),
        ("--format", json.is_some()),
        ("--also", !also.is_empty()),
        ("--repair", repair),
        ("--wait", wait.is_some()),
    ]
}

fn none_before(word: &str, flags: &Given) -> Result<(), String> {
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(format!("{flag} does not go before {word}")),
        None => Ok(()),
    }
}

fn set(action: &mut Option<&'static str>, name: &'static str) -> Result<(), String> {
    match action.replace(name) {
        Some(earlier) if earlier != name => Err(format!("{earlier} and {name} can't go together")),
        _ => Ok(()),
    }
}

fn parse_profile(parser: &mut lexopt::Parser) -> Result<Profile, String> {
    let value = parser.value().and_then(ValueExt::string).map_err(|error| error.to_string())?;
    let known = || Profile::ALL.map(Profile::name).join(", ");
    Profile::from_name(&value).ok_or_else(|| format!("there is no profile {value:?}; known are {}", known()))
}

fn value(parser: &mut lexopt::Parser) -> Result<std::ffi::OsString, String> {
    parser.value().map_err(|error| error.to_string())
}

fn text(value: std::ffi::OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{} is not UTF-8", value.to_string_lossy()))
}

/// Whether it is JSON.
fn parse_format(parser: &mut lexopt::Parser) -> Result<bool, String> {
    let value = parser.value().and_then(ValueExt::string).map_err(|error| error.to_string())?;
    match value.as_str() {
        "text" => Ok(false),
        "json" => Ok(true),
        other => Err(format!("--format is text or json, not {other:?}")),
    }
}

/// Where the image has it.
const DEFAULT_CONFIG: &str = "/etc/fluxheim/fluxheim.toml";

/// The usage text.
pub const HELP: &str = "\
fluxheim: the edge proxy. fluxheim-init starts it hardened; by itself it runs unverified.

Usage: fluxheim [--config PATH] [--profile NAME] [ACTION]
       fluxheim ctl ORDER    ask the running proxy; fluxheim ctl --help lists the orders
       fluxheim dns-hook ...    run a program that makes DNS records; fluxheim dns-hook --help
       fluxheim completions SHELL    print what completes its command line: bash, zsh or fish

      --config PATH        a file, or a folder of *.toml [default: /etc/fluxheim/fluxheim.toml]
      --profile NAME       hardening profile, instead of the configuration's own

Actions (default: run the proxy)
      --check-config       parse and validate; touches no other file
      --check-tls-storage  check who can read or replace the files named in the configuration, and
                           whether certificates and keys are what they should be
        --format FORMAT    text or json [default: text]
        --also ROLE=PATH   judge this file too: private-key, ca-bundle, eab-hmac, state-folder ...
        --repair           take excess rights from files of the service user (chmod only)
        --wait TIME        wait for files that are not there yet: 30s; 75 when they don't come
      --print-config       print the effective configuration, defaults included
      --hash-password      read a password from stdin and print its hash, for a line of a users_file
  -V, --version            version, commit and build profile
  -h, --help               this text

Signals: TERM, INT and QUIT drain and stop; HUP reloads the configuration and certificates.
Exit codes: 0 fine, 64 usage, 70 internal, 75 try again, 78 refused (config, policy, storage).
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(std::ffi::OsString::from))
    }

    fn at(path: &str) -> Configuration {
        Configuration { path: path.into(), profile: None }
    }

    #[test]
    fn takes_a_profile_by_its_name() {
        let strict = Configuration { profile: Some(Profile::Strict), ..at("a") };
        assert_eq!(parsed(&["--config=a", "--profile=strict"]), Ok(Command::Run(strict)));
        let told = parsed(&["--profile", "strickt"]).unwrap_err();
        assert!(told.contains("docker-root"), "{told}");
    }

    #[test]
    fn runs_the_default_configuration_without_arguments() {
        assert_eq!(parsed(&[]), Ok(Command::Run(at(DEFAULT_CONFIG))));
    }

    #[test]
    fn reads_actions_in_any_order() {
        let request = Request {
            config: "a.toml".into(),
            profile: None,
            also: vec![parse_also("cache-key=/k".as_ref()).unwrap()],
            repair: true,
            wait: Some(std::time::Duration::from_secs(30)),
            json: true,
        };
        let flags = ["--check-tls-storage", "--format=json", "--config", "a.toml", "--also=cache-key=/k"];
        let flags = [&flags[..], &["--repair", "--wait", "30s"]].concat();
        assert_eq!(parsed(&flags), Ok(Command::CheckTlsStorage(request)));
        assert_eq!(parsed(&["--hash-password"]), Ok(Command::HashPassword));
        assert_eq!(parsed(&["--config=a", "--check-config"]), Ok(Command::CheckConfig(at("a"))));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for args in [
            &["--confg", "a"][..],
            &["--config"],
            &["run"],
            &["--check-config", "--print-config"],
            &["--format", "json"],
            &["--check-tls-storage", "--format", "xml"],
            &["--check-tls-storage", "--also", "key=/a"],
            &["--check-tls-storage", "--wait", "soon"],
            &["--repair"],
            &["--check-config", "--wait", "1s"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }
}
