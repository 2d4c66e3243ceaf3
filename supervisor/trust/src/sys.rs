//! What has no safe wrapper: asking for an extended attribute, and mapping pages of one's own.
//!
//! Owns the crate's unsafe blocks; judges nothing. Follows fgetxattr(2), memfd_secret(2), mmap(2),
//! mlock(2) and madvise(2).

use std::ffi::{CStr, c_void};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::slice;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use nix::unistd::ftruncate;

/// The size in bytes of the attribute `name` of `fd`, which must not be an `O_PATH` descriptor.
///
/// # Errors
/// The kernel's: `ENODATA` when there is no such attribute, `EOPNOTSUPP` when the filesystem has
/// none of this kind.
pub(crate) fn xattr_size(fd: BorrowedFd<'_>, name: &CStr) -> Result<usize, Errno> {
    // SAFETY: `name` is NUL-terminated and outlives the call. The kernel writes nothing through
    // the value pointer when the size is 0 (fgetxattr(2): "return the current size"), so null is
    // allowed there. A bad descriptor would give EBADF; this one is borrowed, hence open.
    let size = unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), ptr::null_mut(), 0) };
    // Only -1 is negative, and it stands for errno.
    usize::try_from(size).map_err(|_| Errno::last())
}

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
