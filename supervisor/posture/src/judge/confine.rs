//! Judging what the proxy can still do: seccomp, landlock, mdwe.
//!
//! Pure. See seccomp(2), landlock(7), prctl(2) PR_SET_MDWE. Landlock shows in no file, so what counts
//! is what the proxy tried in vain.

use fluxheim_config::Control;
use nix::errno::Errno as Os;

use super::{Finding, ours_unless};
use crate::confine::landlock::{LandlockAttempt, Restricted};
use crate::evidence::Evidence;
use crate::parse::{Seccomp, Status};
use crate::proxy::{FilterAttempt, FilterReport};
use crate::report::Outcome;

pub(super) fn seccomp(evidence: &Evidence) -> Finding {
    let status = match &evidence.status {
        Ok(status) => status,
        Err(unread) => return Finding::unread(unread),
    };
    let FilterReport { attempt, execve_before, exec_after } = &evidence.proxy.seccomp;
    let seen = words(evidence, status);
    match attempt {
        FilterAttempt::NotAsked if status.seccomp.mode == 2 => {
            Finding::new(Outcome::Partial, format!("{seen}: the runtime's alone, this level only observes"))
        }
        FilterAttempt::NotAsked => {
            Finding::new(Outcome::Violated, format!("{seen}: this level only observes"))
        }
        FilterAttempt::Failed(why) => Finding::new(Outcome::Unavailable, format!("{seen}; {why}")),
        FilterAttempt::Installed => {
            let gone = exec_after.iter().all(|errno| *errno == Os::ENOSYS as i32);
            let was_there = *execve_before == Os::EFAULT as i32;
            let answers = format!(
                "{seen}; execve, execveat: {:?}, {:?}",
                Os::from_raw(exec_after[0]),
                Os::from_raw(exec_after[1])
            );
            Finding::new(installed(evidence, status.seccomp, gone && was_there), answers)
        }
    }
}

/// Both filters are there, and the second does what it is for.
fn installed(evidence: &Evidence, now: Seccomp, tried_in_vain: bool) -> Outcome {
    let launch_failed = evidence.failures.iter().any(|failure| failure.control == Control::Seccomp);
    // A kernel that doesn't count leaves the attempt alone to tell.
    let counted = match (now.filters, evidence.baseline.seccomp.and_then(|before| before.filters)) {
        (Some(now), Some(before)) => now >= before + 2,
        _ => true,
    };
    match (now.mode, tried_in_vain) {
        (2, true) if counted && !launch_failed => Outcome::Enforced,
        (2, true) => Outcome::Partial,
        _ => Outcome::Violated,
    }
}

fn words(evidence: &Evidence, status: &Status) -> String {
    let filters =
        |filters: Option<u32>| filters.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let before = evidence.baseline.seccomp.and_then(|before| before.filters);
    format!(
        "Seccomp {}, filters {} (before us {}) in /proc/{}/status",
        status.seccomp.mode,
        filters(status.seccomp.filters),
        filters(before),
        evidence.pid
    )
}

pub(super) fn landlock(evidence: &Evidence) -> Finding {
    match &evidence.proxy.landlock {
        LandlockAttempt::NotAsked => Finding::new(Outcome::Violated, "not applied: this level only observes"),
        LandlockAttempt::Unavailable(why) => Finding::new(Outcome::Unavailable, why.clone()),
        LandlockAttempt::Failed(why) => Finding::new(Outcome::Violated, why.clone()),
        LandlockAttempt::Restricted(restricted) => confirm(restricted),
    }
}

fn confirm(Restricted { abi, files, ports, signals, writes }: &Restricted) -> Finding {
    let mut missing = Vec::new();
    let mut tried = vec![files];
    // What each version of the interface brought (landlock(7)).
    if *abi >= 4 {
        tried.push(ports)
    } else {
        missing.push("TCP ports")
    }
    if *abi < 5 {
        missing.push("ioctl of devices");
    }
    if *abi >= 6 {
        tried.push(signals)
    } else {
        missing.push("signals and abstract sockets")
    }
    let seen = tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let may = match &**writes {
        [] => "may write nothing".to_owned(),
        folders => format!("may write below {}", folders.join(", ")),
    };
    let text = format!("Landlock ABI {abi}; {seen}; {may}");
    let possible = tried.iter().any(|trial| trial.is_contradicted());
    if possible {
        Finding::new(Outcome::Violated, text)
    // Signals may have nobody to be tried on; one ruleset holds all of it.
    } else if !files.is_confirmed() || (*abi >= 4 && !ports.is_confirmed()) {
        Finding::new(Outcome::Unknown, format!("{text}: nothing to try it on"))
    } else if missing.is_empty() {
        Finding::new(Outcome::Enforced, text)
    } else {
        Finding::new(Outcome::Partial, format!("{text}; not in this kernel: {}", missing.join(", ")))
    }
}

pub(super) fn mdwe(evidence: &Evidence) -> Finding {
    match &evidence.proxy.mdwe {
        Ok(bits) if bits & 1 == 1 => {
            let held = evidence.baseline.mdwe.is_some_and(|before| before & 1 == 1);
            Finding::new(ours_unless(held), format!("PR_GET_MDWE {bits} in the proxy"))
        }
        Ok(bits) => Finding::new(Outcome::Violated, format!("PR_GET_MDWE {bits} in the proxy")),
        // EINVAL before Linux 6.3.
        Err(errno) => {
            Finding::new(Outcome::Unavailable, "PR_GET_MDWE in the proxy failed").with_errno(errno.clone())
        }
    }
}
