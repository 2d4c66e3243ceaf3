//! What the kernel says about one open descriptor.
//!
//! Owns the reading of stat, filesystem kind and ACL presence from descriptors, never from paths;
//! judges nothing. Follows inode(7), statfs(2), acl(5).

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::statfs::{self, FsType, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};

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
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Facts {
    /// # Errors
    /// The kernel's, which for an open descriptor means a broken (network) filesystem.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        fstat(fd).map(|stat| Self::from(&stat))
    }

    pub(crate) fn same_inode(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether the content may have been written since `earlier`. The change time is no help: a
    /// rename moves it too.
    pub(crate) fn content_moved_since(&self, earlier: &Self) -> bool {
        (self.size, self.modified) != (earlier.size, earlier.modified)
    }
}

impl From<&FileStat> for Facts {
    fn from(stat: &FileStat) -> Self {
        Self {
            kind: Kind::from(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            #[allow(clippy::useless_conversion, reason = "the field is 32 bits wide on aarch64")]
            links: u64::from(stat.st_nlink),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            device: stat.st_dev,
            inode: stat.st_ino,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

/// `mode 0644 (rw-r--r--), owner 65532:65532`
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, uid, gid, .. } = self;
        write!(f, "mode {mode:04o} ({}), owner {uid}:{gid}", letters(*mode))
    }
}

/// The mode as ls(1) shows it, without the type.
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

impl From<SFlag> for Kind {
    fn from(flag: SFlag) -> Self {
        match flag {
            SFlag::S_IFREG => Self::Regular,
            SFlag::S_IFDIR => Self::Folder,
            SFlag::S_IFLNK => Self::Link,
            SFlag::S_IFIFO => Self::Fifo,
            SFlag::S_IFSOCK => Self::Socket,
            SFlag::S_IFCHR | SFlag::S_IFBLK => Self::Device,
            _ => Self::Unknown,
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

/// Whether an access ACL stands beside the mode bits. Entries are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acl {
    Absent,
    Present,
    /// The kernel would not say.
    Unknown(Errno),
}

impl Acl {
    /// `fd` must be readable: `O_PATH` descriptors give `EBADF`.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Self {
        match sys::xattr_size(fd, c"system.posix_acl_access") {
            Ok(_) => Self::Present,
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Self::Absent,
            Err(errno) => Self::Unknown(errno),
        }
    }
}

/// Whether the filesystem itself enforces the mode bits it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modes {
    Enforced,
    /// A server or a program decides; the name of the filesystem's kind.
    Advisory(&'static str),
    /// The kernel would not say.
    Unknown(Errno),
}

impl Modes {
    pub(crate) fn of(fd: impl AsFd) -> Self {
        match fstatfs(fd) {
            Ok(stat) => Self::from(stat.filesystem_type()),
            Err(errno) => Self::Unknown(errno),
        }
    }
}

impl From<FsType> for Modes {
    fn from(kind: FsType) -> Self {
        #[expect(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "magic numbers are 32 bits"
        )]
        let magic = kind.0 as u32;
        match kind {
            statfs::NFS_SUPER_MAGIC => Self::Advisory("NFS"),
            statfs::FUSE_SUPER_MAGIC => Self::Advisory("FUSE"),
            _ if magic == 0xFF53_4D42 => Self::Advisory("CIFS"),
            _ if magic == 0xFE53_4D42 => Self::Advisory("SMB"),
            _ if magic == 0x0102_1997 => Self::Advisory("9p"),
            _ => Self::Enforced,
        }
    }
}

/// Whether the mount through which `fd` was reached is read-only; doubt means no.
pub(crate) fn on_read_only_mount(fd: impl AsFd) -> bool {
    fstatvfs(fd).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))
}

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
    fn knows_filesystems_whose_modes_are_advisory() {
        assert_eq!(Modes::from(FsType(0x6969)), Modes::Advisory("NFS"));
        assert_eq!(Modes::from(FsType(0x6573_5546)), Modes::Advisory("FUSE"));
        assert_eq!(Modes::from(FsType(0xFF53_4D42)), Modes::Advisory("CIFS"));
        assert_eq!(Modes::from(FsType(0xFE53_4D42)), Modes::Advisory("SMB"));
        assert_eq!(Modes::from(FsType(0x0102_1997)), Modes::Advisory("9p"));
        assert_eq!(Modes::from(statfs::OVERLAYFS_SUPER_MAGIC), Modes::Enforced);
        assert_eq!(Modes::from(statfs::EXT4_SUPER_MAGIC), Modes::Enforced);
        assert_eq!(Modes::from(statfs::TMPFS_MAGIC), Modes::Enforced);
    }
}
