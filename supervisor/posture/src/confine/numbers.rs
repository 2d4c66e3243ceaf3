//! The numbers of the system calls that image/seccomp.json names, on the architecture this is built for.
//!
//! Owns the table and nothing else; a test holds it against the policy. The names are those of
//! syscalls(2), the numbers libc's.

/// Pairs of a name without its prefix, and its number.
macro_rules! table {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), libc::$name)),*] };
}

/// The number of a call; `None` for one that isn't in the table.
pub(super) fn number(name: &str) -> Option<i64> {
    let mut all = COMMON.iter().chain(&OWN);
    all.find(|(known, _)| known.strip_prefix("SYS_") == Some(name)).map(|(_, number)| *number)
}

const COMMON: [(&str, libc::c_long); 94] = table![
    SYS_accept4,
    SYS_bind,
    SYS_brk,
    SYS_capget,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_clone,
    SYS_close,
    SYS_connect,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_eventfd2,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_fcntl,
    SYS_fchmod,
    SYS_fgetxattr,
    SYS_flock,
    SYS_fstat,
    SYS_fstatfs,
    SYS_fsync,
    SYS_ftruncate,
    SYS_futex,
    SYS_getcwd,
    SYS_getxattr,
    SYS_getdents64,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgroups,
    SYS_getpeername,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_inotify_add_watch,
    SYS_inotify_init1,
    SYS_inotify_rm_watch,
    SYS_kill,
    SYS_landlock_add_rule,
    SYS_landlock_create_ruleset,
    SYS_landlock_restrict_self,
    SYS_listen,
    SYS_lseek,
    SYS_madvise,
    SYS_memfd_secret,
    SYS_mkdirat,
    SYS_mlock,
    SYS_mlockall,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_newfstatat,
    SYS_openat,
    SYS_openat2,
    SYS_personality,
    SYS_ppoll,
    SYS_prctl,
    SYS_pread64,
    SYS_preadv2,
    SYS_prlimit64,
    SYS_read,
    SYS_readlinkat,
    SYS_recvfrom,
    SYS_renameat,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_seccomp,
    SYS_sendto,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_sigaltstack,
    SYS_socket,
    SYS_socketpair,
    SYS_statfs,
    SYS_statx,
    SYS_tgkill,
    SYS_umask,
    SYS_uname,
    SYS_unlinkat,
    SYS_write,
    SYS_writev,
];

#[cfg(target_arch = "x86_64")]
const OWN: [(&str, libc::c_long); 5] =
    table![SYS_access, SYS_arch_prctl, SYS_epoll_wait, SYS_poll, SYS_readlink];

#[cfg(target_arch = "aarch64")]
const OWN: [(&str, libc::c_long); 1] = table![SYS_epoll_pwait];

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMON.iter().chain(&OWN).filter_map(|(name, _)| name.strip_prefix("SYS_"))
}
