//! The command line of `fluxheim dns-hook`.
//!
//! Owns its flags, and which of their values make sense; runs nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use fluxheim_trust::command::parse_time;
use lexopt::prelude::{Long, Short, Value};

use super::{text, value};

/// Which program is run, for whom, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHook {
    /// Where the proxy waits, as `[acme.dns] socket` says.
    pub socket: PathBuf,
    /// How long one run may take.
    pub timeout: Duration,
    /// Names of variables that the program gets, besides PATH.
    pub pass_env: Vec<String>,
    /// Whose proxy is obeyed, besides the own user's and root's.
    pub allow_uid: Option<u32>,
    /// Outside of which nothing is done; empty is no limit. In lower case, with no dot at the end.
    pub zones: Vec<String>,
    /// An absolute path.
    pub program: PathBuf,
    /// What it gets before the verb.
    pub arguments: Vec<OsString>,
}

/// What is left of the arguments behind `dns-hook`; `None` asks for help.
pub(super) fn parse(parser: &mut lexopt::Parser) -> Result<Option<DnsHook>, String> {
    let (mut socket, mut timeout, mut allow_uid) = (None, TIMEOUT, None);
    let (mut pass_env, mut zones) = (Vec::new(), Vec::new());
    let program = loop {
        match parser.next().map_err(|error| error.to_string())? {
            Some(Long("socket")) => socket = Some(PathBuf::from(value(parser)?)),
            Some(Long("timeout")) => timeout = parse_timeout(&value(parser)?)?,
            Some(Long("pass-env")) => pass_env.push(parse_variable(text(value(parser)?)?)?),
            Some(Long("allow-uid")) => allow_uid = Some(parse_uid(&text(value(parser)?)?)?),
            Some(Long("zone")) => zones.push(parse_zone(&text(value(parser)?)?)?),
            Some(Long("help") | Short('h')) => return Ok(None),
            Some(Value(program)) => break PathBuf::from(program),
            Some(other) => return Err(other.unexpected().to_string()),
            None => return Err("dns-hook: name the program that it runs, behind --".to_owned()),
        }
    };
    let arguments = parser.raw_args().map_err(|error| error.to_string())?.collect();
    let socket = socket.ok_or("dns-hook: say --socket PATH, as socket in [acme.dns] has it")?;
    if !program.is_absolute() {
        let program = program.display();
        return Err(format!("dns-hook: {program} is no absolute path: nothing is searched for"));
    }
    Ok(Some(DnsHook { socket, timeout, pass_env, allow_uid, zones, program, arguments }))
}

fn parse_timeout(value: &OsString) -> Result<Duration, String> {
    let time = parse_time("--timeout", value)?;
    match (Duration::from_secs(1)..=LONGEST).contains(&time) {
        true => Ok(time),
        false => Err(format!("--timeout is 1s to {}m, not {}", LONGEST.as_secs() / 60, value.display())),
    }
}

fn parse_variable(name: String) -> Result<String, String> {
    let fits = |(at, byte): (usize, u8)| {
        byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit())
    };
    if name.is_empty() || !name.bytes().enumerate().all(fits) {
        return Err(format!(
            "--pass-env takes the name of a variable, and nothing of its value, not {name:?}"
        ));
    }
    match name.as_str() {
        "PATH" => Err("--pass-env PATH: every program gets the same PATH".to_owned()),
        _ => Ok(name),
    }
}

fn parse_uid(text: &str) -> Result<u32, String> {
    // The highest number stands for none (chown(2)).
    text.parse().ok().filter(|uid| *uid != u32::MAX).ok_or_else(|| format!("--allow-uid {text:?} is no uid"))
}

fn parse_zone(text: &str) -> Result<String, String> {
    let zone = text.trim_end_matches('.').to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    match zone.is_empty() || !zone.bytes().all(fits) || zone.split('.').any(str::is_empty) {
        true => Err(format!("--zone {text:?} is no name of a zone")),
        false => Ok(zone),
    }
}

/// Interfaces of DNS providers answer within seconds, and may want a few calls.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longer, and an order would hold up the others.
const LONGEST: Duration = Duration::from_secs(600);

/// The usage text.
pub const HELP: &str = "\
fluxheim dns-hook: runs a program that makes DNS records, for a proxy that can run none. It goes to the socket
that the proxy listens on ([acme.dns] provider = \"hook\"), and is asked for one record at a time.

Usage: fluxheim dns-hook --socket PATH [OPTION]... -- PROGRAM [ARGUMENT]...

      --socket PATH        the proxy's socket, as in [acme.dns]
      --timeout TIME       what a run may take, then it is ended: 1s to 10m [default: 60s]
      --pass-env NAME      a variable that PROGRAM gets from here; it gets no other but PATH
      --zone ZONE          do nothing outside of it; may stand there several times
      --allow-uid UID      the proxy's user, where that is neither this one nor root
  -h, --help               this text

PROGRAM is started as PROGRAM [ARGUMENT]... present NAME VALUE to add the TXT record, and with cleanup in place of
present to remove it, as by lego's provider exec: \"present\" \"_acme-challenge.example.com.\" \"VALUE\". It exits with 0
when that is done. Its file, and each folder on the way, must be root's or this user's, and for nobody else to write.

Signals: TERM, INT, QUIT and HUP stop; a program that runs is waited for, up to its time.
Exit codes: 0 fine, 64 usage, 70 internal, 78 refused (the program, a variable that is not there,
--allow-uid of nobody).
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    fn parsed(args: &str) -> Result<Command, String> {
        parse(args.split(' ').map(OsString::from))
    }

    #[test]
    fn reads_the_program_with_all_that_follows() {
        let args =
            "dns-hook --socket /s --timeout 90s --pass-env TOKEN --pass-env _B2 --zone A.test. --allow-uid 7";
        let expected = DnsHook {
            socket: "/s".into(),
            timeout: Duration::from_secs(90),
            pass_env: vec!["TOKEN".to_owned(), "_B2".to_owned()],
            allow_uid: Some(7),
            zones: vec!["a.test".to_owned()],
            program: "/bin/hook".into(),
            arguments: ["--socket", "x", "--"].map(OsString::from).to_vec(),
        };
        let parsed_by = |dash: &str| parsed(&format!("{args} {dash}/bin/hook --socket x --"));
        assert_eq!(parsed_by("-- "), Ok(Command::DnsHook(expected.clone())));
        assert_eq!(parsed_by(""), Ok(Command::DnsHook(expected)));
        assert_eq!(parsed("dns-hook --socket /s --help"), Ok(Command::DnsHookHelp));
    }

    #[test]
    fn refuses_what_would_do_something_else() {
        for (args, why) in [
            ("dns-hook -- /bin/hook", "--socket"),
            ("dns-hook --socket /s", "name the program"),
            ("dns-hook --socket /s -- hook", "absolute"),
            ("dns-hook --socket /s --timeout 0s -- /h", "--timeout"),
            ("dns-hook --socket /s --timeout 11m -- /h", "--timeout"),
            ("dns-hook --socket /s --timeout soon -- /h", "--timeout"),
            ("dns-hook --socket /s --pass-env A=b -- /h", "nothing of its value"),
            ("dns-hook --socket /s --pass-env PATH -- /h", "PATH"),
            ("dns-hook --socket /s --zone a..b -- /h", "--zone"),
            ("dns-hook --socket /s --allow-uid root -- /h", "--allow-uid"),
            ("dns-hook --socket /s --config x -- /h", "--config"),
            ("--config x dns-hook --socket /s -- /h", "--config does not go before dns-hook"),
            ("--check-config dns-hook --socket /s -- /h", "dns-hook"),
        ] {
            let told = parsed(args).unwrap_err();
            assert!(told.contains(why), "{args}: {told}");
        }
    }
}
