//! The report as people read it: one line per control, more for those that don't hold.
//!
//! Owns the words and columns; the last line is always the verdict.

use std::fmt;

use fluxheim_config::{Control, Level};

use super::{ControlReport, Fix, Outcome, Report, SwapOutcome};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "posture: profile {}", self.profile.name())?;
        for control in &self.controls {
            control_lines(f, control, self.covers(control))?;
        }
        swap_lines(f, &self.secrets_off_swap)?;
        identity_line(f, self)?;
        if self.is_ok() {
            f.write_str("verdict: ok")
        } else {
            write!(f, "verdict: refused: {}", self.refusals().join(", "))
        }
    }
}

impl Report {
    /// Whether `control` is one of the two that keep secrets from swap, doesn't hold, and needn't,
    /// because the other one does.
    fn covers(&self, control: &ControlReport) -> bool {
        let other = match control.control {
            Control::NoSwap => Control::MemoryLock,
            Control::MemoryLock => Control::NoSwap,
            _ => return false,
        };
        self.controls.iter().any(|report| report.control == other && report.result.holds())
    }
}

fn control_lines(f: &mut fmt::Formatter<'_>, report: &ControlReport, covered: bool) -> fmt::Result {
    let ControlReport { control, level, result, evidence, errno, fix } = report;
    let mark = match mark(report.refuses(), *level, *result) {
        WARN if covered => OFF,
        mark => mark,
    };
    let (name, level, result) = (control.name(), level.name(), result.name());
    write!(f, "{mark:<4}  {name:<15}  {level:<11}  {result:<14}  {evidence}")?;
    if let Some(errno) = errno {
        write!(f, " ({errno})")?;
    }
    writeln!(f)?;
    if mark == OK || mark == OFF { Ok(()) } else { fixes(f, fix) }
}

fn swap_lines(f: &mut fmt::Formatter<'_>, swap: &SwapOutcome) -> fmt::Result {
    let level = if swap.required { "required" } else { "-" };
    let mark = if swap.refuses() {
        FAIL
    } else if swap.result.holds() {
        OK
    } else {
        OFF
    };
    let result = swap.result.name();
    writeln!(f, "{mark:<4}  {:<15}  {level:<11}  {result:<14}  {}", "off swap", swap.evidence)?;
    fixes(f, &swap.fix)
}

fn identity_line(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let Some(identity) = &report.identity else { return writeln!(f, "identity: unknown") };
    let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(" ") };
    writeln!(f, "identity: uid {}, gid {}, groups {groups}", identity.uid, identity.gid)?;
    if identity.uid == 0 {
        writeln!(f, "{WARN}  the proxy runs as uid 0, without capabilities; prefer --user 65532:65532")?;
    }
    Ok(())
}

fn mark(refuses: bool, level: Level, result: Outcome) -> &'static str {
    match (refuses, level, result) {
        (true, _, _) => FAIL,
        (false, Level::Off, _) | (false, _, Outcome::NotApplicable) => OFF,
        (false, _, Outcome::Enforced | Outcome::Inherited) => OK,
        (false, _, _) => WARN,
    }
}

fn fixes(f: &mut fmt::Formatter<'_>, fixes: &[Fix]) -> fmt::Result {
    for fix in fixes {
        writeln!(f, "        mend under {}: {}", fix.runtime.title(), fix.line)?;
    }
    Ok(())
}

const OK: &str = "ok";
const OFF: &str = "-";
const WARN: &str = "warn";
const FAIL: &str = "FAIL";

/// The longest control name decides the column.
const _: () = {
    let mut index = 0;
    while index < Control::ALL.len() {
        assert!(Control::ALL[index].name().len() <= 15, "widen the name column");
        index += 1;
    }
};
