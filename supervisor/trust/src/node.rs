//! What the kernel says about one open descriptor.
//!
//! Owns the reading of facts and access ACLs from descriptors, never from paths that could lead
//! elsewhere by now; judges nothing. Follows inode(7), statx(2), acl(5).

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};

use crate::acl::{self, Acl};
use crate::sys;

/// One stat, taken from a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub kind: Kind,
    /// The twelve mode bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Names of this inode.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// Through which mount; `None` where the kernel would not say (before Linux 5.8).
    pub mount: Option<u64>,
    /// Whether something is mounted right here.
    pub mount_root: bool,
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Facts {
    /// # Errors
    /// The kernel's, which for an open descriptor means a broken (network) filesystem.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        match sys::statx(fd.as_fd()) {
            Ok(seen) => Ok(Self::from(&seen)),
            // What seccomp policies older than the call answer.
            Err(Errno::ENOSYS | Errno::EPERM) => fstat(fd).map(|seen| Self::from(&seen)),
            Err(errno) => Err(errno),
        }
    }

    pub(crate) fn same_inode(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether the content may have been written since `earlier`. The change time is no help: a
    /// rename moves it too.
    pub(crate) fn content_moved_since(&self, earlier: &Self) -> bool {
        (self.size, self.modified) != (earlier.size, earlier.modified)
    }

    /// The same of a folder, but for what every entry that comes or goes in it changes.
    pub(crate) const fn apart_from_entries(self) -> Self {
        Self { links: 0, size: 0, modified: (0, 0), ..self }
    }

    /// The mode as ls(1) shows it, without the type.
    pub(crate) fn letters(&self) -> String {
        letters(self.mode)
    }
}

impl From<&libc::statx> for Facts {
    fn from(seen: &libc::statx) -> Self {
        let mode = u32::from(seen.stx_mode);
        Self {
            kind: Kind::of(mode),
            mode: mode & 0o7777,
            uid: seen.stx_uid,
            gid: seen.stx_gid,
            links: u64::from(seen.stx_nlink),
            size: seen.stx_size,
            mount: (seen.stx_mask & libc::STATX_MNT_ID != 0).then_some(seen.stx_mnt_id),
            mount_root: u64::try_from(libc::STATX_ATTR_MOUNT_ROOT)
                .is_ok_and(|bit| seen.stx_attributes & bit != 0),
            device: u64::from(seen.stx_dev_major) << 32 | u64::from(seen.stx_dev_minor),
            inode: seen.stx_ino,
            modified: (seen.stx_mtime.tv_sec, i64::from(seen.stx_mtime.tv_nsec)),
        }
    }
}

impl From<&FileStat> for Facts {
    fn from(seen: &FileStat) -> Self {
        Self {
            kind: Kind::of(seen.st_mode),
            mode: seen.st_mode & 0o7777,
            uid: seen.st_uid,
            gid: seen.st_gid,
            #[allow(clippy::useless_conversion, reason = "the field is 32 bits wide on aarch64")]
            links: u64::from(seen.st_nlink),
            size: u64::try_from(seen.st_size).unwrap_or_default(),
            mount: None,
            mount_root: false,
            device: seen.st_dev,
            inode: seen.st_ino,
            modified: (seen.st_mtime, seen.st_mtime_nsec),
        }
    }
}

/// `mode 0644 (rw-r--r--), owner 65532:65532`
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, uid, gid, .. } = self;
        write!(f, "mode {mode:04o} ({}), owner {uid}:{gid}", self.letters())
    }
}

fn letters(mode: u32) -> String {
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let class = |(index, (special, with_x, without_x)): (usize, (u32, char, char))| {
        let bits = mode >> (6 - 3 * index);
        let x = match (mode & special != 0, bits & 1 != 0) {
            (true, true) => with_x,
            (true, false) => without_x,
            (false, true) => 'x',
            (false, false) => '-',
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, x]
    };
    special.into_iter().enumerate().flat_map(class).collect()
}

/// The type of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Folder,
    Link,
    Fifo,
    Socket,
    Device,
    Unknown,
}

impl Kind {
    fn of(mode: u32) -> Self {
        match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Self::Regular,
            SFlag::S_IFDIR => Self::Folder,
            SFlag::S_IFLNK => Self::Link,
            SFlag::S_IFIFO => Self::Fifo,
            SFlag::S_IFSOCK => Self::Socket,
            SFlag::S_IFCHR | SFlag::S_IFBLK => Self::Device,
            _ => Self::Unknown,
        }
    }

    /// The stable name in JSON reports.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Folder => "folder",
            Self::Link => "link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Folder => "a folder",
            Self::Link => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device node",
            Self::Unknown => "of an unknown type",
        })
    }
}

/// What stands beside the mode bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AclSeen {
    /// None, or the filesystem knows none: the mode bits are all there is.
    Absent,
    Entries(Acl),
    /// The kernel would not say, or said what can't be: words for it.
    Unknown(String),
}

impl AclSeen {
    /// The access ACL; `fd` must be readable: `O_PATH` descriptors give `EBADF`.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Self {
        Self::from(sys::xattr(fd, ACCESS))
    }

    /// The access ACL of what an `O_PATH` descriptor stands for. Needs procfs, and no right to read.
    pub(crate) fn of_path(fd: BorrowedFd<'_>) -> Self {
        Self::through_proc(fd, ACCESS)
    }

    /// The default ACL of a folder: what is given to every file that will be made in it.
    pub(crate) fn default_of_path(fd: BorrowedFd<'_>) -> Self {
        Self::through_proc(fd, DEFAULT)
    }

    fn through_proc(fd: BorrowedFd<'_>, name: &CStr) -> Self {
        match CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())) {
            Ok(path) => match sys::xattr_at(&path, name) {
                Err(Errno::ENOENT) => Self::Unknown("needs /proc, which is not there".to_owned()),
                seen => Self::from(seen),
            },
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    pub(crate) const fn entries(&self) -> Option<&Acl> {
        match self {
            Self::Entries(acl) => Some(acl),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

impl From<Result<Vec<u8>, Errno>> for AclSeen {
    fn from(seen: Result<Vec<u8>, Errno>) -> Self {
        match seen {
            Ok(bytes) => match acl::parse(&bytes) {
                Ok(acl) => Self::Entries(acl),
                Err(malformed) => Self::Unknown(malformed.to_string()),
            },
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Self::Absent,
            Err(errno) => Self::Unknown(format!("asking for it failed: {errno}")),
        }
    }
}

/// The name of an ACL that is the filesystem's own, of a kind that is not decoded here; asked of a readable
/// descriptor.
pub(crate) fn own_acl(fd: BorrowedFd<'_>) -> Option<&'static str> {
    OWN_ACLS.iter().find(|name| sys::xattr(fd, name).is_ok()).and_then(|name| name.to_str().ok())
}

/// The same of what an `O_PATH` descriptor stands for.
pub(crate) fn own_acl_of_path(fd: BorrowedFd<'_>) -> Option<&'static str> {
    let path = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    OWN_ACLS.iter().find(|name| sys::xattr_at(&path, name).is_ok()).and_then(|name| name.to_str().ok())
}

/// Of NFSv4, of OpenZFS with `acltype=nfsv4`, of SMB, and of what was to become the kernel's richacl.
const OWN_ACLS: [&CStr; 5] =
    [c"system.nfs4_acl", c"system.nfs4_acl_xdr", c"system.cifs_acl", c"system.smb3_acl", c"system.richacl"];
const ACCESS: &CStr = c"system.posix_acl_access";
const DEFAULT: &CStr = c"system.posix_acl_default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_modes_as_ls_does() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o600, "rw-------"),
            (0o7777, "rwsrwsrwt"),
            (0o7000, "--S--S--T"),
            (0o1777, "rwxrwxrwt"),
        ] {
            assert_eq!(letters(mode), text);
        }
    }

    #[test]
    fn sees_the_same_with_and_without_statx() {
        let file = tempfile();
        let (new, old) = (sys::statx(file.as_fd()).unwrap(), fstat(&file).unwrap());
        let (new, old) = (Facts::from(&new), Facts::from(&old));
        assert_eq!(Facts { mount: None, inode: 0, device: 0, ..new }, Facts { inode: 0, device: 0, ..old });
        assert!(new.mount.is_some(), "this kernel is older than 5.8");
    }

    fn tempfile() -> std::fs::File {
        let (file, path) = nix::unistd::mkstemp("/tmp/fluxheim-trust-XXXXXX").unwrap();
        nix::unistd::unlink(&path).unwrap();
        file.into()
    }
}
