//! The calls that nix doesn't wrap safely: fork, waitid as we need it, pidfds, signal resets, _exit.
//!
//! Owns every unsafe block of this program; decides nothing. See fork(2), waitid(2), pidfd_open(2).
#![allow(unsafe_code, reason = "raw system calls live here and nowhere else in this program")]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

/// Lets all threads share one heap: a second one would reserve 64 MiB of addresses for good, for the
/// few milliseconds of the storage check.
pub(crate) fn keep_to_one_heap() {
    // SAFETY: mallopt only sets a number of the allocator's, and there is no other thread yet. That
    // it may fail is no harm.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Forks; `child` runs in the child, which ends with the code it returns.
pub(crate) fn fork(child: impl FnOnce() -> u8) -> nix::Result<Pid> {
    // SAFETY: fork asks of a multi-threaded caller to use only async-signal-safe functions in the
    // child, for a lock could be held by a thread that is gone there. The only threads this program
    // ever starts are those of the storage check. Each is joined before this, save one that a dead
    // mount holds: that one is inside a system call on a path or a descriptor, outside of any
    // function that takes a lock. The heap's own locks are glibc's to free in the child (it does, in
    // its fork), so the child may allocate like the parent.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => exit_now(child()),
    }
}

/// A child that ended and is reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: Pid,
    pub(crate) how: How,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Exited(i32),
    Signalled(i32),
}

/// Reaps one ended child, whichever; `None` when none has ended.
///
/// # Errors
/// ECHILD when there are no children at all.
pub(crate) fn reap() -> nix::Result<Option<Ended>> {
    // Looked at first, so that a pid is known before it can be used again.
    let Some(ended) = wait(libc::P_ALL, 0, libc::WNOWAIT)? else { return Ok(None) };
    let id = libc::id_t::try_from(ended.pid.as_raw()).map_err(|_| Errno::ECHILD)?;
    wait(libc::P_PID, id, 0)
}

/// Whether that child has ended; it stays to be reaped.
pub(crate) fn has_ended(pid: Pid) -> bool {
    let id = libc::id_t::try_from(pid.as_raw());
    id.is_ok_and(|id| matches!(wait(libc::P_PID, id, libc::WNOWAIT), Ok(Some(_))))
}

fn wait(kind: libc::idtype_t, id: libc::id_t, extra: libc::c_int) -> nix::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | extra;
    // SAFETY: the pointer is to a live siginfo_t of this frame, which the kernel may write whole.
    Errno::result(unsafe { libc::waitid(kind, id, info.as_mut_ptr(), options) })?;
    // SAFETY: siginfo_t is plain data for which all zeroes is a value; waitid filled it or left it.
    let info = unsafe { info.assume_init() };
    // SAFETY: after waitid the SIGCHLD member of the union is the one in use; when no child had
    // ended it is the zeroes from above, which si_pid 0 tells.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let how = if info.si_code == libc::CLD_EXITED { How::Exited(status) } else { How::Signalled(status) };
    Ok((pid != 0).then(|| Ended { pid: Pid::from_raw(pid), how }))
}

/// Sends a signal that is known by its number.
pub(crate) fn send_signal(pid: Pid, signal: i32) -> nix::Result<()> {
    // SAFETY: kill takes two numbers and no pointer.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}

/// A descriptor for a process, closed on exec (Linux 5.3 and newer).
///
/// # Errors
/// ENOSYS from an older kernel, EPERM from a seccomp filter, EMFILE, and ESRCH when there is none.
pub(crate) fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    let flags: libc::c_uint = 0;
    // SAFETY: pidfd_open takes two numbers and no pointer; any pid is allowed.
    let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), flags) })?;
    let number = RawFd::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call succeeded just above, so `number` is a new descriptor that nothing else in
    // this process knows.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends a signal to the process of a pidfd, as kill(2) would.
///
/// # Errors
/// ESRCH when that process was reaped, ENOSYS and EPERM as for [`pidfd_open`].
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let (info, flags): (*const libc::siginfo_t, libc::c_uint) = (std::ptr::null(), 0);
    // SAFETY: the descriptor is borrowed, so open during the call. The one pointer is null, which
    // asks the kernel to fill in what kill(2) does; it reads no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, flags) };
    Errno::result(done).map(drop)
}

/// Whether `number` is an open descriptor.
pub(crate) fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer; any number is allowed and an unused one gives EBADF.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// Closes a descriptor that was open before this program's first instruction.
pub(crate) fn close_inherited(number: RawFd) {
    // SAFETY: the only caller passes numbers above 2 that were open when this program had opened one
    // descriptor, which it leaves out. No value in this process owns them, and they stayed open, so
    // none of them was given out again. After close a number is free, whatever it returned.
    let _ = unsafe { libc::close(number) };
}

/// Owns a descriptor that accept4 just returned; nix gives a plain number.
pub(crate) fn own(accepted: RawFd) -> OwnedFd {
    // SAFETY: the only caller passes what a successful accept4 returned in the line before, so it
    // is open and nobody else in this process knows the number.
    unsafe { OwnedFd::from_raw_fd(accepted) }
}

/// Gives one signal its default action.
pub(crate) fn default_disposition(signal: i32) {
    // SAFETY: SIG_DFL is no function of ours, so nothing can run in signal context. Numbers that
    // can't be changed (KILL, STOP, the C library's own) are refused with EINVAL, which is fine.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Gives every signal its default action: "ignore" is inherited through exec, SIGPIPE's by the
/// standard library among them.
pub(crate) fn default_dispositions() {
    for signal in 1..=libc::SIGRTMAX() {
        default_disposition(signal);
    }
}

/// Gives back the pages of code and constants that have been used so far; those needed again come
/// back from the page cache. What only the start needed, nearly all of it, then takes no memory.
pub(crate) fn give_back_code() {
    // SAFETY: both calls take a number and no pointer.
    let (headers, count) = unsafe { (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM)) };
    let (Ok(headers), Ok(count)) = (usize::try_from(headers), usize::try_from(count)) else { return };
    let headers: *const libc::Elf64_Phdr = std::ptr::with_exposed_provenance(headers);
    if headers.is_null() {
        return;
    }
    // SAFETY: the kernel put the program's own headers there (getauxval(3)): `count` of them, mapped
    // read-only and aligned for as long as the process lives.
    let headers = unsafe { std::slice::from_raw_parts(headers, count) };
    let Some(own) = headers.iter().find(|header| header.p_type == libc::PT_PHDR) else { return };
    let base = headers.as_ptr().addr().wrapping_sub(usize::try_from(own.p_vaddr).unwrap_or_default());
    headers.iter().filter(|header| header.p_type == libc::PT_LOAD).for_each(|part| give_back(base, part));
}

/// One part of the program, unless it can be written.
fn give_back(base: usize, part: &libc::Elf64_Phdr) {
    let (Ok(from), Ok(length)) = (usize::try_from(part.p_vaddr), usize::try_from(part.p_memsz)) else {
        return;
    };
    // SAFETY: sysconf takes a number and no pointer.
    let Ok(page @ 1..) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else { return };
    if part.p_flags & libc::PF_W != 0 {
        return;
    }
    let start = (base + from).next_multiple_of(page);
    let length = (base + from + length).saturating_sub(start) / page * page;
    let start: *mut libc::c_void = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: whole pages of a PT_LOAD part that is never writable, so nobody has changed them: the
    // linker puts what is relocated into writable parts, and these programs have no text relocations
    // (scripts/build-binaries looks). Of a private file mapping MADV_DONTNEED drops only what the next
    // access brings back from the file (madvise(2)).
    let _ = unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) };
}

/// Ignores one signal.
pub(crate) fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is no function of ours, so nothing can run in signal context.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Ends this process at once: no unwinding, no destructors, no buffers.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes a number and doesn't return.
    unsafe { libc::_exit(i32::from(code)) }
}
