//! What the proxy does to itself, first thing and before its first thread.
//!
//! Owns the controls that don't survive exec (dumpable, memory lock) and what only the process
//! itself can see (its descriptors). Decides nothing: init judges the report. See prctl(2), mlock(2).

use std::os::fd::RawFd;

use caps::{CapSet, Capability};
use fluxheim_config::{Control, Hardening};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use serde::{Deserialize, Serialize};

use crate::confine::Reach;
use crate::confine::landlock::{self, LandlockAttempt};
use crate::confine::seccomp::{self, Stage};
use crate::report::Errno;
use crate::{environment, handoff, kernel, parse, sys};

/// Version of [`ProxyReport`]; init refuses any other.
pub const SCHEMA: u32 = 3;

/// What the proxy did and saw. Sent to init through the handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyReport {
    /// [`SCHEMA`] of the sender.
    pub schema: u32,
    /// Whether the configuration as the proxy has read it makes it hold secrets. Init has read it
    /// too, but a moment earlier; the stricter of the two counts.
    pub secrets: bool,
    pub dumpable: Dumpable,
    pub memory_lock: LockAttempt,
    pub fds: OpenFds,
    /// PR_GET_SECUREBITS; no file of /proc shows them.
    pub securebits: Result<i32, Errno>,
    /// PR_GET_MDWE; likewise.
    pub mdwe: Result<i32, Errno>,
    /// The flags of personality(2); likewise for others of the same user.
    pub personality: Result<u32, Errno>,
    /// Whether the file system at `/` is mounted read-only.
    pub read_only_root: Result<bool, Errno>,
    /// Names of environment variables that look like secrets.
    pub environment: Vec<String>,
    pub landlock: LandlockAttempt,
    pub seccomp: FilterReport,
}

impl ProxyReport {
    /// Whether files outside its reach are closed to this process.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        matches!(self.landlock, LandlockAttempt::Restricted(_))
    }
}

/// What became of the serve filter, and what the calls that start a program answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterReport {
    pub attempt: FilterAttempt,
    /// The errno of execve(2) without a name, before; 14 (EFAULT) where it exists.
    pub execve_before: i32,
    /// The same afterwards, and that of execveat(2); 38 (ENOSYS) where neither exists any more.
    pub exec_after: [i32; 2],
}

/// What became of installing the serve filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FilterAttempt {
    /// The configuration says off or observe.
    NotAsked,
    Installed,
    /// The text says why not.
    Failed(String),
}

/// PR_GET_DUMPABLE after PR_SET_DUMPABLE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dumpable {
    /// Why the proxy couldn't set it, if it couldn't.
    pub set_failed: Option<Errno>,
    /// What it reads back: 0 not dumpable, 1 dumpable, 2 dumpable for root only.
    pub value: Result<i32, Errno>,
}

/// What became of mlockall(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LockAttempt {
    /// The configuration says off or observe.
    NotAsked,
    /// The call would break the process later, or fail; the text says why.
    NotSafe(String),
    /// The call succeeded; the text says what permitted it. Init checks `VmLck`.
    Locked(String),
    /// The call failed.
    Failed(Errno),
}

/// The descriptors that were open when the proxy looked, beyond 0, 1, 2 and the handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OpenFds {
    /// None of those is left behind by whoever started us when this is empty.
    Unexpected(Vec<RawFd>),
    /// The list can't be read; the text says why.
    Unknown(String),
}

/// Applies to this process what `hardening` asks of it, and tells what came of it.
///
/// `secrets` says whether the configuration makes this process hold any; `reach` is what it is
/// confined to.
///
/// Call it before anything else is opened and before any thread starts: a later memory lock or
/// descriptor list would be another one, and confinement is that of the calling thread and those it
/// starts.
#[must_use]
pub fn harden(hardening: &Hardening, secrets: bool, reach: &Reach) -> ProxyReport {
    harden_after(hardening, secrets, reach, || ())
}

/// [`harden`], with something to do last before the process is confined: what `prepare` opens needs rights
/// that it has no more afterwards. It must not start a thread.
#[must_use]
pub fn harden_after(
    hardening: &Hardening,
    secrets: bool,
    reach: &Reach,
    prepare: impl FnOnce(),
) -> ProxyReport {
    let applies = |control| hardening.applies(control);
    let fds = open_fds();
    if applies(Control::Umask) {
        umask(Mode::from_bits_truncate(0o077));
    }
    let set_failed = if applies(Control::Dumpable) { sys::set_dumpable(false).err() } else { None };
    let dumpable =
        Dumpable { set_failed: set_failed.map(Errno::from), value: sys::dumpable().map_err(Errno::from) };
    let memory_lock = if applies(Control::MemoryLock) { lock_memory() } else { LockAttempt::NotAsked };
    let securebits = sys::securebits().map_err(Errno::from);
    let mdwe = sys::mdwe().map_err(Errno::from);
    let personality = sys::personality().map_err(Errno::from);
    let root = statvfs("/").map(|seen| seen.flags().contains(FsFlags::ST_RDONLY)).map_err(Errno::from);
    let environment = environment::secrets();
    prepare();
    // Files before calls: the filter no longer has what makes a ruleset.
    let landlock =
        if applies(Control::Landlock) { landlock::confine(reach) } else { LandlockAttempt::NotAsked };
    let seccomp = filter(applies(Control::Seccomp));
    ProxyReport {
        schema: SCHEMA,
        secrets,
        dumpable,
        memory_lock,
        fds,
        securebits,
        mdwe,
        personality,
        read_only_root: root,
        environment,
        landlock,
        seccomp,
    }
}

fn filter(asked: bool) -> FilterReport {
    let [before, _] = sys::try_exec();
    let attempt = match asked.then(|| seccomp::install(Stage::Serve)) {
        None => FilterAttempt::NotAsked,
        Some(Ok(())) => FilterAttempt::Installed,
        Some(Err(error)) => FilterAttempt::Failed(error.to_string()),
    };
    let exec_after = sys::try_exec().map(|errno| errno as i32);
    FilterReport { attempt, execve_before: before as i32, exec_after }
}

/// What makes a lock of all memory last; `Err` says why it would not.
///
/// Under a finite limit MCL_FUTURE "succeeds" and then threads and allocations fail under load,
/// so the limit must be gone, or CAP_IPC_LOCK must lift it. In a user namespace it does not.
fn lock_grounds(unlimited: bool, ipc_lock: bool, initial_namespace: Option<bool>) -> Result<String, String> {
    match (unlimited, ipc_lock, initial_namespace) {
        (true, _, _) => Ok("RLIMIT_MEMLOCK is unlimited".to_owned()),
        (false, true, Some(true)) => Ok("CAP_IPC_LOCK is effective in the initial user namespace".to_owned()),
        (false, true, Some(false)) => {
            Err("RLIMIT_MEMLOCK is finite, and CAP_IPC_LOCK doesn't lift it in a user namespace".to_owned())
        }
        (false, true, None) => {
            Err("RLIMIT_MEMLOCK is finite, and /proc/self/uid_map can't be read".to_owned())
        }
        (false, false, _) => Err("RLIMIT_MEMLOCK is finite and CAP_IPC_LOCK is not effective".to_owned()),
    }
}

fn lock_memory() -> LockAttempt {
    let unlimited = match getrlimit(Resource::RLIMIT_MEMLOCK) {
        // What is allowed but not set needs no privilege to be set (setrlimit(2)).
        Ok((soft, RLIM_INFINITY)) if soft != RLIM_INFINITY => {
            setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok()
        }
        Ok((soft, _)) => soft == RLIM_INFINITY,
        Err(errno) => return LockAttempt::Failed(errno.into()),
    };
    let ipc_lock = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false);
    let initial = kernel::text("/proc/self/uid_map").ok().and_then(|text| parse::uid_map_is_initial(&text));
    match lock_grounds(unlimited, ipc_lock, initial) {
        Err(why) => LockAttempt::NotSafe(why),
        Ok(grounds) => match lock_all() {
            Ok(()) => LockAttempt::Locked(grounds),
            Err(errno) => LockAttempt::Failed(errno.into()),
        },
    }
}

/// ONFAULT: pages are locked as they are touched, so untouched thread stacks cost nothing.
fn lock_all() -> nix::Result<()> {
    let on_fault = MlockAllFlags::from_bits_retain(sys::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)
}

fn open_fds() -> OpenFds {
    let listed = match kernel::own_fds() {
        Ok(listed) => listed,
        Err(unread) => return OpenFds::Unknown(unread.to_string()),
    };
    let handoff = handoff::inherited_number();
    let unexpected = listed.into_iter().filter(|fd| *fd > 2 && Some(*fd) != handoff).collect();
    OpenFds::Unexpected(unexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_only_where_the_lock_lasts() {
        assert!(lock_grounds(true, false, None).is_ok());
        assert!(lock_grounds(false, true, Some(true)).is_ok());
        assert!(lock_grounds(false, true, Some(false)).is_err());
        assert!(lock_grounds(false, true, None).is_err());
        assert!(lock_grounds(false, false, Some(true)).is_err());
    }
}
