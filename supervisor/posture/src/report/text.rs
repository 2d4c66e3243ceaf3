//! The report as people read it: a table of the controls, how to mend those that don't hold, a verdict.
//!
//! Owns the words, columns and colours; the last line is always the verdict. Whether there is colour
//! is for the caller, who knows the stream. Evidence may quote what others wrote, so control
//! characters in it are shown, not sent; colours are those of ECMA-48.

use std::fmt;

use fluxheim_config::{Control, Level};

use super::{ControlReport, Fix, Outcome, Report, SwapOutcome, VERSION};

/// Whether marks and results are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Off,
    On,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(Colour::Off))
    }
}

impl Report {
    /// The text form; without a newline at its end.
    #[must_use]
    pub fn to_text(&self, colour: Colour) -> String {
        let mut lines = vec![self.head()];
        lines.extend(self.table(colour));
        lines.extend(self.identity_lines(colour));
        lines.push(format!("summary: {}", self.summary()));
        lines.push(self.verdict());
        lines.join("\n")
    }

    fn head(&self) -> String {
        let kernel = self.kernel.as_deref().unwrap_or("unknown");
        format!("posture: profile {}, fluxheim {VERSION}, kernel {kernel}", self.profile.name())
    }

    fn table(&self, colour: Colour) -> Vec<String> {
        let controls = self.controls.iter().map(|control| Row::of_control(control, self.covers(control)));
        let rows: Vec<_> = controls.chain([Row::of_swap(&self.secrets_off_swap)]).collect();
        let widths = widths(&rows);
        let lines = rows.iter().flat_map(|row| row.lines(widths, colour));
        [line(HEADINGS.map(|heading| (heading, "")), widths, "evidence")].into_iter().chain(lines).collect()
    }

    fn identity_lines(&self, colour: Colour) -> Vec<String> {
        let Some(identity) = &self.identity else { return vec!["identity: unknown".to_owned()] };
        let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
        let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(" ") };
        let mut lines =
            vec![format!("identity: uid {}, gid {}, groups {groups}", identity.uid, identity.gid)];
        if identity.uid == 0 {
            let mark = painted(Mark::Warn.text(), Mark::Warn.paint(colour));
            lines.push(format!(
                "{mark}  the proxy runs as uid 0, without capabilities; prefer --user 65532:65532"
            ));
        }
        lines
    }

    /// What holds, what is missing at which level, what isn't asked.
    fn summary(&self) -> String {
        let held = [Outcome::Enforced, Outcome::Inherited]
            .map(|result| (self.count(result), result.name().to_owned()));
        let missing = [Level::Required, Level::BestEffort, Level::Observe].map(|level| {
            let names: Vec<_> = self.missing(level).collect();
            (names.len(), format!("{} missing ({})", words(level), names.join(", ")))
        });
        let off = self.controls.iter().filter(|control| control.level == Level::Off).count();
        let rest = self.count(Outcome::NotApplicable);
        let unneeded: Vec<_> = self.controls.iter().filter(|report| self.is_unneeded(report)).collect();
        let unneeded_names =
            unneeded.iter().map(|report| report.control.name()).collect::<Vec<_>>().join(", ");
        let required = |report: &&ControlReport| report.refuses() && report.result == Outcome::NotApplicable;
        let counted = off + self.controls.iter().filter(required).count();
        let rest = [
            (unneeded.len(), format!("not needed ({unneeded_names})")),
            (off, "off".to_owned()),
            (rest.saturating_sub(counted), "not applicable".to_owned()),
        ];
        let counts = held.into_iter().chain(missing).chain(rest).filter(|(count, _)| *count > 0);
        let parts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        if parts.is_empty() { "no controls".to_owned() } else { parts.join(", ") }
    }

    fn missing(&self, level: Level) -> impl Iterator<Item = &'static str> {
        let lacks = |report: &ControlReport| {
            let moot = report.result == Outcome::NotApplicable || self.is_unneeded(report);
            report.refuses() || !(report.result.holds() || moot)
        };
        let reports = self.controls.iter().filter(move |report| report.level == level && lacks(report));
        reports.map(|report| report.control.name())
    }

    /// Whether a control doesn't hold and needn't, since another one does its work.
    fn is_unneeded(&self, report: &ControlReport) -> bool {
        let lacks = !report.result.holds() && report.result != Outcome::NotApplicable;
        lacks && !report.refuses() && report.level != Level::Off && self.covers(report)
    }

    fn verdict(&self) -> String {
        if self.is_ok() {
            "verdict: ok".to_owned()
        } else {
            format!("verdict: refused: {}", self.refusals().join(", "))
        }
    }

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

/// One row of the table, and the mending lines below it.
struct Row<'a> {
    mark: Mark,
    name: &'static str,
    level: &'static str,
    result: &'static str,
    evidence: String,
    fixes: &'a [Fix],
}

impl<'a> Row<'a> {
    fn of_control(report: &'a ControlReport, covered: bool) -> Self {
        let mark = match Mark::of(report.refuses(), report.level, report.result) {
            Mark::Warn if covered => Mark::Off,
            mark => mark,
        };
        let errno = report.errno.as_ref().map(|errno| format!(" ({errno})")).unwrap_or_default();
        Self {
            mark,
            name: report.control.name(),
            level: report.level.name(),
            result: report.result.name(),
            evidence: shown(&report.evidence) + &shown(&errno),
            fixes: if matches!(mark, Mark::Ok | Mark::Off) { &[] } else { &report.fix },
        }
    }

    fn of_swap(swap: &'a SwapOutcome) -> Self {
        let mark = match (swap.refuses(), swap.result.holds()) {
            (true, _) => Mark::Fail,
            (false, true) => Mark::Ok,
            (false, false) => Mark::Off,
        };
        Self {
            mark,
            name: "off swap",
            level: if swap.required { Level::Required.name() } else { "-" },
            result: swap.result.name(),
            evidence: shown(&swap.evidence),
            fixes: &swap.fix,
        }
    }

    fn cells(&self) -> [&'static str; COLUMNS] {
        [self.mark.text(), self.name, self.level, self.result]
    }

    fn lines(&self, widths: [usize; COLUMNS], colour: Colour) -> Vec<String> {
        let paint = self.mark.paint(colour);
        let [mark, name, level, result] = self.cells();
        let cells = [(mark, paint), (name, ""), (level, ""), (result, paint)];
        let indent = widths[0];
        let mend = |(runtimes, line)| format!("{:indent$}  mend under {runtimes}: {line}", "");
        let mending = merged(self.fixes).into_iter().map(mend);
        [line(cells, widths, &self.evidence)].into_iter().chain(mending).collect()
    }
}

/// The same advice once, for all runtimes it is for.
fn merged(fixes: &[Fix]) -> Vec<(String, &'static str)> {
    let mut merged: Vec<(String, &str)> = Vec::new();
    for fix in fixes {
        match merged.iter_mut().find(|(_, line)| *line == fix.line) {
            Some((runtimes, _)) => *runtimes = format!("{runtimes}, {}", fix.runtime.title()),
            None => merged.push((fix.runtime.title().to_owned(), fix.line)),
        }
    }
    merged
}

/// What the eye looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ok,
    Off,
    Warn,
    Fail,
}

impl Mark {
    const fn of(refuses: bool, level: Level, result: Outcome) -> Self {
        match (refuses, level, result) {
            (true, _, _) => Self::Fail,
            (false, Level::Off, _) | (false, _, Outcome::NotApplicable) => Self::Off,
            (false, _, Outcome::Enforced | Outcome::Inherited) => Self::Ok,
            (false, _, _) => Self::Warn,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Off => "-",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    /// The sequence that starts its colour; empty for none.
    const fn paint(self, colour: Colour) -> &'static str {
        match (colour, self) {
            (Colour::Off, _) | (Colour::On, Self::Off) => "",
            (Colour::On, Self::Ok) => "\x1b[32m",
            (Colour::On, Self::Warn) => "\x1b[33m",
            (Colour::On, Self::Fail) => "\x1b[31m",
        }
    }
}

const fn words(level: Level) -> &'static str {
    match level {
        Level::Off => "off",
        Level::Observe => "observed",
        Level::BestEffort => "best effort",
        Level::Required => "required",
    }
}

/// As wide as the widest cell of each column; names and results are ASCII.
fn widths(rows: &[Row<'_>]) -> [usize; COLUMNS] {
    let wider = |widths: [usize; COLUMNS], cells: [&str; COLUMNS]| {
        std::array::from_fn(|column| widths[column].max(cells[column].len()))
    };
    rows.iter().map(Row::cells).fold(HEADINGS.map(str::len), wider)
}

/// Cells with their paint, then the evidence, which has no width.
fn line(cells: [(&str, &str); COLUMNS], widths: [usize; COLUMNS], evidence: &str) -> String {
    let mut line = String::new();
    for ((text, paint), width) in cells.into_iter().zip(widths) {
        // Padded outside the colour, whose bytes take no room.
        let rest = width - text.len() + GAP;
        line += &format!("{}{:rest$}", painted(text, paint), "");
    }
    line + evidence
}

fn painted(text: &str, paint: &str) -> String {
    if paint.is_empty() { text.to_owned() } else { format!("{paint}{text}\x1b[0m") }
}

/// Control characters in their escaped form: a name in the evidence can't add a line or move a cursor.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

const COLUMNS: usize = 4;
const HEADINGS: [&str; COLUMNS] = ["", "control", "level", "result"];

/// Between two columns.
const GAP: usize = 2;
