//! The user id that stands for "no number here".
//!
//! Owns reading `/proc/sys/kernel/overflowuid` and `/proc/self/uid_map`; anything but procfs there is not believed. Follows
//! user_namespaces(7).

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// The uid that owners without a number here show; `None` in the initial user namespace, where 65534
/// is an ordinary user.
pub(crate) fn stands_for_nobody() -> Option<u32> {
    let every_number_is_mapped = from_proc("/proc/self/uid_map").is_some_and(|map| is_identity(&map));
    (!every_number_is_mapped).then(uid)
}

/// Whether a uid_map is that of the initial user namespace: all ids, each to itself.
fn is_identity(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The kernel's overflow uid, or its default where procfs does not tell.
fn uid() -> u32 {
    from_proc("/proc/sys/kernel/overflowuid").and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT)
}

fn from_proc(path: &str) -> Option<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).ok()?);
    if fstatfs(&file).ok()?.filesystem_type() != PROC_SUPER_MAGIC {
        return None;
    }
    let mut text = [0; 256];
    let count = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..count)?).ok().map(str::to_owned)
}

/// `DEFAULT_OVERFLOWUID` of the kernel.
const DEFAULT: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_map_of_the_initial_user_namespace() {
        assert!(is_identity("         0          0 4294967295\n"));
        assert!(!is_identity("         0     100000      65536\n"));
        assert!(!is_identity("         0          0      65536\n     65536      65536 4294901759\n"));
        assert!(!is_identity(""));
    }
}
