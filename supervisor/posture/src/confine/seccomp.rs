//! seccomp: the proxy's two filters, from image/seccomp.json.
//!
//! Owns how that policy becomes programs of the kernel's; which calls stand in it is data, with the
//! reason beside each. `launch` holds from before the exec until the proxy has hardened itself and
//! still lets it be executed; `serve` holds from then on. What isn't in a list doesn't exist for the
//! proxy: it gets ENOSYS, which every library has a fallback for. See seccomp(2).

use seccompiler::{BpfProgram, TargetArch, compile_from_json};
use serde::Deserialize;
use serde_json::{Map, Value, json};

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
    let program = compile(&policy(POLICY)?, stage, arch())?;
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
    #[serde(rename = "comment")]
    #[cfg_attr(not(test), allow(dead_code, reason = "for people, and for the test that wants one"))]
    comment: String,
    #[serde(default)]
    args: Vec<Value>,
    /// The architecture that has this call, if not all have it.
    #[serde(default)]
    arch: Option<String>,
}

impl Rule {
    /// In the form seccompiler reads.
    fn to_json(&self) -> Value {
        let mut rule = Map::from_iter([("syscall".to_owned(), json!(self.syscall))]);
        if !self.args.is_empty() {
            rule.insert("args".to_owned(), json!(self.args));
        }
        Value::Object(rule)
    }
}

fn policy(text: &str) -> Result<Policy, FilterError> {
    serde_json::from_str(text).map_err(|error| FilterError::Policy(error.to_string()))
}

fn compile(policy: &Policy, stage: Stage, arch: &str) -> Result<BpfProgram, FilterError> {
    let wrong = |error: &dyn std::fmt::Display| FilterError::Policy(error.to_string());
    let filter = json!({ "filter": {
        "mismatch_action": { "errno": libc::ENOSYS },
        "match_action": "allow",
        "filter": rules(policy, stage, arch).iter().map(|rule| rule.to_json()).collect::<Vec<_>>(),
    }});
    let target = TargetArch::try_from(arch).map_err(|error| wrong(&error))?;
    let programs = compile_from_json(filter.to_string().as_bytes(), target).map_err(|error| wrong(&error))?;
    programs.into_values().next().ok_or_else(|| FilterError::Policy("no filter".to_owned()))
}

/// The rules of a stage on an architecture.
fn rules<'a>(policy: &'a Policy, stage: Stage, arch: &str) -> Vec<&'a Rule> {
    let more: &[Rule] = if stage == Stage::Launch { &policy.launch } else { &[] };
    let replaced = |rule: &&Rule| !more.iter().any(|other| other.syscall == rule.syscall);
    let here = |rule: &&Rule| rule.arch.as_deref().is_none_or(|only| only == arch);
    policy.serve.iter().filter(replaced).chain(more).filter(here).collect()
}

const fn arch() -> &'static str {
    std::env::consts::ARCH
}

/// The same in every build.
const POLICY: &str = include_str!("../../../../image/seccomp.json");

#[cfg(test)]
mod tests;
