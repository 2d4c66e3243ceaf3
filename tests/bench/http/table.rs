//! The tables: medians with their spread, and what Fluxheim's is to each peer's.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use crate::contestant::Contestant;

/// One line: what each contestant came to, a value a round.
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) samples: Vec<(Contestant, Vec<f64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerCpuSecond,
    KibEach,
    Mib,
    Millis,
}

impl Unit {
    const fn suffix(self) -> &'static str {
        match self {
            Self::PerCpuSecond => "",
            Self::KibEach => " KiB",
            Self::Mib => " MiB",
            Self::Millis => " ms",
        }
    }

    /// How much better `ours` is: above 1, Fluxheim does more, or takes less.
    fn ratio(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::PerCpuSecond => ours / theirs,
            Self::KibEach | Self::Mib | Self::Millis => theirs / ours,
        }
    }
}

#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    fn part(&self, f: &mut Formatter<'_>, title: &str, belongs: impl Fn(Unit) -> bool) -> fmt::Result {
        let rows: Vec<_> = self.0.iter().filter(|row| belongs(row.unit)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let (ours, peers) = Contestant::ALL.split_first().unwrap();
        write!(f, "| {title} | {}", ours.name())?;
        peers.iter().try_for_each(|peer| write!(f, " | {} | ratio", peer.name()))?;
        writeln!(f, " |\n|---|{}", "---|".repeat(1 + 2 * peers.len()))?;
        rows.iter().try_for_each(|row| write!(f, "{row}"))?;
        writeln!(f)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.part(f, "requests per CPU-second", |unit| unit == Unit::PerCpuSecond)?;
        self.part(f, "memory and time", |unit| unit != Unit::PerCpuSecond)
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let of = |one: Contestant| self.samples.iter().find(|(who, _)| *who == one).map(|(_, values)| values);
        let (ours, peers) = Contestant::ALL.split_first().unwrap();
        let ours = of(*ours).unwrap();
        write!(f, "| {} | {}", self.title, self.cell(ours))?;
        for peer in peers {
            match of(*peer) {
                Some(theirs) => write!(f, " | {} | {}", self.cell(theirs), self.compare(ours, theirs))?,
                None => write!(f, " | - | -")?,
            }
        }
        writeln!(f, " |")
    }
}

impl Row {
    /// The median, and how far the rounds are apart around it.
    fn cell(&self, values: &[f64]) -> String {
        let (least, middle, most) = spread(values);
        let suffix = self.unit.suffix();
        let number =
            if self.unit == Unit::PerCpuSecond { format!("{middle:.0}") } else { format!("{middle:.1}") };
        let apart = if values.len() > 1 {
            format!(" ±{:.0} %", (most - least) / 2.0 / middle * 100.0)
        } else {
            String::new()
        };
        format!("{number}{suffix}{apart}")
    }

    /// The ratio of the medians, and its range over the rounds: in each, both had the same machine.
    fn compare(&self, ours: &[f64], theirs: &[f64]) -> String {
        let rounds: Vec<_> =
            ours.iter().zip(theirs).map(|(ours, theirs)| self.unit.ratio(*ours, *theirs)).collect();
        let (least, _, most) = spread(&rounds);
        let ratio = self.unit.ratio(spread(ours).1, spread(theirs).1);
        if rounds.len() > 1 {
            format!("**{ratio:.2}** ({least:.2} to {most:.2})")
        } else {
            format!("**{ratio:.2}**")
        }
    }
}

/// Least, middle and greatest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

/// Puts `text` where the document has its marks.
pub(crate) fn replace(document: &Path, text: &str) {
    let old = std::fs::read_to_string(document).unwrap();
    let ends = |mark: &str| old.find(mark).unwrap_or_else(|| panic!("{}: no {mark}", document.display()));
    let (begin, end) = (ends(BEGIN) + BEGIN.len(), ends(END));
    let new = format!("{}\n{}\n\n{}", &old[..begin], text.trim(), &old[end..]);
    std::fs::write(document, new).unwrap();
    eprintln!("bench http: wrote {}", document.display());
}

const BEGIN: &str = "<!-- scripts/bench http --write: from here -->\n";
const END: &str = "<!-- to here -->";
