//! What the machine and the runtime give, as the kernel answers it to a process of the container.
//!
//! Owns the questions; judges nothing and shares no code with what does. See getrlimit(2),
//! landlock_create_ruleset(2), prctl(2) PR_GET_MDWE.

use crate::say;
use crate::sys::{Argument, call};

/// One line a fact: a name and numbers; an errno is negative.
pub(crate) fn tell() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    for (fact, name) in [("core_limit", "Max core file size"), ("memlock_limit", "Max locked memory")] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let values: Vec<_> = line.split_whitespace().take(2).collect();
        say(&format!("{fact} {}", values.join(" ")));
    }
    // LANDLOCK_CREATE_RULESET_VERSION, which libc lacks.
    let version = 1;
    say(&format!("landlock_abi {}", ask(libc::SYS_landlock_create_ruleset, [0, 0, version, 0, 0])));
    say(&format!("mdwe {}", ask(libc::SYS_prctl, [libc::PR_GET_MDWE.into(), 0, 0, 0, 0])));
}

fn ask(number: libc::c_long, arguments: [i64; 5]) -> i64 {
    let answer = call(number, &mut arguments.map(Argument::Number));
    answer.unwrap_or_else(|errno| -(errno as libc::c_long))
}
