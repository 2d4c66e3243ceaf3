//! The main child between fork and exec.
//!
//! Owns the order of what happens there, and how the child tells its parent what failed. See
//! fork(2), execve(2), prctl(2) PR_SET_PDEATHSIG.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fluxheim_config::{Control, Hardening, exit};
use fluxheim_posture::Errno;
use fluxheim_posture::apply::{self, Failure};
use fluxheim_posture::environment::looks_secret;
use fluxheim_posture::handoff::{FD_VARIABLE, InitEnd, Legacy};
use nix::errno::Errno as Os;
use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, execve, getppid, pipe2, setpgid, write};

use crate::{notify, sys};

/// A started child.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) handoff: InitEnd,
    /// Controls that couldn't be applied in the child.
    pub(crate) failures: Vec<Failure>,
    /// Why the program didn't start; the child then ends with 126 or 127 by itself.
    pub(crate) not_executed: Option<Os>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("{0:?} holds a NUL byte")]
    Nul(std::ffi::OsString),
    #[error("can't start a child: {what}: {errno}")]
    System { what: &'static str, errno: Os },
    #[error("can't execute {}: {errno}", program.display())]
    NotExecuted { program: PathBuf, errno: Os },
    #[error(transparent)]
    Handoff(#[from] fluxheim_posture::handoff::HandoffError),
}

impl SpawnError {
    /// What to exit with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NotExecuted { errno, .. } => code_of(*errno),
            Self::Nul(_) | Self::System { .. } | Self::Handoff(_) => exit::INTERNAL,
        }
    }
}

fn code_of(errno: Os) -> u8 {
    if errno == Os::ENOENT { exit::NOT_FOUND } else { exit::CANNOT_EXEC }
}

/// Starts `program` with `arguments`, hardened as far as that is done from outside.
///
/// # Errors
/// When the kernel gives no pipe, socketpair or process.
pub(crate) fn start(
    program: &Path,
    arguments: &[&OsStr],
    hardening: &Hardening,
) -> Result<Started, SpawnError> {
    let (handoff, theirs) = InitEnd::pair()?;
    let (news, report) =
        pipe2(OFlag::O_CLOEXEC).map_err(|errno| SpawnError::System { what: "pipe", errno })?;
    let plan = Plan {
        program: c_string(program.as_os_str())?,
        arguments: with_name(program, arguments)?,
        environment: environment(theirs.as_raw_fd(), hardening)?,
        parent: Pid::this(),
    };
    let pid = sys::fork(|| plan.become_program(hardening, &theirs, &report))
        .map_err(|errno| SpawnError::System { what: "fork", errno })?;
    // In the child too; whoever comes first, no signal to the group finds it missing. After the
    // exec this one fails, and then the child has done it.
    let _ = setpgid(pid, pid);
    drop((theirs, report));
    let (failures, not_executed) = read_news(news);
    Ok(Started { pid, handoff, failures, not_executed })
}

/// Becomes `program` in this process, hardened likewise; returns only what kept it from that.
///
/// The stop signals and HUP stay blocked: the proxy takes them as soon as it can, and none that came
/// before is lost, not even for PID 1, which the kernel spares their default action.
pub(crate) fn replace(
    program: &Path,
    arguments: &[&OsStr],
    hardening: &Hardening,
    mut legacy: Legacy,
) -> Result<Infallible, SpawnError> {
    let (ours, theirs) = InitEnd::pair()?;
    let name = c_string(program.as_os_str())?;
    let arguments = with_name(program, arguments)?;
    let environment = environment(theirs.as_raw_fd(), hardening)?;
    legacy.failures.extend(apply::in_child(hardening, theirs.as_fd()));
    sys::default_dispositions();
    // They have a meaning to a supervisor and none to the proxy, which they would end.
    IGNORED.into_iter().for_each(sys::ignore);
    let kept = KEPT_BLOCKED.into_iter().collect::<SigSet>();
    kept.thread_set_mask().map_err(|errno| SpawnError::System { what: "sigprocmask", errno })?;
    legacy.failures.extend(apply::filter(hardening));
    ours.leave(legacy)?;
    execve(&name, &arguments, &environment)
        .map_err(|errno| SpawnError::NotExecuted { program: program.to_owned(), errno })
}

struct Plan {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    parent: Pid,
}

impl Plan {
    fn become_program(self, hardening: &Hardening, handoff: &OwnedFd, report: &OwnedFd) -> u8 {
        // Its own group: a terminal's Ctrl-C then reaches init alone, which forwards it.
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        for failure in apply::in_child(hardening, handoff.as_fd()) {
            tell(report, news_of(failure.control), failure.errno.number);
        }
        sys::default_dispositions();
        // After everything that changes credentials, which would clear it. TERM, so that requests
        // in flight are still finished when init is lost.
        let _ = set_pdeathsig(Signal::SIGTERM);
        if getppid() != self.parent {
            return exit::SIGNAL_BASE + SIGTERM;
        }
        // A signal that came meanwhile now does what it does to any program.
        let _ = SigSet::empty().thread_set_mask();
        if let Some(failure) = apply::filter(hardening) {
            tell(report, news_of(failure.control), failure.errno.number);
        }
        let Err(errno) = execve(&self.program, &self.arguments, &self.environment);
        tell(report, NOT_EXECUTED, errno as i32);
        code_of(errno)
    }
}

fn with_name(program: &Path, arguments: &[&OsStr]) -> Result<Vec<CString>, SpawnError> {
    std::iter::once(program.as_os_str()).chain(arguments.iter().copied()).map(c_string).collect()
}

/// Our own environment, with the number of the handoff in it and no stale one.
///
/// What looks like a secret stays here: the proxy takes none from its environment.
fn environment(handoff: i32, hardening: &Hardening) -> Result<Vec<CString>, SpawnError> {
    let ours = (FD_VARIABLE.into(), handoff.to_string().into());
    let scrubs = hardening.applies(Control::Environment);
    let others = std::env::vars_os().filter(|(name, value)| {
        name != FD_VARIABLE && name != notify::VARIABLE && !(scrubs && looks_secret(name, value))
    });
    others
        .chain([ours])
        .map(|(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            c_string(&pair)
        })
        .collect()
}

fn c_string(text: &OsStr) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes()).map_err(|_| SpawnError::Nul(text.to_owned()))
}

/// One piece of news is a byte for what and four for the errno; a pipe takes so few at once.
fn tell(report: &OwnedFd, what: u8, errno: i32) {
    let [a, b, c, d] = errno.to_ne_bytes();
    // The parent is gone when this fails, and with it whoever would read.
    let _ = write(report, &[what, a, b, c, d]);
}

/// Reads until the exec closes the pipe, or the child ends.
fn read_news(news: OwnedFd) -> (Vec<Failure>, Option<Os>) {
    let mut bytes = Vec::new();
    // A read error leaves what came before it; the read-back judges in any case.
    let _ = File::from(news).read_to_end(&mut bytes);
    let mut failures = Vec::new();
    let mut not_executed = None;
    for piece in bytes.chunks_exact(5) {
        let [what, number @ ..] = piece else { continue };
        let Ok(number) = number.try_into().map(i32::from_ne_bytes) else { continue };
        match Control::ALL.get(usize::from(*what)) {
            Some(control) => {
                failures.push(Failure { control: *control, errno: Errno::from(Os::from_raw(number)) });
            }
            None => not_executed = Some(Os::from_raw(number)),
        }
    }
    (failures, not_executed)
}

fn news_of(control: Control) -> u8 {
    let place = Control::ALL.iter().position(|one| *one == control);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(NOT_EXECUTED)
}

const NOT_EXECUTED: u8 = u8::MAX;
const SIGTERM: u8 = 15;

/// USR1, USR2, PWR and RTMIN+3.
const IGNORED: [i32; 4] = [Signal::SIGUSR1 as i32, Signal::SIGUSR2 as i32, Signal::SIGPWR as i32, 37];

/// Those the proxy handles.
const KEPT_BLOCKED: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];
