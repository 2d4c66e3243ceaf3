//! Judging what the process was left with: no_new_privs, fds, umask, environment, storage.
//!
//! Pure. See prctl(2) PR_SET_NO_NEW_PRIVS, umask(2), environ(7).

use super::{Finding, StorageSeen, ours_unless};
use crate::evidence::Evidence;
use crate::proxy::OpenFds;
use crate::report::Outcome;

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

pub(super) fn fds(evidence: &Evidence) -> Finding {
    match &evidence.proxy.fds {
        OpenFds::Unexpected(list) if list.is_empty() => {
            let text = "the proxy's /proc/self/fd held 0, 1, 2 and the handoff only";
            Finding::new(Outcome::Enforced, text)
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

pub(super) fn environment(evidence: &Evidence) -> Finding {
    let (left, given) = (&evidence.proxy.environment, &evidence.baseline.environment);
    match (left.is_empty(), given.is_empty()) {
        (true, true) => Finding::new(Outcome::Inherited, "no variable of the proxy looks like a secret"),
        // Gone from the proxy, but whoever may look at the container still sees it.
        (true, false) => {
            let text = "kept from the proxy; whoever may ask the runtime, or fluxheim-init, still sees";
            Finding::new(Outcome::Partial, format!("{text} {}", given.join(", ")))
        }
        (false, _) => Finding::new(Outcome::Violated, format!("the proxy has {}", left.join(", "))),
    }
}

pub(super) fn storage(seen: &StorageSeen) -> Finding {
    match seen {
        StorageSeen::NotChecked => Finding::new(Outcome::Unknown, "not checked"),
        StorageSeen::Clean(text) => Finding::new(Outcome::Inherited, text.clone()),
        StorageSeen::Findings(text) => Finding::new(Outcome::Violated, text.clone()),
        StorageSeen::Unknown(text) => Finding::new(Outcome::Unknown, text.clone()),
    }
}
