//! The user id that stands for "no number here".
//!
//! Owns reading `/proc/sys/kernel/overflowuid` and `/proc/self/uid_map`; anything but procfs there is not believed. Follows
//! user_namespaces(7).

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// The uid that owners without a number here show. `None` where `us` is that very user, an ordinary
/// one: in the initial user namespace, as long as no mount maps ids (mount_setattr(2)).
pub(crate) fn stands_for_nobody(us: u32) -> Option<u32> {
    let overflow = uid();
    if us != overflow {
        return Some(overflow);
    }
    let every_number_is_mapped = from_proc("/proc/self/uid_map").is_some_and(|map| is_identity(&map));
    (!every_number_is_mapped || some_mount_maps_ids()).then_some(overflow)
}

/// Whether any mount shows owners that are not those on the disk; doubt means yes.
fn some_mount_maps_ids() -> bool {
    // Of any length, so it is read to its end.
    let Some(file) = open_proc("/proc/self/mountinfo") else { return true };
    std::io::read_to_string(file).map_or(true, |text| text.contains("idmapped"))
}

/// Whether a uid_map is that of the initial user namespace: all ids, each to itself.
fn is_identity(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The kernel's overflow uid, or its default where procfs does not tell.
fn uid() -> u32 {
    from_proc("/proc/sys/kernel/overflowuid").and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT)
}

fn open_proc(path: &str) -> Option<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).ok()?);
    if fstatfs(&file).ok()?.filesystem_type() != PROC_SUPER_MAGIC {
        return None;
    }
    Some(file)
}

fn from_proc(path: &str) -> Option<String> {
    let file = open_proc(path)?;
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
    fn takes_the_overflow_user_for_nobody_unless_it_is_ourselves() {
        assert_eq!(stands_for_nobody(65532), Some(uid()));
        // No mount of the test machine maps ids, or all of them are doubted.
        assert!([None, Some(uid())].contains(&stands_for_nobody(uid())));
    }

    #[test]
    fn knows_the_map_of_the_initial_user_namespace() {
        assert!(is_identity("         0          0 4294967295\n"));
        assert!(!is_identity("         0     100000      65536\n"));
        assert!(!is_identity("         0          0      65536\n     65536      65536 4294901759\n"));
        assert!(!is_identity(""));
    }
}
