//! What was asked and what came of it.

use std::fmt::{self, Display, Formatter};
use std::sync::Mutex;

/// One time of a load: how many requests, or why it failed.
pub(crate) type Outcome = Result<Done, String>;

/// What went well.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Done {
    /// Answered in full.
    pub(crate) answered: usize,
    /// Not answered in full, for a reason that the load itself gave.
    pub(crate) explained: usize,
}

impl Done {
    pub(crate) const fn answered(answered: usize) -> Self {
        Self { answered, explained: 0 }
    }

    pub(crate) const fn explained() -> Self {
        Self { answered: 0, explained: 1 }
    }
}

/// A line for each load.
#[derive(Debug)]
pub(crate) struct Tally(Vec<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    name: &'static str,
    done: Done,
    failures: usize,
    /// The first of them.
    told: Vec<String>,
}

impl Tally {
    pub(crate) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let line = |name| Mutex::new(Line { name, done: Done::default(), failures: 0, told: Vec::new() });
        Self(names.map(line).collect())
    }

    /// What came of one time of the load at that place.
    pub(crate) fn add(&self, at: usize, outcome: Outcome) {
        let mut line = self.0[at].lock().unwrap();
        match outcome {
            Ok(done) => {
                line.done.answered += done.answered;
                line.done.explained += done.explained;
            }
            Err(reason) => {
                line.failures += 1;
                if line.told.len() < TOLD {
                    line.told.push(reason);
                }
            }
        }
    }

    /// Nothing failed, and every load did something.
    pub(crate) fn judge(&self) {
        let lines: Vec<_> = self.0.iter().map(|line| line.lock().unwrap()).collect();
        let failed: Vec<_> = lines.iter().filter(|line| line.failures > 0).collect();
        assert!(failed.is_empty(), "requests were lost: {failed:#?}");
        for line in &lines {
            assert!(line.done.answered > 0, "{}: nothing was answered", line.name);
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "| load | answered | explained | failed |\n|---|---|---|---|")?;
        self.0.iter().try_for_each(|line| {
            let line = line.lock().unwrap();
            writeln!(
                f,
                "| {} | {} | {} | {} |",
                line.name, line.done.answered, line.done.explained, line.failures
            )
        })
    }
}

const TOLD: usize = 5;
