//! seccomp: the proxy's two filters, from image/seccomp.json.
//!
//! Owns how that policy becomes programs of the kernel's; which calls stand in it is data, with the
//! reason beside each. `launch` holds from before the exec until the proxy has hardened itself and
//! still lets it be executed; `serve` holds from then on. What isn't in a list doesn't exist for the
//! proxy: it gets ENOSYS, which every library has a fallback for. See seccomp(2).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use serde::Deserialize;

use super::numbers::number;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the child, before the exec.
    Launch,
    /// In the proxy, before its first thread.
    Serve,
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The policy is part of the program; a test compiles it.
    #[error("image/seccomp.json: {0}")]
    Policy(String),
    #[error("seccomp: {0}")]
    System(String),
}

/// Installs a filter on this process; it can't be taken off again. Needs no_new_privs.
///
/// # Errors
/// When the kernel has no filters or another one forbids more.
pub fn install(stage: Stage) -> Result<(), FilterError> {
    let program = compile(&policy(POLICY)?, stage)?;
    seccompiler::apply_filter(&program).map_err(|error| FilterError::System(error.to_string()))
}

/// The policy as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    #[serde(rename = "comment")]
    _comment: String,
    serve: Vec<Rule>,
    /// In addition to `serve`, and instead of its rules for the same call.
    launch: Vec<Rule>,
}

/// One call that is allowed, with conditions on its arguments if there are `args`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    syscall: String,
    #[cfg_attr(not(test), allow(dead_code, reason = "for people, and for the test that wants one"))]
    comment: String,
    /// All of them must hold.
    #[serde(default)]
    args: Vec<Condition>,
    /// The architecture that has this call, if not all have it.
    #[serde(default)]
    arch: Option<String>,
}

/// One argument compared with one value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    index: u8,
    r#type: Width,
    op: Comparison,
    val: u64,
    #[cfg_attr(not(test), allow(dead_code, reason = "for people, and for the test that wants one"))]
    comment: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Width {
    Dword,
    Qword,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Comparison {
    Eq,
    MaskedEq(u64),
}

impl Condition {
    fn compiled(&self) -> Result<SeccompCondition, seccompiler::BackendError> {
        let width = match self.r#type {
            Width::Dword => SeccompCmpArgLen::Dword,
            Width::Qword => SeccompCmpArgLen::Qword,
        };
        let comparison = match self.op {
            Comparison::Eq => SeccompCmpOp::Eq,
            Comparison::MaskedEq(mask) => SeccompCmpOp::MaskedEq(mask),
        };
        SeccompCondition::new(self.index, width, comparison, self.val)
    }
}

fn policy(text: &str) -> Result<Policy, FilterError> {
    serde_json::from_str(text).map_err(|error| FilterError::Policy(error.to_string()))
}

fn compile(policy: &Policy, stage: Stage) -> Result<BpfProgram, FilterError> {
    let wrong = |error: &dyn std::fmt::Display| FilterError::Policy(error.to_string());
    let mut by_number: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules(policy, stage, std::env::consts::ARCH) {
        let unknown = || FilterError::Policy(format!("no number is known for {}", rule.syscall));
        let alternatives = by_number.entry(number(&rule.syscall).ok_or_else(unknown)?).or_default();
        // No alternative at all means: whatever the arguments.
        if !rule.args.is_empty() {
            let conditions = rule.args.iter().map(Condition::compiled).collect::<Result<_, _>>();
            let all = conditions.and_then(SeccompRule::new).map_err(|error| wrong(&error))?;
            alternatives.push(all);
        }
    }
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let target = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| wrong(&error))?;
    SeccompFilter::new(by_number, absent, SeccompAction::Allow, target)
        .and_then(BpfProgram::try_from)
        .map_err(|error| wrong(&error))
}

/// The rules of a stage on an architecture.
fn rules<'a>(policy: &'a Policy, stage: Stage, arch: &str) -> Vec<&'a Rule> {
    let more: &[Rule] = if stage == Stage::Launch { &policy.launch } else { &[] };
    let replaced = |rule: &&Rule| !more.iter().any(|other| other.syscall == rule.syscall);
    let here = |rule: &&Rule| rule.arch.as_deref().is_none_or(|only| only == arch);
    policy.serve.iter().filter(replaced).chain(more).filter(here).collect()
}

/// The same in every build.
const POLICY: &str = include_str!("../../../../image/seccomp.json");

#[cfg(test)]
mod tests;
