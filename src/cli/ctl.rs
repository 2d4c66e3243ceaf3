//! The command line of `fluxheim ctl`.
//!
//! Owns its words and flags; asks nobody.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value};

use super::{Configuration, parse_format, text, value};
use crate::admin::Reason;

/// What is asked of a running proxy, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ctl {
    /// Where `[admin] socket` stands, unless the socket itself is named.
    pub config: Configuration,
    pub socket: Option<PathBuf>,
    pub order: Order,
    pub json: bool,
}

/// One operation of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Status,
    Reload,
    Drain,
    Posture,
    Upstreams,
    /// Take a server out of an upstream, or back in.
    SetServer {
        upstream: String,
        server: String,
        drain: bool,
    },
    Certificates,
    Renew(String),
    Revoke(String, Reason),
    Rollover(Option<String>),
    Deactivate(Option<String>),
}

/// What is left of the arguments behind `ctl`; `None` asks for help.
pub(super) fn parse(parser: &mut lexopt::Parser, mut config: Option<PathBuf>) -> Result<Option<Ctl>, String> {
    let (mut words, mut socket, mut json) = (Vec::new(), None, None);
    let (mut reason, mut issuer) = (None, None);
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Long("config") => config = Some(PathBuf::from(value(parser)?)),
            Long("socket") => socket = Some(PathBuf::from(value(parser)?)),
            Long("format") => json = Some(parse_format(parser)?),
            Long("reason") => reason = Some(parse_reason(&text(value(parser)?)?)?),
            Long("issuer") => issuer = Some(text(value(parser)?)?),
            Long("help") | Short('h') => return Ok(None),
            Value(word) => words.push(text(word)?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = |name: &str| name.to_owned();
    let set = |upstream: &str, server: &str, drain| Order::SetServer {
        upstream: name(upstream),
        server: name(server),
        drain,
    };
    let order = match words[..] {
        ["status"] => Order::Status,
        ["reload"] => Order::Reload,
        ["drain"] => Order::Drain,
        ["posture"] => Order::Posture,
        ["upstreams"] | ["upstreams", "list"] => Order::Upstreams,
        ["upstreams", "drain", upstream, server] => set(upstream, server, true),
        ["upstreams", "ready", upstream, server] => set(upstream, server, false),
        ["certs"] | ["certs", "list"] => Order::Certificates,
        ["certs", "renew", certificate] => Order::Renew(name(certificate)),
        ["certs", "revoke", certificate] => {
            Order::Revoke(name(certificate), reason.take().unwrap_or_default())
        }
        ["acme", "rollover"] => Order::Rollover(issuer.take()),
        ["acme", "deactivate"] => Order::Deactivate(issuer.take()),
        [] => {
            return Err(
                "ctl: say what is asked for: ctl status, say; fluxheim ctl --help lists it".to_owned()
            );
        }
        _ => return Err(format!("ctl: {:?} is none of what fluxheim ctl --help lists", words.join(" "))),
    };
    if reason.is_some() {
        return Err("--reason goes with ctl certs revoke NAME".to_owned());
    }
    if issuer.is_some() {
        return Err("--issuer goes with ctl acme".to_owned());
    }
    let config =
        Configuration { path: config.unwrap_or_else(|| super::DEFAULT_CONFIG.into()), profile: None };
    Ok(Some(Ctl { config, socket, order, json: json.unwrap_or(false) }))
}

fn parse_reason(text: &str) -> Result<Reason, String> {
    REASONS.iter().find(|(name, _)| *name == text).map(|(_, reason)| *reason).ok_or_else(|| {
        let known: Vec<_> = REASONS.iter().map(|(name, _)| *name).collect();
        format!("--reason is one of {}, not {text:?}", known.join(", "))
    })
}

const REASONS: [(&str, Reason); 5] = [
    ("unspecified", Reason::Unspecified),
    ("key-compromise", Reason::KeyCompromise),
    ("affiliation-changed", Reason::AffiliationChanged),
    ("superseded", Reason::Superseded),
    ("cessation-of-operation", Reason::CessationOfOperation),
];

/// The usage text.
pub const HELP: &str = "\
fluxheim ctl: asks the running proxy, and gives it orders, over its admin socket.

Usage: fluxheim ctl [--config PATH | --socket PATH] [--format FORMAT] ORDER

      --config PATH        where [admin] names the socket [default: /etc/fluxheim/fluxheim.toml]
      --socket PATH        the socket itself
      --format FORMAT      text for people or json for programs [default: text]

Orders:
  status                   version, configuration, listeners, connections, upstreams
  reload                   take the configuration anew, as SIGHUP does; says what is wrong with it
  drain                    finish what is in flight and stop, as SIGTERM does
  posture                  the hardening controls, as they were judged at the start
  upstreams list           upstreams with the state of each server
  upstreams drain NAME SERVER    no new requests for SERVER (host:port) of upstream NAME, until
  upstreams ready NAME SERVER    it is taken in again; holds over reloads, not over a restart
  certs list               certificates, the first to expire first
  certs renew NAME         order a certificate anew now
  certs revoke NAME        revoke it; --reason unspecified (default), key-compromise,
                           affiliation-changed, superseded, cessation-of-operation
  acme rollover            new account keys; --issuer NAME: at this issuer alone
  acme deactivate          give accounts up for good; --issuer NAME likewise

Only the proxy's own user and root are listened to; in a container: docker exec NAME /fluxheim ctl status
Exit codes: 0 done; 64 usage, or no such name; 70 internal; 75 nobody answers, or not now: try again;
78 refused.
";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Command, parse};
    use super::*;

    fn parsed(args: &str) -> Result<Command, String> {
        parse(args.split(' ').map(OsString::from))
    }

    fn order(args: &str) -> Order {
        match parsed(args) {
            Ok(Command::Ctl(ctl)) => ctl.order,
            other => panic!("{args}: {other:?}"),
        }
    }

    #[test]
    fn reads_every_order_of_the_usage_text() {
        let set = |drain| Order::SetServer { upstream: "app".into(), server: "a:80".into(), drain };
        assert_eq!(order("ctl status"), Order::Status);
        assert_eq!(order("ctl upstreams drain app a:80"), set(true));
        assert_eq!(order("ctl upstreams ready app a:80"), set(false));
        assert_eq!(order("ctl upstreams"), Order::Upstreams);
        assert_eq!(
            order("ctl certs revoke a --reason=superseded"),
            Order::Revoke("a".into(), Reason::Superseded)
        );
        assert_eq!(order("ctl certs revoke a"), Order::Revoke("a".into(), Reason::Unspecified));
        assert_eq!(order("ctl acme rollover --issuer le"), Order::Rollover(Some("le".into())));
        for (words, _) in HELP.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("   ")) {
            if words.starts_with(|c: char| c.is_ascii_lowercase()) {
                order(&format!("ctl {}", words.trim()));
            }
        }
    }

    #[test]
    fn says_where_to_ask_and_how_to_show_it() {
        let Ok(Command::Ctl(ctl)) = parsed("ctl status --socket /s --format json") else { panic!() };
        assert_eq!((ctl.socket, ctl.json), (Some("/s".into()), true));
        let Ok(Command::Ctl(ctl)) = parsed("--config a.toml ctl status") else { panic!() };
        assert_eq!((ctl.config.path, ctl.socket), ("a.toml".into(), None));
        assert_eq!(parsed("ctl --help"), Ok(Command::CtlHelp));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for args in [
            "ctl",
            "ctl stop",
            "ctl status now",
            "ctl purge",
            "ctl tokens",
            "ctl upstreams drain app",
            "ctl certs renew",
            "ctl certs renew a --reason superseded",
            "ctl status --issuer a",
            "ctl certs revoke a --reason compromised",
            "ctl status --format xml",
            "--check-config ctl status",
            "ctl status --check-config",
            "status",
        ] {
            assert!(parsed(args).is_err(), "{args}");
        }
    }
}
