//! What init found, as it tells the proxy with its go: names and results without evidence.
//!
//! Owns that message; the proxy shows it to whoever watches it and decides nothing by it.

use fluxheim_config::{Control, Level};
use serde::{Deserialize, Serialize};

use crate::report::{Outcome, Report, names};

/// What a go rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posture {
    /// In the order of [`Control::ALL`].
    pub controls: Vec<ControlOutcome>,
    pub secrets_off_swap: Outcome,
}

/// One control's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlOutcome {
    #[serde(with = "names::control")]
    pub control: Control,
    #[serde(with = "names::level")]
    pub level: Level,
    pub result: Outcome,
}

impl From<&Report> for Posture {
    fn from(report: &Report) -> Self {
        let controls = report.controls.iter().map(|seen| ControlOutcome {
            control: seen.control,
            level: seen.level,
            result: seen.result,
        });
        Self { controls: controls.collect(), secrets_off_swap: report.secrets_off_swap.result }
    }
}
