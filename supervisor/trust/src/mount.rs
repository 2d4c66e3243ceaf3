//! What a file lies on: the filesystem, how it is mounted, and whether its modes mean anything.
//!
//! Owns the table of filesystems; asks descriptors, reads no file. Judges nothing. Follows
//! statfs(2), statvfs(3), and the magic numbers of linux/magic.h.

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use fluxheim_config::AdvisoryFilesystem;
use nix::errno::Errno;
use nix::sys::statfs::fstatfs;
use nix::sys::statvfs::{FsFlags, fstatvfs};

/// A mount as seen through a descriptor on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The kernel's number; `None` where it would not say.
    pub id: Option<u64>,
    /// Where the walk came upon it, free of links and dots.
    pub point: PathBuf,
    pub filesystem: Filesystem,
    /// `ro`, `nosuid` and the like, in the order of mount(8).
    pub flags: Vec<&'static str>,
}

/// The kind of a filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filesystem {
    Known {
        name: &'static str,
        /// Whether somebody else than this kernel decides who may read.
        advisory: Option<AdvisoryFilesystem>,
    },
    /// Not in the table: nothing is known of it.
    Other(u32),
    /// The kernel would not say.
    Unasked(Errno),
}

impl Mount {
    pub(crate) fn of(fd: impl AsFd, id: Option<u64>, point: &Path) -> Self {
        let filesystem = match fstatfs(&fd) {
            #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "it has 32 bits")]
            Ok(seen) => Filesystem::from_magic(seen.filesystem_type().0 as u32),
            Err(errno) => Filesystem::Unasked(errno),
        };
        let set = fstatvfs(&fd).map_or(FsFlags::empty(), |seen| seen.flags());
        let flags = FLAGS.iter().filter(|(flag, _)| set.contains(*flag)).map(|(_, name)| *name).collect();
        Self { id, point: point.to_owned(), filesystem, flags }
    }

    /// Whether nothing can be changed through this mount; doubt means no.
    pub(crate) fn is_read_only(&self) -> bool {
        self.flags.contains(&"ro")
    }

    /// Whether files on it may have ACLs of its own kind.
    pub(crate) fn may_have_own_acls(&self) -> bool {
        let zfs = matches!(self.filesystem, Filesystem::Known { name: "zfs", .. });
        zfs || self.filesystem.advisory().is_some()
    }

    /// Whether what lies there is in memory only.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.filesystem, Filesystem::Known { name: "tmpfs" | "ramfs", .. })
    }
}

/// `tmpfs at /run/secrets (ro,nosuid)`
impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.filesystem, crate::finding::Shown(&self.point))?;
        if self.flags.is_empty() { Ok(()) } else { write!(f, " ({})", self.flags.join(",")) }
    }
}

impl Filesystem {
    fn from_magic(magic: u32) -> Self {
        let known = FILESYSTEMS.iter().find(|(number, ..)| *number == magic);
        known.map_or(Self::Other(magic), |(_, name, advisory)| Self::Known { name, advisory: *advisory })
    }

    /// Who decides in the kernel's place.
    pub(crate) const fn advisory(&self) -> Option<AdvisoryFilesystem> {
        match self {
            Self::Known { advisory, .. } => *advisory,
            Self::Other(_) => Some(AdvisoryFilesystem::Other),
            Self::Unasked(_) => None,
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known { name, .. } => f.write_str(name),
            Self::Other(magic) => write!(f, "filesystem {magic:#010x}"),
            Self::Unasked(errno) => write!(f, "a filesystem that can't be told ({errno})"),
        }
    }
}

const FLAGS: &[(FsFlags, &str)] = &[
    (FsFlags::ST_RDONLY, "ro"),
    (FsFlags::ST_NOSUID, "nosuid"),
    (FsFlags::ST_NODEV, "nodev"),
    (FsFlags::ST_NOEXEC, "noexec"),
];

/// Magic number, name, and who decides about access where it is not this kernel by the mode bits.
const FILESYSTEMS: &[(u32, &str, Option<AdvisoryFilesystem>)] = &[
    (0x0000_EF53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683E, "btrfs", None),
    (0x2FC1_2FC1, "zfs", None),
    (0xF2F5_2010, "f2fs", None),
    (0xCA45_1A4E, "bcachefs", None),
    (0x0102_1994, "tmpfs", None),
    (0x8584_58F6, "ramfs", None),
    (0x794C_7630, "overlay", None),
    (0x7371_7368, "squashfs", None),
    (0xE0F5_E1E2, "erofs", None),
    (0x0000_72B6, "jffs2", None),
    (0x2405_1905, "ubifs", None),
    (0x0000_3434, "nilfs2", None),
    (0x3153_464A, "jfs", None),
    (0x5265_4973, "reiserfs", None),
    (0x1501_3346, "udf", None),
    (0x0000_9660, "iso9660", None),
    (0x28CD_3D45, "cramfs", None),
    (0x0000_F15F, "ecryptfs", None),
    (0x6175_6673, "aufs", None),
    // Of a cluster, but every node's kernel goes by the same modes.
    (0x0116_1970, "gfs2", None),
    (0x7461_636F, "ocfs2", None),
    (0x0000_9FA0, "proc", None),
    (0x6265_6572, "sysfs", None),
    (0x0000_6969, "nfs", Some(AdvisoryFilesystem::Nfs)),
    (0xFF53_4D42, "cifs", Some(AdvisoryFilesystem::Cifs)),
    (0xFE53_4D42, "cifs", Some(AdvisoryFilesystem::Cifs)),
    (0x0000_517B, "cifs", Some(AdvisoryFilesystem::Cifs)),
    (0x0102_1997, "9p", Some(AdvisoryFilesystem::NineP)),
    // virtiofs and fuse-overlayfs show this one too.
    (0x6573_5546, "fuse", Some(AdvisoryFilesystem::Fuse)),
    (0x00C3_6400, "ceph", Some(AdvisoryFilesystem::Ceph)),
    (0x5346_414F, "afs", Some(AdvisoryFilesystem::Afs)),
    (0x6B41_4653, "afs", Some(AdvisoryFilesystem::Afs)),
    (0x0BD0_0BD0, "lustre", Some(AdvisoryFilesystem::Lustre)),
    (0x786F_4256, "vboxsf", Some(AdvisoryFilesystem::Vboxsf)),
    // No owners on the disk: owner and mode are what mount(8) was told.
    (0x0000_4D44, "vfat", Some(AdvisoryFilesystem::Fat)),
    (0x2011_BAB0, "exfat", Some(AdvisoryFilesystem::Fat)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_filesystems_whose_modes_are_advisory() {
        let advisory = |magic| Filesystem::from_magic(magic).advisory().map(AdvisoryFilesystem::name);
        assert_eq!(advisory(0x6969), Some("nfs"));
        assert_eq!(advisory(0x6573_5546), Some("fuse"));
        assert_eq!(advisory(0xFF53_4D42), Some("cifs"));
        assert_eq!(advisory(0xFE53_4D42), Some("cifs"));
        assert_eq!(advisory(0x0102_1997), Some("9p"));
        for local in [0x794C_7630, 0xEF53, 0x0102_1994] {
            assert_eq!(advisory(local), None);
        }
        assert_eq!(advisory(0x1234_5678), Some("other"));
    }

    #[test]
    fn every_advisory_filesystem_can_be_met() {
        for filesystem in AdvisoryFilesystem::ALL {
            let known = FILESYSTEMS.iter().any(|(.., advisory)| *advisory == Some(filesystem));
            assert!(known || filesystem == AdvisoryFilesystem::Other);
        }
    }
}
