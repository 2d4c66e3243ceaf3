//! Judging who the proxy is and what that gives it: identity, capabilities, securebits.
//!
//! Pure. See credentials(7), capabilities(7), user_namespaces(7).

use fluxheim_config::Profile;

use super::{Finding, ours_unless};
use crate::evidence::Evidence;
use crate::parse::{Caps, Status};
use crate::report::{Identity, Outcome};
use crate::sys::ROOT_WITHOUT_POWER;

/// Whom the report names.
pub(super) fn seen(evidence: &Evidence) -> Option<Identity> {
    let status = evidence.status.as_ref().ok()?;
    Some(Identity { uid: status.uid[1], gid: status.gid[1], groups: status.groups.clone() })
}

pub(super) fn identity(evidence: &Evidence, profile: Profile) -> Finding {
    let status = match &evidence.status {
        Ok(status) => status,
        Err(unread) => return Finding::unread(unread),
    };
    let ([uid, ..], [gid, ..]) = (status.uid, status.gid);
    let groups = status.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let of = format!("in /proc/{}/status", evidence.pid);
    let text = format!(
        "uid {uid}, gid {gid}, groups {} {of}",
        if groups.is_empty() { "none" } else { groups.as_str() }
    );
    if status.uid != [uid; 4] || status.gid != [gid; 4] {
        let ids = format!("Uid {:?}, Gid {:?} {of}: not the same everywhere", status.uid, status.gid);
        return Finding::new(Outcome::Violated, ids);
    }
    let was_root = evidence.baseline.uid == Some(0);
    match (uid, &evidence.initial_namespace) {
        (0, Ok(false)) => {
            let but = "uid 0 of a user namespace, a plain user of the host";
            Finding::new(Outcome::Partial, format!("{text}: {but}"))
        }
        (0, _) => Finding::new(Outcome::Violated, text),
        // Groups that a root had are power it was to give up.
        _ if was_root && (!status.groups.is_empty() || gid == 0) => {
            Finding::new(Outcome::Partial, format!("{text}: groups of the start as uid 0 are left"))
        }
        // OpenShift runs every pod in group 0; the image gives that group nothing.
        _ if gid == 0 || status.groups.contains(&0) => {
            let result = if profile == Profile::Strict { Outcome::Partial } else { ours_unless(!was_root) };
            Finding::new(result, format!("{text}: a member of group 0"))
        }
        _ => Finding::new(ours_unless(!was_root), text),
    }
}

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

/// They say what uid 0 would give. A plain user under no_new_privs never becomes uid 0.
pub(super) fn securebits(evidence: &Evidence) -> Finding {
    let bits = match &evidence.proxy.securebits {
        Ok(bits) => *bits,
        Err(errno) => {
            return Finding::new(Outcome::Unknown, "PR_GET_SECUREBITS in the proxy failed")
                .with_errno(errno.clone());
        }
    };
    let seen = format!("PR_GET_SECUREBITS {bits:#x} in the proxy");
    if bits & ROOT_WITHOUT_POWER == ROOT_WITHOUT_POWER {
        let held = evidence.baseline.securebits == Some(bits);
        return Finding::new(ours_unless(held), format!("{seen}: uid 0 gives nothing, locked"));
    }
    match &evidence.status {
        Ok(status) if inert(status) && evidence.baseline.uid != Some(0) => {
            let why = "inert: a plain user under no_new_privs can't become uid 0";
            Finding::new(Outcome::NotApplicable, format!("{seen}, {why}"))
        }
        Ok(_) => Finding::new(Outcome::Violated, format!("{seen}: not locked")),
        Err(unread) => Finding::unread(unread),
    }
}
