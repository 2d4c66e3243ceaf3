//! Raw system calls, and the fork that keeps an attempt that succeeds from ending the program.
//!
//! Owns every unsafe block of this program; decides nothing. See syscall(2).
#![allow(
    unsafe_code,
    reason = "what is tried are system calls, which no safe wrapper lets through as they are"
)]

use std::ffi::CString;

use libc::c_long;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// An argument of a system call.
pub(crate) enum Argument {
    Number(i64),
    Text(CString),
    /// Memory that the call may read or write: as long as the longest structure any of them takes.
    Block(Box<[u64; 64]>),
    /// A list of pointers that ends with a null one.
    List(Vec<CString>),
}

/// Makes the call `number`.
///
/// A call that makes a process makes one that ends at once; what this returns is the caller's view.
pub(crate) fn call(number: c_long, arguments: &mut [Argument]) -> Result<c_long, Errno> {
    let mut lists: Vec<Vec<*const libc::c_char>> = Vec::new();
    let mut words = [0_i64; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = match argument {
            Argument::Number(number) => *number,
            Argument::Text(text) => address(text.as_ptr()),
            Argument::Block(block) => address(block.as_mut_ptr()),
            Argument::List(list) => {
                let ends = list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]);
                lists.push(ends.collect());
                lists.last().map_or(0, |list| address(list.as_ptr()))
            }
        };
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: every pointer is to memory that this function or its caller keeps until the call is over:
    // strings and lists that end with a zero, and blocks that are exclusively borrowed and longer than
    // any structure of the calls in `attempts`. None of those calls unmaps or moves memory of ours.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == 0 && MAKES_A_PROCESS.contains(&number) {
        // SAFETY: _exit takes a number and doesn't return; this is the new process.
        unsafe { libc::_exit(0) }
    }
    Errno::result(answer)
}

/// Runs `attempt` in a process of its own; the number is what it ended with, or that of its signal.
pub(crate) fn apart(attempt: impl FnOnce() -> u8) -> u8 {
    // SAFETY: this program has no other thread when it calls this, so the child may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = attempt();
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(code)) }
    }
    match waitpid(Pid::from_raw(pid), None) {
        Ok(WaitStatus::Exited(_, code)) => u8::try_from(code).unwrap_or(u8::MAX),
        _ => u8::MAX,
    }
}

fn address<T>(pointer: *const T) -> i64 {
    // The word a system call takes; no user address has the highest bit.
    pointer.addr().cast_signed() as i64
}

#[cfg(target_arch = "x86_64")]
const MAKES_A_PROCESS: [c_long; 3] = [libc::SYS_clone, libc::SYS_clone3, libc::SYS_fork];
#[cfg(not(target_arch = "x86_64"))]
const MAKES_A_PROCESS: [c_long; 2] = [libc::SYS_clone, libc::SYS_clone3];
