//! The posture report: what each control asked, what was found, and how to mend it.
//!
//! Owns the report's shape, its verdict and its JSON (docs/posture.schema.json); `report/text.rs` owns
//! the words people read. Applies, reads and judges nothing.

pub(crate) mod fix;
pub(crate) mod names;
mod text;

use std::fmt;

use fluxheim_config::{Control, Level, Profile};
use serde::{Deserialize, Serialize};

pub use fix::{Fix, Runtime};
pub use text::Colour;

/// Version of the JSON form.
pub const SCHEMA: u32 = 2;

/// The version of Fluxheim that a report names.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What became of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// True because we made it so.
    Enforced,
    /// True already when we came.
    Inherited,
    /// True in part; the evidence says which.
    Partial,
    /// The kernel or the runtime doesn't have it.
    Unavailable,
    /// It exists, and we may not use it.
    NotPermitted,
    /// Not true.
    Violated,
    /// Off, or without meaning here.
    NotApplicable,
    /// It can't be told.
    Unknown,
}

impl Outcome {
    /// Every outcome, those that hold first.
    pub const ALL: [Self; 8] = [
        Self::Enforced,
        Self::Inherited,
        Self::Partial,
        Self::Unavailable,
        Self::NotPermitted,
        Self::Violated,
        Self::NotApplicable,
        Self::Unknown,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Inherited => "inherited",
            Self::Partial => "partial",
            Self::Unavailable => "unavailable",
            Self::NotPermitted => "not_permitted",
            Self::Violated => "violated",
            Self::NotApplicable => "not_applicable",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the control holds: the only outcomes a required one passes on.
    #[must_use]
    pub const fn holds(self) -> bool {
        matches!(self, Self::Enforced | Self::Inherited)
    }
}

/// An error number of the kernel and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errno {
    pub number: i32,
    pub text: String,
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self { number: errno as i32, text: errno.to_string() }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One control's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlReport {
    #[serde(with = "names::control")]
    pub control: Control,
    #[serde(with = "names::level")]
    pub level: Level,
    pub result: Outcome,
    /// Where it was read and what was seen.
    pub evidence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<Errno>,
    /// How to mend it, one line per runtime; empty when there is nothing to mend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<Fix>,
}

impl ControlReport {
    /// A result without errno; the mending lines are added where it doesn't hold.
    #[must_use]
    pub fn new(control: Control, level: Level, result: Outcome, evidence: impl Into<String>) -> Self {
        let mends = !result.holds() && result != Outcome::NotApplicable;
        let fix = if mends { fix::lines(control) } else { Vec::new() };
        Self { control, level, result, evidence: evidence.into(), errno: None, fix }
    }

    /// The same with an errno.
    #[must_use]
    pub fn with_errno(self, errno: Option<Errno>) -> Self {
        Self { errno, ..self }
    }

    /// The same with another way to mend it.
    #[must_use]
    pub(crate) fn with_fix(self, fix: Vec<Fix>) -> Self {
        Self { fix, ..self }
    }

    /// Whether this alone refuses the start.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.level == Level::Required && !self.result.holds()
    }
}

/// Whether secrets can reach a swap device: `no_swap` or `memory_lock` answers for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwapOutcome {
    /// Whether the start is refused when it doesn't hold.
    pub required: bool,
    pub result: Outcome,
    pub evidence: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<Fix>,
}

impl SwapOutcome {
    /// A result; the two ways out are added where it is required and doesn't hold.
    #[must_use]
    pub fn new(required: bool, result: Outcome, evidence: impl Into<String>) -> Self {
        let fix = if required && !result.holds() { fix::swap_lines() } else { Vec::new() };
        Self { required, result, evidence: evidence.into(), fix }
    }

    /// Whether this refuses the start.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.required && !self.result.holds()
    }
}

/// Whom the proxy runs as, read from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub profile: Profile,
    /// In the order of [`Control::ALL`].
    pub controls: Vec<ControlReport>,
    pub secrets_off_swap: SwapOutcome,
    /// `None` when it can't be read.
    pub identity: Option<Identity>,
    /// The kernel's release, `None` when it can't be read.
    pub kernel: Option<String>,
}

impl Report {
    /// The required controls that neither we enforced nor the environment gave.
    #[must_use]
    pub fn refused(&self) -> Vec<&ControlReport> {
        self.controls.iter().filter(|control| control.refuses()).collect()
    }

    /// Whether the proxy may open secrets.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.refused().is_empty() && !self.secrets_off_swap.refuses()
    }

    /// The names of what refuses the start, in report order.
    #[must_use]
    pub fn refusals(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.refused().iter().map(|report| report.control.name()).collect();
        if self.secrets_off_swap.refuses() {
            names.push("secrets_off_swap");
        }
        names
    }

    /// How many controls have that result.
    #[must_use]
    pub fn count(&self, result: Outcome) -> usize {
        self.controls.iter().filter(|control| control.result == result).count()
    }

    /// The JSON form, as docs/posture.schema.json describes it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let summary = Outcome::ALL.map(|result| (result.name().to_owned(), self.count(result).into()));
        serde_json::json!({
            "schema": SCHEMA,
            "version": VERSION,
            "kernel": self.kernel,
            "profile": self.profile.name(),
            "verdict": if self.is_ok() { "ok" } else { "refused" },
            "refused": self.refusals(),
            "summary": serde_json::Map::from_iter(summary),
            "controls": self.controls,
            "outcomes": { "secrets_off_swap": self.secrets_off_swap },
            "identity": self.identity,
        })
    }
}

#[cfg(test)]
mod tests;
