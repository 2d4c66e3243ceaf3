//! How init applies controls: to itself where the child inherits them, in the child where not.
//!
//! Owns the order of those calls; judges nothing, since a call that returned 0 proves nothing. See
//! capabilities(7), core(5), prctl(2).

use std::os::fd::BorrowedFd;

use caps::{CapSet, Capability};
use fluxheim_config::{Control, Hardening};
use nix::errno::Errno as Os;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

use crate::kernel::{self, Unread};
use crate::parse::{self, Caps, CorePattern, Limit, Status};
use crate::proxy::applies;
use crate::report::Errno;
use crate::sys;

/// How the environment handed the process over, before anything was applied: what holds already
/// then is inherited, not our doing.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    pub(crate) core_limit: Option<Limit>,
    pub(crate) coredump_filter: Option<u64>,
    pub(crate) umask: Option<u32>,
    pub(crate) caps: Option<Caps>,
    pub(crate) no_new_privs: Option<bool>,
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
        }
    }
}

/// A control that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
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

/// Applies to this process what a child inherits through fork and exec.
#[must_use]
pub fn inheritable(hardening: &Hardening) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut note =
        |control, errno: Option<Errno>| failures.extend(errno.map(|errno| Failure { control, errno }));
    if applies(hardening, Control::CoreDumps) {
        note(Control::CoreDumps, lower_core_limit().err().map(Errno::from));
    }
    if applies(hardening, Control::CoredumpFilter) {
        note(Control::CoredumpFilter, clear_coredump_filter().err().and_then(|unread| unread.errno));
    }
    if applies(hardening, Control::Umask) {
        umask(Mode::from_bits_truncate(0o077));
    }
    // After the filter, which needs nothing of it, and before the child: init gains nothing by exec
    // either.
    if applies(hardening, Control::NoNewPrivs) {
        note(Control::NoNewPrivs, nix::sys::prctl::set_no_new_privs().err().map(Errno::from));
    }
    failures
}

/// Applies the rest, in the child between fork and exec. Order matters: the bounding set and
/// securebits need CAP_SETPCAP, so the capability sets go after them.
///
/// `handoff` is the one descriptor above 2 that shall outlive the exec.
#[must_use]
pub fn in_child(hardening: &Hardening, handoff: BorrowedFd<'_>) -> Vec<Failure> {
    let steps: [(Control, &dyn Fn() -> nix::Result<()>); 2] =
        [(Control::Fds, &close_the_rest_on_exec), (Control::Capabilities, &drop_capabilities)];
    let mut failures = Vec::new();
    for (control, step) in steps {
        if applies(hardening, control) {
            let failed = step().err();
            failures.extend(failed.map(|errno| Failure { control, errno: errno.into() }));
        }
    }
    if let Err(errno) = sys::set_close_on_exec(handoff, false) {
        failures.push(Failure { control: Control::Fds, errno: errno.into() });
    }
    failures
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

/// A process started from a 0111 file isn't dumpable and can't write this file; it holds no secret
/// yet, so it becomes dumpable for the length of one write.
fn clear_coredump_filter() -> Result<(), Unread> {
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

fn drop_capabilities() -> nix::Result<()> {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        empty_bounding()?;
        sys::set_securebits(sys::ROOT_WITHOUT_POWER)?;
    }
    // Clearing needs no privilege. Ambient is a part of permitted and inheritable, so it goes first;
    // a kernel before 4.3 has none, and the read-back tells.
    let _ = caps::clear(None, CapSet::Ambient);
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|_| Os::last())?;
    }
    Ok(())
}

/// Every capability the running kernel knows, also those newer than this program.
fn empty_bounding() -> nix::Result<()> {
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
