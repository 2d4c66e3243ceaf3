//! Judging what keeps memory out of core dumps: core_dumps, coredump_filter, dumpable.
//!
//! Pure. See core(5), prctl(2) PR_SET_DUMPABLE, proc(5) on the owner of /proc/PID.

use fluxheim_config::Level;

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
    let target = core_target(pattern);
    let seen = format!("core file size {limit} in /proc/{}/limits; {}", evidence.pid, words(pattern));
    if limit.is(target) || (target == 0 && limit.is(1)) {
        return Finding::new(ours_unless(evidence.baseline.core_limit == Some(limit)), seen);
    }
    // 0 doesn't stop a handler and may not be raised to 1; not being dumpable stops it.
    match (limit.is(0), evidence.proxy.dumpable.value.as_ref()) {
        (true, Ok(0)) => Finding::new(
            Outcome::Inherited,
            format!("{seen}; the limit can't be raised to 1, not being dumpable stops the handler"),
        ),
        (true, _) => Finding::new(Outcome::Partial, format!("{seen}; 0 doesn't stop a handler, 1 would")),
        (false, _) => Finding::new(Outcome::Violated, seen),
    }
}

fn words(pattern: &CorePattern) -> String {
    match pattern {
        CorePattern::File(name) => format!("core_pattern {name:?} is a file"),
        CorePattern::Handler(name) => format!("core_pattern {name:?} is a handler"),
    }
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

pub(super) fn dumpable(evidence: &Evidence, level: Level) -> Finding {
    let told = &evidence.proxy.dumpable;
    match &told.value {
        Ok(0) => not_dumpable(evidence, ours_unless(level < Level::BestEffort)),
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

/// The proxy's word is compared with what the kernel shows others: the files in /proc/PID belong to
/// root when the process isn't dumpable, to the process's own uid when it is.
fn not_dumpable(evidence: &Evidence, held: Outcome) -> Finding {
    let (uid, owner) = match (&evidence.status, &evidence.owner) {
        (Ok(status), Ok(owner)) => (status.uid[1], *owner),
        (Err(unread), _) | (_, Err(unread)) => return Finding::unread(unread),
    };
    let pid = evidence.pid;
    if uid == 0 {
        let text = "PR_GET_DUMPABLE 0 in the proxy; uid 0, so the owner of its /proc files can't confirm it";
        return Finding::new(held, text);
    }
    let seen = format!(
        "PR_GET_DUMPABLE 0 in the proxy; /proc/{pid}/status belongs to uid {owner}, the proxy is uid {uid}"
    );
    let foreign = owner != uid && (owner == 0 || owner == evidence.overflow_uid);
    Finding::new(if foreign { held } else { Outcome::Violated }, seen)
}
