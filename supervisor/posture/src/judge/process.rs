//! Judging what the process may do and was left with: capabilities, no_new_privs, fds, umask, storage.
//!
//! Pure. See capabilities(7), prctl(2) PR_SET_NO_NEW_PRIVS, umask(2).

use fluxheim_config::Level;

use super::{Finding, StorageSeen, ours_unless};
use crate::evidence::Evidence;
use crate::parse::{Caps, Status};
use crate::proxy::OpenFds;
use crate::report::Outcome;

pub(super) fn capabilities(evidence: &Evidence) -> Finding {
    let status = match &evidence.status {
        Ok(status) => status,
        Err(unread) => return Finding::unread(unread),
    };
    let Caps { inheritable, permitted, effective, bounding, ambient } = status.caps;
    let seen = format!("in /proc/{}/status", evidence.pid);
    if !status.caps.gives_nothing() {
        let sets = format!(
            "effective {effective:x}, permitted {permitted:x}, inheritable {inheritable:x}, ambient {ambient:x}"
        );
        return Finding::new(Outcome::Violated, format!("{sets} {seen}"));
    }
    let held =
        evidence.baseline.caps.is_some_and(|before| before.gives_nothing() && before.bounding == bounding);
    match (bounding, inert(status)) {
        (0, _) => Finding::new(ours_unless(held), format!("all five sets are empty {seen}")),
        (_, true) => Finding::new(
            ours_unless(held),
            format!("no set gives any; bounding {bounding:x} is inert under no_new_privs {seen}"),
        ),
        (_, false) => Finding::new(
            Outcome::Partial,
            format!("no set gives any, but bounding {bounding:x} is left {seen}"),
        ),
    }
}

/// A bounding set only limits what an exec could give; under no_new_privs an exec gives nothing.
/// From uid 0 we want it empty all the same, since there it can be emptied.
fn inert(status: &Status) -> bool {
    status.no_new_privs && status.uid[1] != 0
}

pub(super) fn no_new_privs(evidence: &Evidence) -> Finding {
    let status = match &evidence.status {
        Ok(status) => status,
        Err(unread) => return Finding::unread(unread),
    };
    let seen = format!("NoNewPrivs {} in /proc/{}/status", u8::from(status.no_new_privs), evidence.pid);
    if status.no_new_privs {
        Finding::new(ours_unless(evidence.baseline.no_new_privs == Some(true)), seen)
    } else {
        Finding::new(Outcome::Violated, seen)
    }
}

pub(super) fn fds(evidence: &Evidence, level: Level) -> Finding {
    match &evidence.proxy.fds {
        OpenFds::Unexpected(list) if list.is_empty() => {
            let text = "the proxy's /proc/self/fd held 0, 1, 2 and the handoff only";
            Finding::new(ours_unless(level < Level::BestEffort), text)
        }
        OpenFds::Unexpected(list) => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            Finding::new(
                Outcome::Violated,
                format!("the proxy's /proc/self/fd also held {}", list.join(", ")),
            )
        }
        OpenFds::Unknown(why) => Finding::new(Outcome::Unknown, why.clone()),
    }
}

pub(super) fn umask(evidence: &Evidence) -> Finding {
    let status = match &evidence.status {
        Ok(status) => status,
        Err(unread) => return Finding::unread(unread),
    };
    let seen = format!("Umask {:04o} in /proc/{}/status", status.umask, evidence.pid);
    if status.umask & 0o077 == 0o077 {
        Finding::new(ours_unless(evidence.baseline.umask == Some(status.umask)), seen)
    } else {
        Finding::new(Outcome::Violated, seen)
    }
}

pub(super) fn storage(seen: &StorageSeen) -> Finding {
    match seen {
        StorageSeen::NotChecked => Finding::new(Outcome::Unknown, "not checked"),
        StorageSeen::Clean(text) => Finding::new(Outcome::Inherited, text.clone()),
        StorageSeen::Findings(text) => Finding::new(Outcome::Violated, text.clone()),
    }
}
