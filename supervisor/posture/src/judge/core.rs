//! Judging what keeps memory out of core dumps: core_dumps, coredump_filter, dumpable.
//!
//! Pure. See core(5), prctl(2) PR_SET_DUMPABLE, proc(5) on the owner of /proc/PID.

use super::{Finding, ours_unless};
use crate::apply::core_target;
use crate::evidence::Evidence;
use crate::parse::CorePattern;
use crate::report::Outcome;

pub(super) fn core_dumps(evidence: &Evidence) -> Finding {
    let (limit, pattern) = match (&evidence.core_limit, &evidence.core_pattern) {
        (Ok(limit), Ok(pattern)) => (*limit, pattern),
        (Err(unread), _) | (_, Err(unread)) => return Finding::unread(unread),
    };
    let seen = format!("core file size {limit} in /proc/{}/limits; {}", evidence.pid, words(pattern));
    let target = core_target(pattern);
    let held_before = evidence.baseline.core_limit == Some(limit);
    match pattern {
        CorePattern::Socket(_) => by_dumpable(evidence, &seen, "no limit stops a socket"),
        _ if limit.is(target) || limit.is(1) => Finding::new(ours_unless(held_before), seen),
        CorePattern::Pipe(_) if limit.is(0) => {
            by_dumpable(evidence, &seen, "0 doesn't stop a pipe and can't be raised to 1")
        }
        CorePattern::File(_) | CorePattern::Pipe(_) => Finding::new(Outcome::Violated, seen),
    }
}

/// Where the limit stops nothing, not being dumpable does: it stops every kind of core (core(5)).
fn by_dumpable(evidence: &Evidence, seen: &str, why: &str) -> Finding {
    match &evidence.proxy.dumpable.value {
        Ok(0) => Finding::new(
            Outcome::Inherited,
            format!("{seen}; {why}, PR_GET_DUMPABLE 0 in the proxy stops it"),
        ),
        _ => Finding::new(Outcome::Partial, format!("{seen}; {why}, only not being dumpable would")),
    }
}

fn words(pattern: &CorePattern) -> String {
    let (CorePattern::File(name) | CorePattern::Pipe(name) | CorePattern::Socket(name)) = pattern;
    let kind = match pattern {
        CorePattern::File(_) => "file",
        CorePattern::Pipe(_) => "pipe",
        CorePattern::Socket(_) => "socket",
    };
    format!("core_pattern {name:?} is a {kind}")
}

pub(super) fn coredump_filter(evidence: &Evidence) -> Finding {
    let filter = match &evidence.coredump_filter {
        Ok(filter) => *filter,
        Err(unread) => return Finding::unread(unread),
    };
    let seen = format!("{filter:#x} in /proc/{}/coredump_filter", evidence.pid);
    match filter {
        0 => Finding::new(ours_unless(evidence.baseline.coredump_filter == Some(0)), seen),
        _ => Finding::new(Outcome::Violated, seen),
    }
}

pub(super) fn dumpable(evidence: &Evidence) -> Finding {
    if let Some(traced) = traced(evidence) {
        return traced;
    }
    let told = &evidence.proxy.dumpable;
    match &told.value {
        Ok(0) => not_dumpable(evidence),
        Ok(2) => Finding::new(Outcome::Partial, "PR_GET_DUMPABLE 2 in the proxy: root still gets a core"),
        Ok(value) => Finding {
            errno: told.set_failed.clone(),
            ..Finding::new(Outcome::Violated, format!("PR_GET_DUMPABLE {value} in the proxy"))
        },
        Err(errno) => Finding {
            errno: Some(errno.clone()),
            ..Finding::new(Outcome::Unknown, "PR_GET_DUMPABLE in the proxy failed")
        },
    }
}

/// Whoever got hold of one of the two before it hid reads and writes it all the same (ptrace(2)).
fn traced(evidence: &Evidence) -> Option<Finding> {
    let (proxy, own) = match (&evidence.status, &evidence.own_tracer) {
        (Ok(status), Ok(own)) => (status.tracer, *own),
        (Err(unread), _) | (_, Err(unread)) => return Some(Finding::unread(unread)),
    };
    match (proxy, own) {
        (0, 0) => None,
        (0, tracer) => {
            Some(Finding::new(Outcome::Violated, format!("TracerPid {tracer}: fluxheim-init is traced")))
        }
        (tracer, _) => {
            let seen = format!("TracerPid {tracer} in /proc/{}/status: the proxy is traced", evidence.pid);
            Some(Finding::new(Outcome::Violated, seen))
        }
    }
}

/// The proxy's word is compared with what the kernel shows others: the files in /proc/PID belong to
/// root when the process isn't dumpable, to the process's own uid when it is.
fn not_dumpable(evidence: &Evidence) -> Finding {
    let (uid, owner) = match (&evidence.status, &evidence.owner) {
        (Ok(status), Ok(owner)) => (status.uid[1], *owner),
        (Err(unread), _) | (_, Err(unread)) => return Finding::unread(unread),
    };
    let pid = evidence.pid;
    if uid == 0 {
        let text = "PR_GET_DUMPABLE 0 in the proxy; uid 0, so the owner of its /proc files can't confirm it";
        return Finding::new(Outcome::Enforced, text);
    }
    let seen = format!(
        "PR_GET_DUMPABLE 0 in the proxy; /proc/{pid}/status belongs to uid {owner}, the proxy is uid {uid}"
    );
    let foreign = owner != uid && (owner == 0 || owner == evidence.overflow_uid);
    Finding::new(if foreign { Outcome::Enforced } else { Outcome::Violated }, seen)
}
