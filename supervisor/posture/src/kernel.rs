//! Reads of /proc and /sys: bounded, and an error that says which file and why.
//!
//! Owns how those files are opened; knows nothing of what they mean (that is [`crate::parse`]).
#![expect(clippy::disallowed_methods, reason = "what the kernel shows in /proc and /sys")]

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;

use nix::errno::Errno as Os;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, fstatfs, statfs};

use crate::report::Errno;
use crate::sys;

/// Why something wasn't read: an outcome of its own, never a "fine".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Unread {
    pub path: String,
    pub why: String,
    /// `None` when the file was read and made no sense.
    pub errno: Option<Errno>,
}

impl Unread {
    /// The file was read and isn't what proc(5) describes.
    #[must_use]
    pub fn unparsable(path: &str) -> Self {
        Self { path: path.to_owned(), why: "not in the form proc(5) describes".to_owned(), errno: None }
    }

    fn failed(path: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(|number| Os::from_raw(number).into());
        Self { path: path.to_owned(), why: error.to_string(), errno }
    }

    /// Whether the file doesn't exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.errno.as_ref().is_some_and(|errno| errno.number == Os::ENOENT as i32)
    }
}

/// The text of a kernel file.
///
/// # Errors
/// When it can't be opened or read, is no text, or is longer than [`MAX_TEXT`].
pub(crate) fn text(path: &str) -> Result<String, Unread> {
    let read = |file: std::fs::File| {
        if !is_the_kernel_s(path, &file) {
            return Err(io::Error::other("something else is mounted over it"));
        }
        // Most such files are shorter: one read, and one more that tells the end.
        let mut text = String::with_capacity(4096);
        file.take(MAX_TEXT + 1).read_to_string(&mut text).map(|_| text)
    };
    let text = OpenOptions::new().read(true).open(path).and_then(read);
    let text = text.map_err(|error| Unread::failed(path, &error))?;
    if text.len() as u64 > MAX_TEXT { Err(Unread::unparsable(path)) } else { Ok(text) }
}

/// Whether an open file is what its path promises: containers are given other files in such places,
/// by bind mounts or lxcfs.
fn is_the_kernel_s(path: &str, file: &std::fs::File) -> bool {
    let Ok(kind) = fstatfs(file).map(|seen| seen.filesystem_type()) else { return false };
    if path.starts_with("/sys/fs/cgroup") {
        kind == CGROUP_SUPER_MAGIC || kind == CGROUP2_SUPER_MAGIC
    } else {
        kind == PROC_SUPER_MAGIC
    }
}

/// Reads and parses; a parser's `None` is an [`Unread`] too.
pub(crate) fn parsed<T>(path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Unread> {
    parse(&text(path)?).ok_or_else(|| Unread::unparsable(path))
}

/// Writes a value to a kernel file.
pub(crate) fn write(path: &str, value: &str) -> Result<(), Unread> {
    let written = OpenOptions::new().write(true).open(path).and_then(|mut f| f.write_all(value.as_bytes()));
    written.map_err(|error| Unread::failed(path, &error))
}

/// Whether /proc answers in this process's own numbers: the same number is another process in the
/// /proc of another pid namespace.
pub(crate) fn check_proc() -> Result<(), Unread> {
    let wrong = |why: &str| Err(Unread { path: "/proc".to_owned(), why: why.to_owned(), errno: None });
    if !statfs("/proc").is_ok_and(|seen| seen.filesystem_type() == PROC_SUPER_MAGIC) {
        return wrong("no procfs is mounted there");
    }
    let shown = std::fs::read_link("/proc/self").ok();
    let own = std::process::id().to_string();
    if shown.is_none_or(|shown| shown.as_os_str() != own.as_str()) {
        return wrong("it belongs to another pid namespace");
    }
    Ok(())
}

/// The owner of a /proc entry.
pub(crate) fn owner(path: &str) -> Result<u32, Unread> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path).map_err(|error| Unread::failed(path, &error))?;
    Ok(metadata.uid())
}

/// This process's open descriptors, in ascending order.
pub(crate) fn own_fds() -> Result<Vec<RawFd>, Unread> {
    let path = "/proc/self/fd";
    let entries = std::fs::read_dir(path).map_err(|error| Unread::failed(path, &error))?;
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Unread::failed(path, &error))?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        listed.push(number.ok_or_else(|| Unread::unparsable(path))?);
    }
    // The listing's own descriptor is closed by now; it alone must not be counted.
    listed.retain(|fd| sys::is_open(*fd));
    listed.sort_unstable();
    Ok(listed)
}

/// How many descriptors this process has open, apart from the listing's own.
pub(crate) fn count_own_fds() -> Result<u64, Unread> {
    let path = "/proc/self/fd";
    let entries = std::fs::read_dir(path).map_err(|error| Unread::failed(path, &error))?;
    Ok((entries.count() as u64).saturating_sub(1))
}

/// Ample: the largest file read is /proc/PID/status, about 1.5 KiB.
const MAX_TEXT: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_that_is_missing() {
        let unread = text("/proc/self/no-such-file").unwrap_err();
        assert!(unread.is_missing());
        assert!(unread.to_string().starts_with("/proc/self/no-such-file: "));
    }

    #[test]
    fn believes_no_file_that_is_mounted_over_the_kernel_s() {
        let told = alone("kernel::tests::with_a_file_over_swaps", "--mount --propagation private");
        assert!(told.contains("/proc/swaps: something else is mounted over it"), "{told}");
    }

    #[test]
    fn with_a_file_over_swaps() {
        if std::env::var_os(ALONE).is_some() {
            let other = tempfile::NamedTempFile::new().unwrap();
            let mut mount = std::process::Command::new("mount");
            let mounted = mount.arg("--bind").arg(other.path()).arg("/proc/swaps").status();
            assert!(mounted.unwrap().success());
            println!("{}", text("/proc/swaps").unwrap_err());
        }
    }

    #[test]
    fn believes_the_proc_of_its_own_pid_namespace_only() {
        assert_eq!(check_proc(), Ok(()));
        let elsewhere = alone("kernel::tests::in_another_pid_namespace", "--pid --fork --kill-child");
        assert!(elsewhere.contains("another pid namespace"), "{elsewhere}");
        let bare = "--mount --propagation private";
        let bare = alone("kernel::tests::with_a_tmpfs_for_proc", bare);
        assert!(bare.contains("no procfs"), "{bare}");
    }

    #[test]
    fn in_another_pid_namespace() {
        if std::env::var_os(ALONE).is_some() {
            println!("{}", check_proc().unwrap_err());
        }
    }

    #[test]
    fn with_a_tmpfs_for_proc() {
        if std::env::var_os(ALONE).is_some() {
            let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "none", "/proc"]).status();
            assert!(mounted.unwrap().success());
            println!("{}", check_proc().unwrap_err());
        }
    }

    /// What the test `name` of this binary says when unshare(1) runs it alone.
    fn alone(name: &str, namespaces: &str) -> String {
        let mut command = std::process::Command::new("unshare");
        command.args(namespaces.split(' ')).arg(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output();
        let output = output.expect("unshare is missing: apt-get install util-linux");
        assert!(output.status.success(), "run this as root, with namespaces: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    const ALONE: &str = "FLUXHEIM_POSTURE_TEST_ALONE";

    #[test]
    fn lists_stdio_and_not_itself() {
        let first = own_fds().unwrap();
        assert!([0, 1, 2].iter().all(|fd| first.contains(fd)), "{first:?}");
    }
}
