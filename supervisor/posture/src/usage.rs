//! What this process uses: processor time, memory, descriptors.
//!
//! Owns the reading; judges nothing. `None` where the kernel does not tell, as some sandboxes don't.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::time::{ClockId, clock_gettime};

use crate::kernel;

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In memory now.
    pub resident: u64,
    /// Addresses in use.
    pub mapped: u64,
}

/// Processor time of all threads, in user and system (clock_gettime(2)).
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from)
}

/// What proc_pid_status(5) shows.
#[must_use]
pub fn memory() -> Option<Memory> {
    memory_in(&kernel::text("/proc/self/status").ok()?)
}

fn memory_in(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory { resident: bytes("VmRSS:")?, mapped: bytes("VmSize:")? })
}

/// Descriptors open now.
#[must_use]
pub fn open_descriptors() -> Option<u64> {
    kernel::count_own_fds().ok()
}

/// How many may be open (getrlimit(2), RLIMIT_NOFILE).
#[must_use]
pub fn most_descriptors() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_shows() {
        let seen = memory_in("Name:\tx\nVmSize:\t    2048 kB\nVmRSS:\t     512 kB\n");
        assert_eq!(seen, Some(Memory { resident: 512 << 10, mapped: 2 << 20 }));
        assert_eq!(memory_in("VmRSS:\t12\n"), None);
    }

    #[test]
    fn sees_itself() {
        let memory = memory().unwrap();
        assert!(memory.resident > 0 && memory.mapped >= memory.resident);
        assert!(cpu_time().unwrap() > Duration::ZERO);
        let before = open_descriptors().unwrap();
        assert!(before >= 3 && before < most_descriptors().unwrap());
    }
}
