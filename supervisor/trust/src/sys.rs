//! The one system call without a safe wrapper: asking for an extended attribute.
//!
//! Owns the crate's only unsafe block; judges nothing. Follows fgetxattr(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;

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
