//! How init applies controls: to itself where the child inherits them, in the child where not.
//!
//! Owns the order of those calls; judges nothing, since a call that returned 0 proves nothing. See
//! capabilities(7), credentials(7), core(5), prctl(2).

use std::os::fd::BorrowedFd;
use std::process::Command;

use caps::{CapSet, Capability};
use fluxheim_config::{Control, Hardening};
use nix::errno::Errno as Os;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::confine::seccomp::{self, Stage};
use crate::kernel::{self, Unread};
use crate::parse::{self, Caps, CorePattern, Limit, Seccomp, Status};
use crate::report::{Errno, names};
use crate::{environment, sys};

/// Whom a start as uid 0 becomes; the image's own user.
pub const SERVICE_ID: u32 = 65532;

/// How the environment handed the process over, before anything was applied: what holds already
/// then is inherited, not our doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub(crate) core_limit: Option<Limit>,
    pub(crate) coredump_filter: Option<u64>,
    pub(crate) umask: Option<u32>,
    pub(crate) caps: Option<Caps>,
    pub(crate) no_new_privs: Option<bool>,
    pub(crate) uid: Option<u32>,
    pub(crate) seccomp: Option<Seccomp>,
    pub(crate) securebits: Option<i32>,
    pub(crate) mdwe: Option<i32>,
    pub(crate) personality: Option<u32>,
    /// Names of variables that look like secrets.
    pub(crate) environment: Vec<String>,
}

impl Baseline {
    /// Reads this process; what can't be read counts as not given.
    #[must_use]
    pub fn read() -> Self {
        let status = kernel::parsed("/proc/self/status", Status::parse).ok();
        Self {
            core_limit: kernel::parsed("/proc/self/limits", parse::core_limit).ok(),
            coredump_filter: kernel::parsed(OWN_FILTER, parse::coredump_filter).ok(),
            umask: status.as_ref().map(|status| status.umask),
            caps: status.as_ref().map(|status| status.caps),
            no_new_privs: status.as_ref().map(|status| status.no_new_privs),
            uid: Some(geteuid().as_raw()),
            seccomp: status.as_ref().map(|status| status.seccomp),
            securebits: sys::securebits().ok(),
            mdwe: sys::mdwe().ok(),
            personality: sys::personality().ok(),
            environment: environment::secrets(),
        }
    }
}

/// A control that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    #[serde(with = "names::control")]
    pub control: Control,
    pub errno: Errno,
}

/// Makes init itself unreadable to others of its uid.
///
/// # Errors
/// When the kernel refuses, which only a seccomp profile can bring about.
pub fn hide_self() -> Result<(), Errno> {
    sys::set_dumpable(false).map_err(Errno::from)
}

/// Makes a program that reads secrets only to look at them unreadable to others of its uid, and keeps
/// its memory out of core dumps.
///
/// # Errors
/// When the kernel refuses, which only a seccomp profile can bring about.
pub fn protect_reader() -> Result<(), Errno> {
    hide_self()?;
    lower_core_limit().map_err(Errno::from)
}

/// Makes a program that starts others give them nothing but what it means to: no new privilege, no core dumps, no
/// descriptor above 2, files for their owner alone. Hides its own memory as well, which they can't see then.
///
/// # Errors
/// When the kernel refuses, which only a seccomp profile can bring about.
pub fn protect_starter() -> Result<(), Errno> {
    close_the_rest_on_exec()?;
    protect_reader()?;
    umask(Mode::from_bits_truncate(0o077));
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

/// Has what `command` starts killed when this process ends, however that comes about; not what it starts in turn.
///
/// Its thread counts for it (prctl(2)): one that lives as long as the process has to start it.
pub fn end_with_starter(command: &mut Command) -> &mut Command {
    sys::end_with_starter(command)
}

/// Applies to this process what a child inherits through fork and exec.
///
/// The order is that of capabilities(7): the bounding set and securebits need CAP_SETPCAP, the ids
/// CAP_SETUID and CAP_SETGID, so the capability sets go after them. Nothing here may be reordered
/// without reading docs/hardening.md.
#[must_use]
pub fn inheritable(hardening: &Hardening) -> Vec<Failure> {
    let steps = [
        Step(Control::CoreDumps, || Ok(lower_core_limit()?)),
        Step(Control::Umask, || {
            umask(Mode::from_bits_truncate(0o077));
            Ok(())
        }),
        // With CAP_SYS_RESOURCE alone; what could not be raised shows in what the proxy may lock.
        Step(Control::MemoryLock, || {
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
            Ok(())
        }),
        Step(Control::Securebits, || Ok(lock_root_out()?)),
        Step(Control::Identity, || Ok(give_up_root()?)),
        Step(Control::Capabilities, || Ok(clear_capabilities()?)),
        // Last: it needs no privilege, and what comes before may not want it.
        Step(Control::NoNewPrivs, || Ok(nix::sys::prctl::set_no_new_privs()?)),
    ];
    let mut failures = Vec::new();
    for Step(control, step) in steps {
        // The bounding set limits what the ids' change would leave, so it is emptied before.
        if control == Control::Securebits && hardening.applies(Control::Capabilities) {
            note(&mut failures, Control::Capabilities, empty_bounding().map_err(Errno::from));
        }
        if hardening.applies(control) {
            note(&mut failures, control, step());
        }
    }
    failures
}

/// Whom a process started as this one serves as: the uid and gid that a start as uid 0 becomes, or
/// `None` when it stays who it is.
#[must_use]
pub fn becomes(hardening: &Hardening) -> Option<u32> {
    (hardening.applies(Control::Identity) && geteuid().is_root()).then_some(SERVICE_ID)
}

/// A control and how it is applied.
struct Step(Control, fn() -> Result<(), Errno>);

fn note(failures: &mut Vec<Failure>, control: Control, done: Result<(), Errno>) {
    failures.extend(done.err().map(|errno| Failure { control, errno }));
}

/// Applies the rest, in the child between fork and exec.
///
/// `handoff` is the one descriptor above 2 that shall outlive the exec.
#[must_use]
pub fn in_child(hardening: &Hardening, handoff: BorrowedFd<'_>) -> Vec<Failure> {
    let steps = [
        Step(Control::CoredumpFilter, clear_coredump_filter),
        Step(Control::Fds, || Ok(close_the_rest_on_exec()?)),
        Step(Control::Mdwe, || Ok(sys::set_mdwe()?)),
        Step(Control::Aslr, || Ok(randomise()?)),
    ];
    let mut failures = Vec::new();
    for Step(control, step) in steps {
        if hardening.applies(control) {
            note(&mut failures, control, step());
        }
    }
    let kept = sys::set_close_on_exec(handoff, false);
    note(&mut failures, Control::Fds, kept.map_err(Errno::from));
    failures
}

/// Filters the system calls of this process up to its exec and beyond; the very last thing before
/// it, since hardly anything else is possible afterwards.
#[must_use]
pub fn filter(hardening: &Hardening) -> Option<Failure> {
    if !hardening.applies(Control::Seccomp) {
        return None;
    }
    // Its text is for the proxy's own attempt to tell; the number says enough here.
    let failed = seccomp::install(Stage::Launch).err();
    failed.map(|_| Failure { control: Control::Seccomp, errno: Os::last().into() })
}

/// The limit that stops a core: 0, but 1 for a pipe, whose program the kernel starts even at 0.
/// Nothing stops a socket; 0 is no worse there, and right should the pattern become a file.
pub(crate) fn core_target(pattern: &CorePattern) -> u64 {
    match pattern {
        CorePattern::File(_) | CorePattern::Socket(_) => 0,
        CorePattern::Pipe(_) => 1,
    }
}

fn lower_core_limit() -> nix::Result<()> {
    // An unreadable pattern gets 1: below the least size of a core file, and it stops a pipe too.
    let target = kernel::parsed(CORE_PATTERN, parse::core_pattern).map_or(1, |pattern| core_target(&pattern));
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    match setrlimit(Resource::RLIMIT_CORE, target, target) {
        // A hard limit of 0 can't be raised; then dumpable 0 must stop the program.
        Err(Os::EPERM) if hard < target => setrlimit(Resource::RLIMIT_CORE, hard, hard),
        done => done,
    }
}

/// A process started from a 0111 file isn't dumpable and can't write this file, so it becomes
/// dumpable for the length of one write. In the child: what got hold of it in that moment loses it
/// with the exec, or is found tracing it; init, which judges, never is.
fn clear_coredump_filter() -> Result<(), Errno> {
    write_coredump_filter().map_err(|unread| unread.errno.unwrap_or_else(|| Os::EIO.into()))
}

fn write_coredump_filter() -> Result<(), Unread> {
    let Err(first) = kernel::write(OWN_FILTER, "0") else { return Ok(()) };
    let was_hidden = sys::dumpable() != Ok(1);
    if !was_hidden || sys::set_dumpable(true).is_err() {
        return Err(first);
    }
    let second = kernel::write(OWN_FILTER, "0");
    let hidden = sys::set_dumpable(false);
    // Setting it back can't fail where setting it worked; if it does, the control has failed.
    if hidden.is_err() { Err(first) } else { second }
}

fn close_the_rest_on_exec() -> nix::Result<()> {
    match sys::close_above_stdio_on_exec() {
        // Before Linux 5.11 one by one.
        Err(Os::ENOSYS | Os::EINVAL | Os::EPERM) => {
            let open = kernel::own_fds().map_err(|_| Os::EACCES)?;
            open.into_iter().filter(|fd| *fd > 2).try_for_each(|fd| sys::set_close_on_exec_raw(fd, true))
        }
        done => done,
    }
}

/// What being uid 0 would give is switched off and locked. Without CAP_SETPCAP there is nothing to
/// switch off: a plain user has no such powers.
fn lock_root_out() -> nix::Result<()> {
    if may_set_process_capabilities() { sys::set_securebits(sys::ROOT_WITHOUT_POWER) } else { Ok(()) }
}

fn may_set_process_capabilities() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false)
}

/// From uid 0 to the service user: groups first, which need what the user's change takes away.
fn give_up_root() -> nix::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(SERVICE_ID), Gid::from_raw(SERVICE_ID));
    // Refused in some user namespaces; the ids are worth changing all the same.
    let groups = setgroups(&[]);
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    // A change of ids resets it (prctl(2)), in /proc/sys/fs/suid_dumpable's favour.
    sys::set_dumpable(false)?;
    // NO_SETUID_FIXUP keeps them over the change; what made us root shall not outlive it.
    clear_capabilities()?;
    groups
}

fn clear_capabilities() -> nix::Result<()> {
    // Clearing needs no privilege. Ambient is a part of permitted and inheritable, so it goes first;
    // a kernel before 4.3 has none, and the read-back tells.
    let _ = caps::clear(None, CapSet::Ambient);
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|_| Os::last())?;
    }
    Ok(())
}

/// Whoever started us may have switched it off (setarch -R).
fn randomise() -> nix::Result<()> {
    let flags = sys::personality()?;
    if flags & sys::NOT_RANDOM == 0 { Ok(()) } else { sys::set_personality(flags & !sys::NOT_RANDOM) }
}

/// Every capability the running kernel knows, also those newer than this program.
fn empty_bounding() -> nix::Result<()> {
    if !may_set_process_capabilities() {
        return Ok(());
    }
    for capability in 0..64 {
        match sys::drop_from_bounding(capability) {
            Ok(()) => {}
            Err(Os::EINVAL) if capability > 0 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(crate) const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";
const OWN_FILTER: &str = "/proc/self/coredump_filter";
