//! From a command line to a running proxy and back to an exit code.
//!
//! Owns the order of the start: configuration, own hardening, the word of PID 1, keys, listeners,
//! ready. Key material is opened only after PID 1 has agreed. Decides nothing about requests.

mod acme;
mod certify;
mod control;
mod drain;
mod expiry;
mod export;
mod fixed;
mod handoff;
mod manners;
mod orders;
mod password;
mod patience;
mod record;
mod reload;
mod rotate;
mod serve;
mod shown;
mod signals;

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fluxheim_config::{Acme, Config, exit};
use fluxheim_posture::apply::{becomes, protect_reader};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::proxy::harden_after;
use fluxheim_trust::command::{Answer, Request, answer};
use fluxheim_trust::socket::{OwnSocket, SocketError};
use fluxheim_trust::{HOOK_SOCKET, Identity, Terms};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::app::control::Evidence;
use crate::app::handoff::Word;
use crate::app::serve::Given;
use crate::cli::{self, Command, Configuration, Ctl, DnsHook};
use crate::ctl;
use crate::dns_hook;
use crate::types::{BUILD_PROFILE, COMMIT, VERSION};

/// Runs the program; the value is its exit code.
#[must_use]
pub fn main<I>(args: I) -> u8
where
    I: IntoIterator<Item = std::ffi::OsString>,
{
    let command = match cli::parse(args) {
        Ok(command) => command,
        Err(mistake) => {
            say(&format!("fluxheim: {mistake}\nTry fluxheim --help"));
            return exit::USAGE;
        }
    };
    match command {
        Command::Help => print(cli::HELP),
        Command::Version => print(&format!("fluxheim {VERSION} (commit {COMMIT}, {BUILD_PROFILE} build)\n")),
        Command::CheckConfig(at) => with_config(&at, |_| print("configuration is valid\n")),
        Command::PrintConfig(at) => with_config(&at, |config| print(&config.to_toml())),
        Command::HashPassword => password::hash(),
        Command::Completions(shell) => print(&cli::completions::script(shell)),
        Command::CheckTlsStorage(request) => check_storage(&request),
        Command::Ctl(ask) => control(&ask),
        Command::CtlHelp => print(cli::CTL_HELP),
        Command::DnsHook(options) => hook(options),
        Command::DnsHookHelp => print(cli::DNS_HOOK_HELP),
        Command::Run(at) => run(&at),
    }
}

fn with_config(at: &Configuration, then: impl FnOnce(Config) -> u8) -> u8 {
    match load(at) {
        Ok(config) => then(config),
        Err(mistakes) => {
            say(&mistakes);
            exit::REFUSED
        }
    }
}

/// Reads and validates the configuration; the error is text for people, one mistake a line.
///
/// # Errors
/// Everything that is wrong with the file or its place.
pub fn load(at: &Configuration) -> Result<Config, String> {
    let sources =
        fluxheim_trust::read_config(&at.path, &Identity::current()).map_err(|error| error.to_string())?;
    fluxheim_config::parse_under(&sources, at.profile).map_err(|mistakes| mistakes.to_string())
}

fn check_storage(request: &Request) -> u8 {
    // It reads keys, if only to look at them.
    if let Err(errno) = protect_reader() {
        say(&format!("fluxheim: cannot keep others from reading this process's memory: {errno}"));
        return exit::INTERNAL;
    }
    // As PID 1 it would not hear of them otherwise.
    for (signal, code) in [(SIGTERM, 143), (SIGINT, 130)] {
        let ends = Arc::new(AtomicBool::new(true));
        if let Err(error) = signal_hook::flag::register_conditional_shutdown(signal, code, ends) {
            say(&format!("fluxheim: cannot listen to signals: {error}"));
            return exit::INTERNAL;
        }
    }
    // As fluxheim-init would start it from here.
    match answer(request, |config| becomes(&config.hardening)) {
        Answer::Report(text, code) => print(&text).max(code),
        Answer::Refused(said, code) => {
            say(&said);
            code
        }
    }
}

/// Asks the running proxy.
fn control(ask: &Ctl) -> u8 {
    let socket = match &ask.socket {
        Some(socket) => socket.clone(),
        None => match configured_socket(&ask.config) {
            Ok(socket) => socket,
            Err(said) => {
                say(&said);
                return exit::REFUSED;
            }
        },
    };
    match ctl::run(&socket, &ask.order, ask.json) {
        Ok(text) => print(&text),
        Err(ctl::Failure { text, said, code }) => {
            if let Some(text) = text {
                // What went wrong decides, whether it can be printed or not.
                let _ = print(&text);
            }
            say(&format!("fluxheim: {said}"));
            code
        }
    }
}

/// Runs programs for a proxy until told to stop.
fn hook(options: DnsHook) -> u8 {
    match dns_hook::run(options) {
        Ok(()) => exit::OK,
        Err(error) => {
            say(&format!("fluxheim: {error}"));
            error.exit_code()
        }
    }
}

/// The admin socket, which is needed most when something else in the configuration is wrong.
fn configured_socket(at: &Configuration) -> Result<PathBuf, String> {
    let sources =
        fluxheim_trust::read_config(&at.path, &Identity::current()).map_err(|error| error.to_string())?;
    if let Some(socket) = fluxheim_config::admin_socket(&sources) {
        return Ok(socket);
    }
    fluxheim_config::parse(&sources).map_err(|mistakes| mistakes.to_string())?;
    Err(format!(
        "fluxheim: {} names no admin socket: set socket = \"/run/fluxheim/admin.sock\" in [admin] and start the \
         proxy anew, or say --socket PATH",
        at.path.display()
    ))
}

fn run(at: &Configuration) -> u8 {
    let config = match load(at) {
        Ok(config) => config,
        Err(mistakes) => {
            say(&mistakes);
            return exit::REFUSED;
        }
    };
    // Before anything else is opened: the number it comes under must not be ours by chance.
    let supervisor = match handoff::take() {
        Ok(supervisor) => supervisor,
        Err(error) => {
            say(&format!("fluxheim: {error}"));
            return exit::INTERNAL;
        }
    };
    // Before anything starts a thread: memory is locked, files and calls are confined, for all of
    // them or for none.
    let reach = Reach::of(&config, &at.path);
    let mut made = Ok(Sockets::default());
    let report =
        harden_after(&config.hardening, config.has_secrets(), &reach, || made = Sockets::make(&config));
    let sockets = match made {
        Ok(sockets) => sockets,
        Err(error) => {
            say(&format!("fluxheim: {error}"));
            return if error.may_heal() { exit::TRY_AGAIN } else { exit::REFUSED };
        }
    };
    let evidence = report.clone();
    let confined_to = report.is_confined().then_some(reach);
    let Ok(_diagnostics) = crate::telemetry::diagnostics::install(config.logging.level) else {
        say("fluxheim: cannot start a thread");
        return exit::INTERNAL;
    };
    let word = match handoff::agree(supervisor, report, &config) {
        Ok(word) => word,
        Err(stop) => return stop,
    };
    if let Err(reason) = crate::tls::install_provider() {
        tracing::error!(reason, "cannot start");
        return exit::INTERNAL;
    }
    let Word { supervisor, posture } = word;
    let evidence = Evidence { posture, report: evidence };
    serve::run(at, config, Given { supervisor, evidence, confined_to, sockets })
}

/// A socket of ours, and who comes there.
type Listening = (OwnSocket, UnixListener);

/// The sockets that are to be there: once the process is confined, it can make none.
#[derive(Default)]
struct Sockets {
    admin: Option<Listening>,
    /// Where `fluxheim dns-hook` comes.
    hook: Option<Listening>,
}

impl Sockets {
    fn make(config: &Config) -> Result<Self, SocketError> {
        let terms = Terms::of(config, Identity::current());
        let listen =
            |name, path: Option<&PathBuf>| path.map(|path| OwnSocket::listen(name, path, &terms)).transpose();
        let hook = config.acme.as_ref().and_then(Acme::hook).map(|hook| &hook.socket);
        Ok(Self {
            admin: listen("admin.socket", config.admin.socket.as_ref())?,
            hook: listen(HOOK_SOCKET, hook)?,
        })
    }
}

/// Prints to stdout; 70 when nobody can read it.
fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::OK,
        Err(_) => exit::INTERNAL,
    }
}

/// Prints to stderr, before there are diagnostics.
fn say(text: &str) {
    // Nothing is left to report a broken stderr to.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}
