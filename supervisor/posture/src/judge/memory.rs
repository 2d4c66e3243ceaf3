//! Judging what keeps memory out of swap: no_swap, memory_lock, and the outcome both serve.
//!
//! Pure. See mlock(2), proc(5) /proc/swaps, the kernel's cgroup-v1 and cgroup-v2 documents.

use fluxheim_config::{Control, Level};
use nix::errno::Errno as Os;

use super::{Asked, Finding};
use crate::evidence::{CgroupSwap, Evidence, Swap};
use crate::parse::SwapMax;
use crate::proxy::LockAttempt;
use crate::report::{ControlReport, Errno, Outcome, SwapOutcome};

pub(super) fn no_swap(swap: &Swap) -> Finding {
    let devices = match &swap.devices {
        Ok(devices) if devices.is_empty() => {
            return Finding::new(Outcome::Inherited, "/proc/swaps lists no device");
        }
        Ok(devices) => format!("/proc/swaps lists {}", devices.join(", ")),
        Err(unread) => unread.to_string(),
    };
    match &swap.cgroup {
        Some(limit) if limit.bars() => {
            Finding::new(Outcome::Inherited, format!("{devices}; {}", words(limit)))
        }
        // A device we can't see may be there, and a limit above our cgroup may be too: unknown.
        _ if swap.devices.is_err() => Finding::new(Outcome::Unknown, devices),
        Some(limit) if limit.bars_in_part() => {
            let but = "cgroup v1: host pressure can still swap it out";
            Finding::new(Outcome::Partial, format!("{devices}; {}; {but}", words(limit)))
        }
        Some(limit) => Finding::new(Outcome::Violated, format!("{devices}; {}", words(limit))),
        None => {
            Finding::new(Outcome::Violated, format!("{devices}; no swap limit of the own cgroup is visible"))
        }
    }
}

fn words(limit: &CgroupSwap) -> String {
    match limit {
        CgroupSwap::V2 { folder, max: SwapMax::Unlimited } => {
            format!("own cgroup: max in {folder}/memory.swap.max")
        }
        CgroupSwap::V2 { folder, max: SwapMax::Bytes(bytes) } => {
            format!("own cgroup: {bytes} in {folder}/memory.swap.max")
        }
        CgroupSwap::V1 { folder, memory, with_swap } => format!(
            "own cgroup: memory {}, memory and swap {} in {folder}/memory.memsw.limit_in_bytes",
            memory.0, with_swap.0
        ),
    }
}

pub(super) fn memory_lock(evidence: &Evidence) -> Finding {
    match &evidence.proxy.memory_lock {
        LockAttempt::NotAsked => Finding::new(Outcome::Violated, "not locked: this level only observes"),
        LockAttempt::NotSafe(why) => {
            Finding::new(Outcome::NotPermitted, format!("not locked, it would not last: {why}"))
        }
        LockAttempt::Failed(errno) => {
            let finding = Finding::new(refusal(errno), "mlockall in the proxy failed");
            Finding { errno: Some(errno.clone()), ..finding }
        }
        LockAttempt::Locked(grounds) => confirm(evidence, grounds),
    }
}

fn refusal(errno: &Errno) -> Outcome {
    match Os::from_raw(errno.number) {
        Os::EPERM | Os::ENOMEM | Os::EAGAIN => Outcome::NotPermitted,
        Os::ENOSYS | Os::EINVAL => Outcome::Unavailable,
        _ => Outcome::Unknown,
    }
}

fn confirm(evidence: &Evidence, grounds: &str) -> Finding {
    let status = match &evidence.status {
        Ok(status) => status,
        Err(unread) => return Finding::unread(unread),
    };
    let (locked, mapped) = (status.locked_kib, status.mapped_kib);
    let seen = format!("VmLck {locked} of VmSize {mapped} kB in /proc/{}/status; {grounds}", evidence.pid);
    let result = match locked {
        0 => Outcome::Violated,
        // All but the kernel's own mappings (vdso, vvar), which are no memory of the process.
        _ if locked >= mapped / 10 * 9 => Outcome::Enforced,
        _ => Outcome::Partial,
    };
    Finding::new(result, seen)
}

/// Secrets stay out of swap when either control holds.
///
/// A configuration that sets both to off or observe has taken the question over by name, and gets
/// its way, visibly.
pub(super) fn secrets_off_swap(controls: &[ControlReport], asked: Asked<'_>) -> SwapOutcome {
    let either = [Control::NoSwap, Control::MemoryLock];
    let named = |control: &Control| asked.hardening.overrides.get(control).copied();
    if !asked.has_secrets {
        return SwapOutcome::new(false, Outcome::NotApplicable, "no secrets configured");
    }
    let held = controls.iter().find(|report| either.contains(&report.control) && report.result.holds());
    if let Some(report) = held {
        return SwapOutcome::new(true, report.result, format!("by {}", report.control.name()));
    }
    if either.iter().all(|control| named(control).is_some_and(|level| level <= Level::Observe)) {
        let text = "waived: the configuration sets both no_swap and memory_lock to off or observe";
        return SwapOutcome::new(false, Outcome::NotApplicable, text);
    }
    SwapOutcome::new(true, Outcome::Violated, "neither no_swap nor memory_lock holds; one of them must")
}
