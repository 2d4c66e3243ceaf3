//! Landlock: the proxy may read the files, write the folder and bind the ports of its configuration, and no others.
//!
//! Owns the ruleset; runs in the proxy before its first thread, so that not even the right to
//! execute a file is needed. What came of it is tried out, since no file of /proc shows a Landlock
//! domain. See landlock(7).

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};
use serde::{Deserialize, Serialize};

use super::{Reach, Trial, always, trial};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LandlockAttempt {
    /// The configuration says off or observe.
    NotAsked,
    /// The kernel, or a seccomp filter around us, doesn't have it; the text says which.
    Unavailable(String),
    /// A call failed; the text says why.
    Failed(String),
    Restricted(Restricted),
}

/// A ruleset in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restricted {
    /// Version of the kernel's interface; it decides what can be confined.
    pub abi: i32,
    /// Reading a folder that the configuration doesn't name.
    pub files: Trial,
    /// Binding a TCP port that the configuration doesn't name.
    pub ports: Trial,
    /// Signalling the parent.
    pub signals: Trial,
    /// Folders below which it may make, write, rename and remove files; nowhere else.
    pub writes: Vec<String>,
}

/// Confines this process to `reach`, for good.
pub(crate) fn confine(reach: &Reach) -> LandlockAttempt {
    let before = Tried::now(reach);
    let status = match restrict(reach) {
        Ok(status) => status.landlock,
        Err(error) => return LandlockAttempt::Failed(error.to_string()),
    };
    let after = Tried::now(reach);
    match status {
        LandlockStatus::NotImplemented => {
            LandlockAttempt::Unavailable("landlock_create_ruleset: not in this kernel or denied".to_owned())
        }
        LandlockStatus::NotEnabled => LandlockAttempt::Unavailable(
            "not among the security modules the kernel was booted with".to_owned(),
        ),
        LandlockStatus::Available { effective_abi, kernel_abi } => LandlockAttempt::Restricted(Restricted {
            abi: kernel_abi.unwrap_or(effective_abi as i32),
            files: Trial { what: before.folder, before: before.files, after: after.files },
            ports: Trial { what: before.port, before: before.ports, after: after.ports },
            signals: Trial { what: before.parent, before: before.signals, after: after.signals },
            writes: reach.written.keys().map(|folder| folder.display().to_string()).collect(),
        }),
    }
}

fn restrict(reach: &Reach) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        // Binding alone: a reload may name an upstream on any port.
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        // The filter and no_new_privs are separate controls; the latter is judged as one.
        .no_new_privs(false);
    let files = always().chain(reach.files.keys().map(std::path::PathBuf::as_path));
    for path in files {
        // What isn't there can't be read either.
        let Ok(fd) = PathFd::new(path) else { continue };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, rights(path)))?;
    }
    for folder in reach.sockets.keys() {
        let Ok(fd) = PathFd::new(folder) else { continue };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, SOCKETS))?;
    }
    for folder in reach.written.keys() {
        let Ok(fd) = PathFd::new(folder) else { continue };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, KEEP))?;
    }
    // Forgotten on purpose: while it is open, /proc/self stays the inode that the rule names.
    if let Ok(own) = PathFd::new("/proc/self") {
        std::mem::forget(own);
    }
    for port in &reach.ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    ruleset.restrict_self()
}

fn rights(path: &Path) -> BitFlags<AccessFs> {
    if path.is_dir() { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() }
}

/// To remove a socket that was made before, and to open its folder, for the lock. There is no right to make
/// another.
const SOCKETS: BitFlags<AccessFs> = make_bitflags!(AccessFs::{RemoveFile | ReadDir});
/// What keeping files takes: new ones beside the old, renamed within a folder. Nothing is truncated, linked, moved
/// from folder to folder or made anything but a file or a folder.
const KEEP: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | MakeReg | MakeDir | RemoveFile
});

/// What can be done just now of what shall not be possible.
struct Tried {
    folder: String,
    files: Option<i32>,
    port: String,
    ports: Option<i32>,
    parent: String,
    signals: Option<i32>,
}

impl Tried {
    fn now(reach: &Reach) -> Self {
        let folder = trial::foreign_folder(reach);
        let port = trial::foreign_port(&reach.ports);
        Self {
            files: trial::open_folder(folder),
            folder: format!("opening {folder}"),
            ports: trial::bind(port),
            port: format!("binding TCP port {port}"),
            signals: trial::signal_parent(),
            parent: "a signal to the parent".to_owned(),
        }
    }
}

/// What this program asks for; an older kernel gives less, and the report says so.
const NEWEST: ABI = ABI::V6;
