//! From evidence to a report: pure functions, one per control.
//!
//! Owns what counts as holding; reads and applies nothing. Whatever couldn't be read or parsed is
//! `unknown`, which a required control doesn't pass on.

mod confine;
mod core;
mod identity;
mod memory;
mod process;
#[cfg(test)]
pub(crate) mod samples;
mod system;

use fluxheim_config::{Control, Hardening, Level, Server};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::kernel::Unread;
use crate::report::{ControlReport, Outcome, Report, fix};

/// What is asked of the proxy.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub hardening: &'a Hardening,
    /// Whether the configuration names secrets at all.
    pub has_secrets: bool,
    pub storage: &'a StorageSeen,
    /// Whose stop budget is judged.
    pub server: &'a Server,
}

/// What the storage check came to; the check itself is `fluxheim-trust`'s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageSeen {
    /// Not looked at: the control is off.
    NotChecked,
    /// Every object is as it must be; the text says how many.
    Clean(String),
    /// The findings in one line; the details are printed beside the report.
    Findings(String),
    /// Nothing is refused, but not everything could be judged; the same.
    Unknown(String),
}

/// Judges every control.
#[must_use]
pub fn judge(evidence: &Evidence, asked: Asked<'_>) -> Report {
    let controls: Vec<_> = Control::ALL.into_iter().map(|control| one(evidence, asked, control)).collect();
    let secrets_off_swap = memory::secrets_off_swap(&controls, asked);
    let kernel = evidence.kernel.as_ref().ok().cloned();
    let identity = identity::seen(evidence);
    Report { profile: asked.hardening.profile, controls, secrets_off_swap, identity, kernel }
}

fn one(evidence: &Evidence, asked: Asked<'_>, control: Control) -> ControlReport {
    let level = asked.hardening.level(control);
    if level == Level::Off {
        return ControlReport::new(control, level, Outcome::NotApplicable, "off in the configuration");
    }
    let Finding { result, text, errno } = match control {
        Control::CoreDumps => core::core_dumps(evidence),
        Control::CoredumpFilter => core::coredump_filter(evidence),
        Control::Dumpable => core::dumpable(evidence),
        Control::NoSwap => memory::no_swap(&evidence.swap),
        Control::MemoryLock => memory::memory_lock(evidence),
        Control::Capabilities => identity::capabilities(evidence),
        Control::Securebits => identity::securebits(evidence),
        Control::NoNewPrivs => process::no_new_privs(evidence),
        Control::Mdwe => confine::mdwe(evidence),
        Control::Seccomp => confine::seccomp(evidence),
        Control::Landlock => confine::landlock(evidence),
        Control::Identity => identity::identity(evidence, asked.hardening.profile),
        Control::Fds => process::fds(evidence),
        Control::Umask => process::umask(evidence),
        Control::Environment => process::environment(evidence),
        Control::ReadOnlyRoot => system::read_only_root(evidence),
        Control::Storage => process::storage(asked.storage),
        Control::Aslr => system::aslr(evidence),
        Control::PtraceScope => system::ptrace_scope(evidence),
        Control::StopBudget => system::stop_budget(asked.server),
    };
    // What isn't applied is nobody's doing here, whatever else brought it about.
    let result = match result {
        Outcome::Enforced if level < Level::BestEffort => Outcome::Inherited,
        other => other,
    };
    let failed = evidence.failures.iter().find(|failure| failure.control == control && !result.holds());
    let errno = errno.or_else(|| failed.map(|failure| failure.errno.clone()));
    let report = ControlReport::new(control, level, result, text).with_errno(errno);
    match evidence.proc_flaw {
        Some(flaw) if result == Outcome::Unknown => report.with_fix(fix::proc_lines(flaw)),
        _ => report,
    }
}

/// One control's outcome before level and advice are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) result: Outcome,
    pub(crate) text: String,
    pub(crate) errno: Option<crate::report::Errno>,
}

impl Finding {
    fn new(result: Outcome, text: impl Into<String>) -> Self {
        Self { result, text: text.into(), errno: None }
    }

    fn with_errno(self, errno: crate::report::Errno) -> Self {
        Self { errno: Some(errno), ..self }
    }

    fn unread(unread: &Unread) -> Self {
        let errno = unread.errno.clone();
        // The errno is printed beside the evidence, so the path alone is enough there.
        let text = if errno.is_some() { unread.path.clone() } else { unread.to_string() };
        Self { result: Outcome::Unknown, text, errno }
    }
}

/// Enforced where it didn't hold before us, inherited where it did.
fn ours_unless(held_before: bool) -> Outcome {
    if held_before { Outcome::Inherited } else { Outcome::Enforced }
}

#[cfg(test)]
mod tests;
