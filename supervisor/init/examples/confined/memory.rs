//! Threads that each map and touch memory: what fails later where a memory lock doesn't last.
//!
//! Owns that load and the line about it. See mlock(2), RLIMIT_MEMLOCK of getrlimit(2).

use std::sync::{Arc, Barrier};
use std::thread::Builder;

/// Starts `threads` of them, lets all hold their memory at once, and says what failed, or what the
/// process then had locked: `threads 16 touched 65536 VmLck 98304`, in KiB.
pub(crate) fn fill(threads: usize) -> String {
    let (full, done) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
    let mut started = Vec::new();
    for number in 0..threads {
        let (full, done) = (Arc::clone(&full), Arc::clone(&done));
        let thread = Builder::new().stack_size(STACK).spawn(move || {
            let memory = touched();
            full.wait();
            done.wait();
            memory.map(|memory| memory.len())
        });
        match thread {
            Ok(thread) => started.push(thread),
            // The others wait for good; the end of the process is theirs.
            Err(error) => return format!("failed: thread {number} of {threads}: {error}"),
        }
    }
    full.wait();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    done.wait();
    for thread in started {
        if let Err(error) = thread.join().unwrap() {
            return format!("failed: memory of a thread: {error}");
        }
    }
    format!("threads {threads} touched {} VmLck {}", threads * MEMORY / 1024, kib(&status, "VmLck:"))
}

/// Mapped, since it is so much at once, and every page written to.
fn touched() -> Result<Vec<u8>, std::collections::TryReserveError> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(MEMORY)?;
    memory.resize(MEMORY, 1);
    Ok(memory)
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const STACK: usize = 2 << 20;
const MEMORY: usize = 4 << 20;
