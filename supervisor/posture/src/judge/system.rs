//! Judging what surrounds the proxy: read_only_root, aslr, ptrace_scope, stop_budget.
//!
//! Pure. See statvfs(3), proc(5) kernel.randomize_va_space, personality(2), ptrace(2).

use fluxheim_config::{STOP_MARGIN, Server};

use super::{Finding, ours_unless};
use crate::evidence::Evidence;
use crate::report::Outcome;
use crate::sys::NOT_RANDOM;

pub(super) fn read_only_root(evidence: &Evidence) -> Finding {
    match &evidence.proxy.read_only_root {
        Ok(true) => Finding::new(Outcome::Inherited, "/ is mounted read-only, by statvfs in the proxy"),
        Ok(false) => Finding::new(Outcome::Violated, "/ is mounted writable, by statvfs in the proxy"),
        Err(errno) => {
            Finding::new(Outcome::Unknown, "statvfs of / in the proxy failed").with_errno(errno.clone())
        }
    }
}

pub(super) fn aslr(evidence: &Evidence) -> Finding {
    let kernel = match &evidence.randomised {
        Ok(kernel) => *kernel,
        Err(unread) => return Finding::unread(unread),
    };
    let flags = match &evidence.proxy.personality {
        Ok(flags) => *flags,
        Err(errno) => {
            let finding = Finding::new(Outcome::Unknown, "personality in the proxy failed");
            return finding.with_errno(errno.clone());
        }
    };
    let seen = format!("randomize_va_space {kernel}, personality {flags:#x} in the proxy");
    let was_off = evidence.baseline.personality.is_some_and(|before| before & NOT_RANDOM != 0);
    match (kernel, flags & NOT_RANDOM) {
        (2, 0) => Finding::new(ours_unless(!was_off), seen),
        // All but the heap.
        (1, 0) => Finding::new(Outcome::Partial, seen),
        _ => Finding::new(Outcome::Violated, seen),
    }
}

/// What is asked for is that no process of the same user can trace the proxy. Yama says so for the
/// whole system; not being dumpable says so for this process.
pub(super) fn ptrace_scope(evidence: &Evidence) -> Finding {
    let yama = match &evidence.ptrace_scope {
        Ok(0) => "kernel.yama.ptrace_scope 0".to_owned(),
        Ok(scope) => return Finding::new(Outcome::Inherited, format!("kernel.yama.ptrace_scope {scope}")),
        Err(unread) if unread.is_missing() => "no Yama in this kernel".to_owned(),
        Err(unread) => return Finding::unread(unread),
    };
    match &evidence.proxy.dumpable.value {
        Ok(0) => Finding::new(
            Outcome::Enforced,
            format!("{yama}; PR_GET_DUMPABLE 0 in the proxy bars its own user"),
        ),
        _ => Finding::new(Outcome::Violated, format!("{yama}, and the proxy is dumpable")),
    }
}

/// The configuration's arithmetic, which a configuration that is read has passed; what the runtime
/// really allows can't be seen from inside.
pub(super) fn stop_budget(server: &Server) -> Finding {
    let (delay, drain, stop) = (server.drain_delay, server.drain_timeout, server.stop_timeout);
    let [waiting, draining, margin, stopping] =
        [delay, drain, STOP_MARGIN, stop].map(|time| time.as_secs_f64());
    let seen = format!(
        "drain_delay {waiting}s + drain_timeout {draining}s + {margin}s within stop_timeout {stopping}s, which must be \
         what the runtime allows"
    );
    let fits = delay + drain + STOP_MARGIN <= stop;
    Finding::new(if fits { Outcome::Enforced } else { Outcome::Violated }, seen)
}
