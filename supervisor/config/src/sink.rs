//! Where checks put the mistakes they find, and which of them are worth a person's time.
//!
//! Owns positions (byte offset to line and column) and the suppression of follow-up mistakes;
//! never turns a run with mistakes into one without.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::Source;
use crate::flaw::Flaw;
use crate::mistake::{Mistake, Mistakes};

/// A place in one of the sources: its index and a byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) offset: usize,
}

/// What a mistake rests on, which decides whether another mistake can have caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The text is no TOML.
    Syntax,
    /// Something that stands in the file is wrong.
    Here,
    /// Something is missing: not said while anything could not be read.
    Absence,
    /// Nothing listens where something should: not said while a listener could not be read either.
    Silence,
}

#[derive(Debug)]
struct Found {
    place: Place,
    kind: Kind,
    flaw: Flaw,
}

/// Collects mistakes. Shared by all checks of one run.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    found: RefCell<Vec<Found>>,
    omitted: Cell<usize>,
    shadows: RefCell<Vec<(usize, Range<usize>)>>,
    incomplete: Cell<bool>,
    unheard: Cell<bool>,
}

impl Sink {
    /// The text at `place` cannot be read.
    pub(crate) fn syntax(&self, place: Place, flaw: Flaw) {
        self.incomplete.set(true);
        self.add(place, Kind::Syntax, flaw);
    }

    /// What stands at `place` is wrong.
    pub(crate) fn here(&self, place: Place, flaw: Flaw) {
        self.add(place, Kind::Here, flaw);
    }

    /// Something is missing; `place` is where one would look for it.
    pub(crate) fn absence(&self, place: Place, flaw: Flaw) {
        self.add(place, Kind::Absence, flaw);
    }

    /// Nothing listens where something should; `place` is where one would look for it.
    pub(crate) fn silence(&self, place: Place, flaw: Flaw) {
        self.add(place, Kind::Silence, flaw);
    }

    /// Whether further mistakes are only counted, so that nothing need be computed for their text.
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().len() >= KEPT
    }

    /// What was read is not all there is, so nothing can be called missing.
    pub(crate) fn mark_incomplete(&self) {
        self.incomplete.set(true);
    }

    /// There are more listeners than could be read.
    pub(crate) fn mark_unheard(&self) {
        self.unheard.set(true);
    }

    /// What was read within `range` of `file` is not what was meant.
    pub(crate) fn shadow(&self, file: usize, range: Range<usize>) {
        self.shadows.borrow_mut().push((file, range));
    }

    /// The mistakes worth saying, or `None` when there was none.
    pub(crate) fn into_mistakes(self, sources: &[Source]) -> Option<Mistakes> {
        let shadows = Shadows::new(self.shadows.into_inner(), sources.len());
        let (incomplete, unheard) = (self.incomplete.get(), self.unheard.get());
        let hidden = |found: &Found| match found.kind {
            Kind::Syntax => false,
            Kind::Here => shadows.hold(found.place),
            Kind::Absence => incomplete || shadows.hold(found.place),
            Kind::Silence => incomplete || unheard || shadows.hold(found.place),
        };
        let mut found = self.found.into_inner();
        if !found.iter().all(hidden) {
            found.retain(|found| !hidden(found));
        }
        found.sort_by_key(|found| found.place);
        let omitted = self.omitted.get() + found.len().saturating_sub(SAID);
        found.truncate(SAID);
        let lines: Vec<Lines<'_>> = sources.iter().map(|source| Lines::new(&source.text)).collect();
        let list = found.into_iter().map(|found| said(found, sources, &lines)).collect();
        Mistakes::new(list, omitted)
    }

    fn add(&self, place: Place, kind: Kind, flaw: Flaw) {
        let mut found = self.found.borrow_mut();
        if found.len() < KEPT {
            found.push(Found { place, kind, flaw });
        } else {
            self.omitted.set(self.omitted.get() + 1);
        }
    }
}

fn said(found: Found, sources: &[Source], lines: &[Lines<'_>]) -> Mistake {
    let Found { place, flaw: Flaw { message, help }, .. } = found;
    let path = sources.get(place.file).map(|source| source.path.clone()).unwrap_or_default();
    let (line, column) = lines.get(place.file).map_or((1, 1), |lines| lines.position(place.offset));
    Mistake { path, line, column, message, help }
}

/// Ranges per file, sorted and merged, so a look-up stays logarithmic on hostile input.
struct Shadows(Vec<Vec<Range<usize>>>);

impl Shadows {
    fn new(mut ranges: Vec<(usize, Range<usize>)>, files: usize) -> Self {
        ranges.sort_by_key(|(file, range)| (*file, range.start));
        let mut merged: Vec<Vec<Range<usize>>> = vec![Vec::new(); files];
        for (file, range) in ranges {
            let Some(list) = merged.get_mut(file) else { continue };
            match list.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => list.push(range),
            }
        }
        Self(merged)
    }

    fn hold(&self, place: Place) -> bool {
        let Some(list) = self.0.get(place.file) else { return false };
        let after = list.partition_point(|range| range.start <= place.offset);
        after.checked_sub(1).and_then(|i| list.get(i)).is_some_and(|range| range.contains(&place.offset))
    }
}

/// Where each line of a text starts.
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { text, starts: std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect() }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Byte range of the line that holds `offset`, its newline included.
    pub(crate) fn range(&self, offset: usize) -> Range<usize> {
        let next = self.starts.partition_point(|start| *start <= offset);
        let start = next.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or(0);
        start..self.starts.get(next).copied().unwrap_or(self.text.len() + 1)
    }

    /// Line and column (in characters) of a byte offset, both from 1. A byte order mark is no column.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let start = self.range(offset).start;
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        (self.number(offset), before.trim_start_matches('\u{feff}').chars().count() + 1)
    }
}

/// Mistakes said in one run.
const SAID: usize = 100;
/// Mistakes kept before the choice of those to say.
const KEPT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_columns_in_characters_and_lines_over_crlf() {
        let lines = Lines::new("\u{feff}a = 1\r\né = \"ü\" x\n");
        assert_eq!(lines.position(3), (1, 1));
        assert_eq!(lines.position(10), (2, 1));
        assert_eq!(lines.position(12), (2, 2));
        assert_eq!(lines.position(20), (2, 9));
        assert_eq!(lines.position(9999), (3, 1));
    }

    #[test]
    fn never_hides_the_last_mistake() {
        let sink = Sink::default();
        sink.mark_incomplete();
        sink.absence(Place { file: 0, offset: 0 }, Flaw::new("x is missing"));
        let sources = [Source { path: "a.toml".into(), text: String::new() }];
        assert_eq!(sink.into_mistakes(&sources).unwrap().to_string(), "a.toml:1:1: x is missing");
    }
}
