//! The few calls that neither nix nor caps wraps.
//!
//! Owns every unsafe block of this crate; decides nothing. See prctl(2), capabilities(7), close_range(2).
#![allow(unsafe_code, reason = "raw system calls live here and nowhere else in this crate")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;

pub(crate) const MCL_ONFAULT: libc::c_int = libc::MCL_ONFAULT;

/// Securebits of a root that gains nothing from being root and can't hand anything on, locked for
/// good (capabilities(7)).
pub(crate) const ROOT_WITHOUT_POWER: libc::c_int = libc::SECBIT_NOROOT
    | libc::SECBIT_NOROOT_LOCKED
    | libc::SECBIT_NO_SETUID_FIXUP
    | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
    | libc::SECBIT_KEEP_CAPS_LOCKED
    | libc::SECBIT_NO_CAP_AMBIENT_RAISE
    | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

/// ADDR_NO_RANDOMIZE of personality(2).
pub(crate) const NOT_RANDOM: u32 = 0x0004_0000;

/// Takes ownership of a descriptor that this process inherited.
///
/// The caller sees to it that nothing else in this process owns `number`.
pub(crate) fn adopt(number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer; any number is allowed and an unused one gives EBADF.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: the descriptor is open (checked just above, and no other thread runs yet), and the
    // only caller takes each inherited number once per process, so ownership is unique.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether `number` is an open descriptor.
pub(crate) fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer; any number is allowed and an unused one gives EBADF.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// PR_SET_PDEATHSIG of KILL in what `command` starts.
pub(crate) fn end_with_starter(command: &mut Command) -> &mut Command {
    let starter = std::process::id();
    let in_child = move || -> std::io::Result<()> {
        prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(libc::SIGKILL.unsigned_abs()))?;
        // Who had ended before that tells nobody; whoever adopts the child has another number.
        match std::os::unix::process::parent_id() == starter {
            true => Ok(()),
            false => Err(Errno::ESRCH.into()),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, and no lock nor allocation: the closure
    // makes two plain system calls, prctl(2) and getppid(2), holds a number by value, and its errors are
    // numbers of the system, which allocate nothing.
    unsafe { command.pre_exec(in_child) }
}

/// PR_SET_DUMPABLE.
pub(crate) fn set_dumpable(dumpable: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable)).map(drop)
}

/// PR_GET_DUMPABLE: 0, 1 or 2.
pub(crate) fn dumpable() -> nix::Result<i32> {
    prctl(libc::PR_GET_DUMPABLE, 0)
}

/// Takes one capability from the bounding set.
pub(crate) fn drop_from_bounding(capability: u8) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability)).map(drop)
}

/// PR_SET_SECUREBITS.
pub(crate) fn set_securebits(bits: libc::c_int) -> nix::Result<()> {
    let bits = libc::c_ulong::try_from(bits).map_err(|_| Errno::EINVAL)?;
    prctl(libc::PR_SET_SECUREBITS, bits).map(drop)
}

/// PR_GET_SECUREBITS.
pub(crate) fn securebits() -> nix::Result<i32> {
    prctl(libc::PR_GET_SECUREBITS, 0)
}

/// PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN (Linux 6.3).
pub(crate) fn set_mdwe() -> nix::Result<()> {
    prctl(libc::PR_SET_MDWE, libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN)).map(drop)
}

/// PR_GET_MDWE; bit 0 is PR_MDWE_REFUSE_EXEC_GAIN.
pub(crate) fn mdwe() -> nix::Result<i32> {
    prctl(libc::PR_GET_MDWE, 0)
}

/// The personality flags (personality(2)).
pub(crate) fn personality() -> nix::Result<u32> {
    persona(libc::c_ulong::from(u32::MAX))
}

/// Sets the personality flags.
pub(crate) fn set_personality(flags: u32) -> nix::Result<()> {
    persona(libc::c_ulong::from(flags)).map(drop)
}

fn persona(flags: libc::c_ulong) -> nix::Result<u32> {
    // SAFETY: personality takes a number and no pointer; u32::MAX only asks.
    let now = Errno::result(unsafe { libc::personality(flags) })?;
    Ok(now.cast_unsigned())
}

/// What execve(2) and execveat(2) answer to a name that isn't there at all: EFAULT where the kernel
/// got as far as reading it.
pub(crate) fn try_exec() -> [Errno; 2] {
    let nothing: *const libc::c_char = std::ptr::null();
    // SAFETY: both calls take null pointers here, which the kernel refuses with EFAULT when it reads
    // the name, before anything of this process is changed.
    let answers = unsafe {
        [
            Errno::result(libc::syscall(libc::SYS_execve, nothing, nothing, nothing)),
            Errno::result(libc::syscall(libc::SYS_execveat, -1, nothing, nothing, nothing, 0)),
        ]
    };
    // Neither can succeed without a name.
    answers.map(|answer| answer.err().unwrap_or(Errno::UnknownErrno))
}

/// Marks every descriptor above 2 as close-on-exec (Linux 5.11 and newer).
pub(crate) fn close_above_stdio_on_exec() -> nix::Result<()> {
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    // SAFETY: close_range takes three numbers and no pointer. With CLOSE_RANGE_CLOEXEC it closes
    // nothing, so no owner in this process loses its descriptor.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(done).map(drop)
}

/// Sets or clears close-on-exec.
pub(crate) fn set_close_on_exec(fd: BorrowedFd<'_>, on: bool) -> nix::Result<()> {
    set_close_on_exec_raw(fd.as_raw_fd(), on)
}

/// As [`set_close_on_exec`], for a descriptor that nobody in this process owns.
pub(crate) fn set_close_on_exec_raw(number: RawFd, on: bool) -> nix::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes an int, not a pointer; it closes nothing, and an unused number is EBADF.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, flags) }).map(drop)
}

/// A prctl whose one argument is a number.
fn prctl(option: libc::c_int, argument: libc::c_ulong) -> nix::Result<i32> {
    let none: libc::c_ulong = 0;
    // SAFETY: every option used in this module (PDEATHSIG, DUMPABLE, CAPBSET, SECUREBITS, MDWE) takes numbers only, no
    // pointers, and wants its unused arguments zero, each of the width of an unsigned long.
    Errno::result(unsafe { libc::prctl(option, argument, none, none, none) })
}
