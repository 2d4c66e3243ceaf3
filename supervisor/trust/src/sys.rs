//! What has no safe wrapper: statx, extended attributes, reading without waiting, and mapping pages of
//! one's own.
//!
//! Owns the crate's unsafe blocks; judges nothing. Follows statx(2), getxattr(2), preadv2(2),
//! memfd_secret(2), mmap(2), mlock(2) and madvise(2).

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::slice;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use nix::unistd::ftruncate;

/// What the kernel says about an open descriptor, `O_PATH` ones included.
///
/// # Errors
/// The kernel's: `ENOSYS` or `EPERM` where a seccomp policy is older than the call.
pub(crate) fn statx(fd: BorrowedFd<'_>) -> Result<libc::statx, Errno> {
    let mut seen = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the empty path is NUL-terminated and, with AT_EMPTY_PATH, names the descriptor, which
    // is borrowed, hence open. The kernel writes at most one `struct statx` to where `seen` is, and
    // that is as large as the one of the kernel's header, spare fields included.
    let result = unsafe {
        libc::statx(
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT,
            libc::STATX_BASIC_STATS | libc::STATX_MNT_ID,
            seen.as_mut_ptr(),
        )
    };
    Errno::result(result)?;
    // SAFETY: every bit pattern is a `struct statx` (it has integers only), and it began as zeros.
    Ok(unsafe { seen.assume_init() })
}

/// Reads at `offset` what is in memory already (RWF_NOWAIT).
///
/// # Errors
/// The kernel's: `EAGAIN` where it would have to wait for a disk, `EOPNOTSUPP` where the filesystem can't
/// tell.
pub(crate) fn read_nowait(fd: BorrowedFd<'_>, room: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let into = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: `into` describes `room`, which is borrowed for writing until the call ends, and it is the
    // one entry that is announced. The descriptor is borrowed, hence open.
    let read = unsafe { libc::preadv2(fd.as_raw_fd(), &raw const into, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(Errno::result(read)?).map_err(|_| Errno::EIO)
}

/// The attribute `name` of `fd`, which must not be an `O_PATH` descriptor.
///
/// # Errors
/// The kernel's: `ENODATA` when there is no such attribute, `EOPNOTSUPP` when the filesystem has
/// none of this kind.
pub(crate) fn xattr(fd: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    // SAFETY: `name` is NUL-terminated and outlives the call; `room` is writable for its length, and
    // the kernel writes no more than that. The descriptor is borrowed, hence open.
    attribute(|room| unsafe {
        libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), room.as_mut_ptr().cast(), room.len())
    })
}

/// The attribute `name` of what `path` leads to.
///
/// # Errors
/// As of [`xattr`], and those of resolving a path.
pub(crate) fn xattr_at(path: &CStr, name: &CStr) -> Result<Vec<u8>, Errno> {
    // SAFETY: both strings are NUL-terminated and outlive the call; `room` as above.
    attribute(|room| unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), room.as_mut_ptr().cast(), room.len())
    })
}

/// Asks once with room for what is usual, and once more with room for the longest there can be.
fn attribute(ask: impl Fn(&mut [u8]) -> isize) -> Result<Vec<u8>, Errno> {
    let into = |mut room: Vec<u8>| {
        // Only -1 is negative, and it stands for errno.
        let length = usize::try_from(ask(&mut room)).map_err(|_| Errno::last())?;
        room.truncate(length);
        Ok(room)
    };
    match into(vec![0; USUAL_ATTRIBUTE]) {
        Err(Errno::ERANGE) => into(vec![0; LONGEST_ATTRIBUTE]),
        result => result,
    }
}

/// An ACL of some thirty entries.
const USUAL_ATTRIBUTE: usize = 256;
/// `XATTR_SIZE_MAX` of the kernel.
const LONGEST_ATTRIBUTE: usize = 64 << 10;

/// Pages with one owner: zero at first, neither dumped nor inherited by a fork, unmapped when
/// dropped.
pub(crate) struct Mapping {
    start: NonNull<c_void>,
    len: NonZeroUsize,
}

// SAFETY: the pages belong to the process, not to a thread, and this is their only owner.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference they can only be read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Pages that the kernel itself has no address for. They count as locked and are in no dump by
    /// nature.
    ///
    /// # Errors
    /// `ENOSYS` or `EPERM` where there are none; `EAGAIN` when RLIMIT_MEMLOCK is used up.
    pub(crate) fn secret(len: NonZeroUsize) -> Result<Self, Errno> {
        let file = memfd_secret()?;
        ftruncate(&file, libc::off_t::try_from(len.get()).map_err(|_| Errno::EFBIG)?)?;
        // SAFETY: no address is asked for, so nothing that is mapped gets replaced. The file has
        // the length of the mapping, and nobody can shrink it: its only descriptor is closed here.
        let start = unsafe { mmap(None, len, READ_WRITE, MapFlags::MAP_SHARED, &file, 0) }?;
        Self { start, len }.advised(&[MmapAdvise::MADV_DONTFORK])
    }

    /// Ordinary pages, not locked yet.
    ///
    /// # Errors
    /// The kernel's: there is no memory.
    pub(crate) fn anonymous(len: NonZeroUsize) -> Result<Self, Errno> {
        // SAFETY: no address is asked for, so nothing that is mapped gets replaced.
        let start = unsafe { mmap_anonymous(None, len, READ_WRITE, MapFlags::MAP_PRIVATE) }?;
        Self { start, len }.advised(&[MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_DONTFORK])
    }

    fn advised(self, advice: &[MmapAdvise]) -> Result<Self, Errno> {
        for advice in advice {
            // SAFETY: the range is one mapping of ours, and neither piece of advice that is given
            // here changes what is in it.
            unsafe { madvise(self.start, self.len.get(), *advice) }?;
        }
        Ok(self)
    }

    /// Brings the pages in and keeps them there until they are unmapped.
    ///
    /// # Errors
    /// `EPERM` when RLIMIT_MEMLOCK is 0, `ENOMEM` when it is used up, `EAGAIN` when some page
    /// can't be locked.
    pub(crate) fn lock(&self) -> Result<(), Errno> {
        // SAFETY: the range is one mapping of ours; locking changes nothing in it.
        unsafe { mlock(self.start, self.len.get()) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the range is mapped and readable for as long as `self` lives, zeroed by the
        // kernel, hence initialised; bytes need no alignment. Writing needs `&mut self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.len.get()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the range is writable, and `&mut self` is the only way to it.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len.get()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(test)]
        unmapped::note(self.bytes());
        // SAFETY: the range is one mapping of ours. Every slice of it borrowed `self`, so none is
        // left. It fails only when there is no room to split a map entry; the pages then stay.
        let _ = unsafe { munmap(self.start, self.len.get()) };
    }
}

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

fn memfd_secret() -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes flags alone and touches no memory of ours.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it, so it is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the last mapping that this thread gave back held at that moment.
#[cfg(test)]
pub(crate) mod unmapped {
    use std::cell::RefCell;

    thread_local!(static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

    pub(super) fn note(bytes: &[u8]) {
        LAST.with_borrow_mut(|last| *last = bytes.to_vec());
    }

    pub(crate) fn last() -> Vec<u8> {
        LAST.take()
    }
}
