//! The user id that stands for "no number here".
//!
//! Owns reading `/proc/sys/kernel/overflowuid`; anything but procfs there is not believed. Follows
//! user_namespaces(7).

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// The kernel's overflow uid, or its default where procfs does not tell.
pub(crate) fn uid() -> u32 {
    from_proc().unwrap_or(DEFAULT)
}

fn from_proc() -> Option<u32> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(open("/proc/sys/kernel/overflowuid", flags, Mode::empty()).ok()?);
    if fstatfs(&file).ok()?.filesystem_type() != PROC_SUPER_MAGIC {
        return None;
    }
    let mut text = [0; 32];
    let count = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..count)?).ok()?.trim().parse().ok()
}

/// `DEFAULT_OVERFLOWUID` of the kernel.
const DEFAULT: u32 = 65534;
