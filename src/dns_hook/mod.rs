//! `fluxheim dns-hook`: runs the program that makes DNS records for a proxy, which can start none itself.
//!
//! Owns the life of that process: what it gives up before anything else, its runtime, its end. It goes to the
//! proxy's socket and is asked there; nobody can connect to it.

mod children;
mod program;
mod session;
mod signals;
mod tail;

use std::ffi::OsString;
use std::sync::Arc;

use fluxheim_config::{LogLevel, exit};
use fluxheim_posture::apply::protect_starter;
use fluxheim_trust::socket::Peers;
use fluxheim_trust::{Identity, Refused, judge_program};
use tokio::task::JoinSet;

use crate::cli::DnsHook;
use crate::telemetry::diagnostics;
use crate::types::VERSION;
use program::Program;
use session::Work;

/// Why no program is run.
#[derive(Debug, thiserror::Error)]
pub enum DnsHookError {
    #[error("dns-hook: --pass-env {0}: there is no such variable here")]
    NoVariable(String),
    #[error(
        "dns-hook: --allow-uid {0}: that stands for every user without a number here, and so for nobody; run the proxy as a user with one"
    )]
    Nobody(u32),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("dns-hook: this process can't be kept from giving more to programs than it should: {0}")]
    Unprotected(fluxheim_posture::Errno),
    #[error("dns-hook: cannot start a thread or the runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

impl DnsHookError {
    /// As docs/exit-codes.md has it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoVariable(_) | Self::Nobody(_) | Self::Refused(_) => exit::REFUSED,
            Self::Unprotected(_) | Self::Runtime(_) => exit::INTERNAL,
        }
    }
}

/// Runs programs until told to stop.
///
/// # Errors
/// [`DnsHookError`], before anything is run.
pub fn run(options: DnsHook) -> Result<(), DnsHookError> {
    let environment = passed(&options.pass_env)?;
    if let Some(uid) = options.allow_uid.filter(|uid| Peers::of_this_process().is_nobody(*uid)) {
        return Err(DnsHookError::Nobody(uid));
    }
    protect_starter().map_err(DnsHookError::Unprotected)?;
    // Each run is judged anew; what is wrong from the start is told at the start.
    judge_program(program::NAME, &options.program)?;
    let _diagnostics = diagnostics::install(LogLevel::Info)?;
    // Judging and starting a program takes a thread for a moment.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNS).enable_all().build()?;
    let (stop, ended) = signals::listen()?;
    runtime.block_on(async {
        let DnsHook { socket, timeout, program, arguments, zones, allow_uid, .. } = options;
        tracing::info!(version = VERSION, program = %program.display(), socket = %socket.display(), "dns-hook started");
        if zones.is_empty() && Identity::current().uid == 0 {
            tracing::warn!("dns-hook runs as root and without --zone: whoever is the proxy may have any record made");
        }
        let program = Program::new(program, arguments, environment, timeout, ended);
        let work = Arc::new(Work::new(socket, allow_uid, zones, program));
        let reaping = Arc::clone(&work);
        tokio::spawn(async move { reaping.reap_orphans().await });
        let mut sessions = JoinSet::new();
        for _ in 0..RUNS {
            sessions.spawn(session::serve(Arc::clone(&work), stop.clone()));
        }
        while sessions.join_next().await.is_some() {}
        tracing::info!("dns-hook stopped");
    });
    Ok(())
}

/// The variables of those names.
fn passed(names: &[String]) -> Result<Vec<(String, OsString)>, DnsHookError> {
    let read = |name: &String| match std::env::var_os(name) {
        Some(value) => Ok((name.clone(), value)),
        None => Err(DnsHookError::NoVariable(name.clone())),
    };
    names.iter().map(read).collect()
}

/// Programs at once: a proxy has some orders under way, each for another name.
const RUNS: usize = 4;
