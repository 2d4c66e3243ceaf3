//! Reading one table of the configuration, key by key, over all files that have a part of it.
//!
//! Owns type checks, unknown keys and keys set twice; judges no value (that is `value`) and no
//! relation between values (that is `sections`).

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::flaw::{Flaw, show};
use crate::schema::Schema;
use crate::sink::{Lines, Place, Sink};
use crate::{Source, value};

/// What all checks of one run share.
pub(crate) struct Run<'a> {
    pub(crate) sources: &'a [Source],
    /// Of each source, computed once.
    pub(crate) lines: Vec<Lines<'a>>,
    pub(crate) sink: &'a Sink,
}

/// A value of the syntax tree and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) at: Place,
    pub(crate) value: &'a DeValue<'a>,
}

/// A checked value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) at: Place,
    pub(crate) value: T,
}

/// What reading a key gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read<T> {
    Absent,
    /// There, but wrong, and said so.
    Flawed,
    Good(At<T>),
}

impl<T> Read<T> {
    /// The value where it is good.
    pub(crate) fn good(self) -> Option<At<T>> {
        match self {
            Self::Good(at) => Some(at),
            Self::Absent | Self::Flawed => None,
        }
    }

    /// The value for a result that is thrown away if anything was flawed.
    pub(crate) fn or(self, default: T) -> T {
        self.good().map_or(default, |at| at.value)
    }

    /// The value that holds, or `None` where a flaw hides it: what checks over several keys need.
    pub(crate) fn certain(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Flawed => None,
            Self::Good(at) => Some(at.value),
        }
    }
}

struct Entry<'a> {
    key: Place,
    node: Node<'a>,
}

/// One table, merged over the files that have a part of it.
pub(crate) struct Section<'a> {
    run: &'a Run<'a>,
    schema: &'static Schema,
    /// Where the table starts.
    pub(crate) at: Place,
    entries: BTreeMap<&'a str, Vec<Entry<'a>>>,
    meant: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The table made of `parts`; reports every key that `schema` does not have.
    pub(crate) fn new(
        run: &'a Run<'a>,
        schema: &'static Schema,
        at: Place,
        parts: &[(usize, &'a DeTable<'a>)],
    ) -> Self {
        let mut section = Self { run, schema, at, entries: BTreeMap::new(), meant: Vec::new() };
        for (file, table) in parts {
            for (key, value) in *table {
                let place = Place { file: *file, offset: key.span().start };
                let node =
                    Node { at: Place { file: *file, offset: value.span().start }, value: value.get_ref() };
                section.insert(key.get_ref(), Entry { key: place, node });
            }
        }
        section
    }

    /// Whether a mistake may hide `key`, so that it must not be called missing.
    pub(crate) fn may_hide(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// The string at `key`, as `check` reads it. `expected` completes "expected ...".
    pub(crate) fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        check: impl Fn(&str) -> Result<T, Flaw>,
    ) -> Read<T> {
        self.node(key).map_or(Read::Absent, |node| {
            self.text(key, expected, node)
                .and_then(|text| self.judge(key, node.at, check(text)))
                .map_or(Read::Flawed, |value| Read::Good(At { at: node.at, value }))
        })
    }

    /// [`Section::read`] for a key that must be there.
    pub(crate) fn require<T>(
        &self,
        key: &'static str,
        expected: &str,
        check: impl Fn(&str) -> Result<T, Flaw>,
    ) -> Option<At<T>> {
        match self.read(key, expected, check) {
            Read::Absent => {
                self.missing(key, expected);
                None
            }
            read => read.good(),
        }
    }

    /// Says that `key` is missing.
    pub(crate) fn missing(&self, key: &str, expected: &str) {
        if !self.may_hide(key) {
            let flaw = Flaw::new(format!("{} has no {key}", self.schema.title));
            self.run.sink.absence(self.at, flaw.help(format!("add {key}, {expected}")));
        }
    }

    /// The list of strings at `key`, each as `check` reads it; wrong ones are reported and left out.
    pub(crate) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        check: impl Fn(&str) -> Result<T, Flaw>,
    ) -> Read<Vec<At<T>>> {
        self.nodes(key, expected).map_items(|node| {
            let text = self.text(key, "a string", node)?;
            self.judge(key, node.at, check(text)).map(|value| At { at: node.at, value })
        })
    }

    /// The value at `key`, whatever its type: for keys that take several.
    pub(crate) fn any(&self, key: &'static str) -> Option<Node<'a>> {
        self.node(key)
    }

    /// The elements of the array at `key`.
    pub(crate) fn nodes(&self, key: &'static str, expected: &str) -> Read<Vec<Node<'a>>> {
        let Some(node) = self.node(key) else { return Read::Absent };
        let DeValue::Array(array) = node.value else {
            let help = node.value.as_str().map(|text| format!("put it in brackets: [{}]", show(text)));
            self.wrong_type(key, expected, node, help);
            return Read::Flawed;
        };
        let place = |offset| Place { file: node.at.file, offset };
        let items = array.iter().map(|item| Node { at: place(item.span().start), value: item.get_ref() });
        Read::Good(At { at: node.at, value: items.collect() })
    }

    /// The elements of the array at `key`, or what stands there alone.
    pub(crate) fn one_or_more(&self, key: &'static str, expected: &str) -> Read<Vec<Node<'a>>> {
        match self.node(key) {
            Some(node) if !matches!(node.value, DeValue::Array(_)) => {
                Read::Good(At { at: node.at, value: vec![node] })
            }
            _ => self.nodes(key, expected),
        }
    }

    /// The whole number at `key`, which must lie in `range`, or the string `word` for `None`.
    pub(crate) fn number_or(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
        word: &str,
    ) -> Read<Option<u32>> {
        match self.first(key).map(|entry| entry.node) {
            Some(node) if node.value.as_str() == Some(word) => {
                // Asked for once more, so that a second one is told.
                self.node(key);
                Read::Good(At { at: node.at, value: None })
            }
            _ => match self.number(key, range) {
                Read::Absent => Read::Absent,
                Read::Flawed => Read::Flawed,
                Read::Good(At { at, value }) => Read::Good(At { at, value: Some(value) }),
            },
        }
    }

    /// The entries of the table at `key`, whose names are the user's own.
    pub(crate) fn entries(&self, key: &'static str, expected: &str) -> Read<Vec<(At<&'a str>, Node<'a>)>> {
        let Some(node) = self.node(key) else { return Read::Absent };
        let DeValue::Table(table) = node.value else {
            self.wrong_type(key, expected, node, None);
            return Read::Flawed;
        };
        let place = |offset| Place { file: node.at.file, offset };
        let entries = table.iter().map(|(name, value)| {
            let node = Node { at: place(value.span().start), value: value.get_ref() };
            let name = At { at: place(name.span().start), value: &**name.get_ref() };
            (name, node)
        });
        Read::Good(At { at: node.at, value: entries.collect() })
    }

    /// The boolean at `key`.
    pub(crate) fn boolean(&self, key: &'static str) -> Read<bool> {
        let Some(node) = self.node(key) else { return Read::Absent };
        node.value.as_bool().map_or_else(
            || {
                self.wrong_type(key, "true or false", node, None);
                Read::Flawed
            },
            |value| Read::Good(At { at: node.at, value }),
        )
    }

    /// The whole number at `key`, which must lie in `range`.
    pub(crate) fn number(&self, key: &'static str, range: std::ops::RangeInclusive<u32>) -> Read<u32> {
        let Some(node) = self.node(key) else { return Read::Absent };
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = node.value.as_integer() else {
            self.wrong_type(key, &expected, node, None);
            return Read::Flawed;
        };
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if range.contains(&value) => Read::Good(At { at: node.at, value }),
            _ => {
                let found = value::shown(node.value);
                self.here(key, node.at, Flaw::new(format!("expected {expected}, found {found}")));
                Read::Flawed
            }
        }
    }

    /// The table `[key]`, merged over all files; empty where no file has it.
    pub(crate) fn table(&self, key: &'static str, schema: &'static Schema) -> Self {
        let mut parts = Vec::new();
        for entry in self.entries.get(key).into_iter().flatten() {
            match entry.node.value {
                DeValue::Table(table) => parts.push((entry.node.at.file, table)),
                _ => self.not_table(key, schema, entry.node),
            }
        }
        let at = self.place(key);
        Self::new(self.run, schema, at, &parts)
    }

    /// The table `[key]` where a file has it.
    pub(crate) fn optional(&self, key: &'static str, schema: &'static Schema) -> Option<Self> {
        let entries = self.entries.get(key)?;
        let table = self.table(key, schema);
        entries.iter().all(|entry| matches!(entry.node.value, DeValue::Table(_))).then_some(table)
    }

    /// The tables `[[key]]` of all files, in order.
    pub(crate) fn tables(&self, key: &'static str, schema: &'static Schema) -> Vec<Self> {
        let mut tables = Vec::new();
        for entry in self.entries.get(key).into_iter().flatten() {
            let DeValue::Array(array) = entry.node.value else {
                self.not_tables(key, schema, entry.node);
                continue;
            };
            for item in array {
                let at = Place { file: entry.node.at.file, offset: item.span().start };
                match item.get_ref() {
                    DeValue::Table(table) => {
                        tables.push(Self::new(self.run, schema, at, &[(at.file, table)]))
                    }
                    value => self.not_tables(key, schema, Node { at, value }),
                }
            }
        }
        tables
    }

    /// `result` where it is good; else its flaw is reported at `at` under the name of `key`.
    pub(crate) fn judge<T>(&self, key: &str, at: Place, result: Result<T, Flaw>) -> Option<T> {
        result.map_err(|flaw| self.here(key, at, flaw)).ok()
    }

    /// Reports what is wrong with the value of `key` at `at`.
    pub(crate) fn here(&self, key: &str, at: Place, flaw: Flaw) {
        let Flaw { message, help } = flaw;
        self.run.sink.here(at, Flaw { message: format!("{key}: {message}"), help });
    }

    /// A sub-table that stands as an inline table within a list.
    pub(crate) fn inline(&self, node: Node<'a>, table: &'a DeTable<'a>, schema: &'static Schema) -> Self {
        Self::new(self.run, schema, node.at, &[(node.at.file, table)])
    }

    /// Reports that the value of `key` has the wrong type.
    pub(crate) fn wrong_type(&self, key: &str, expected: &str, node: Node<'a>, help: Option<String>) {
        let message = format!("expected {expected}, found {}", value::shown(node.value));
        self.here(key, node.at, Flaw { message, help });
    }

    /// Another place in words, for a message about two places.
    pub(crate) fn describe(&self, place: Place) -> String {
        let (Some(source), Some(lines)) = (self.run.sources.get(place.file), self.run.lines.get(place.file))
        else {
            return String::new();
        };
        let path = source.path.to_string_lossy().replace(char::is_control, "?");
        format!("{path}:{}", lines.number(place.offset))
    }

    /// Whether any file has `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.first(key).is_some()
    }

    /// Whether no file has any known key of this table.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where `key` is set, else where the table starts.
    pub(crate) fn place(&self, key: &str) -> Place {
        self.first(key).map_or(self.at, |entry| entry.node.at)
    }

    /// The run this table is read in.
    pub(crate) fn run(&self) -> &'a Run<'a> {
        self.run
    }

    fn first(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.get(key).and_then(|entries| entries.first())
    }

    fn insert(&mut self, key: &'a str, entry: Entry<'a>) {
        if self.schema.has(key) {
            self.entries.entry(key).or_default().push(entry);
            return;
        }
        let unknown = self.schema.unknown(key);
        self.meant.extend(unknown.meant);
        self.run.sink.here(entry.key, unknown.flaw);
    }

    /// The string that `node`, a part of the value of `key`, is.
    pub(crate) fn text(&self, key: &str, expected: &str, node: Node<'a>) -> Option<&'a str> {
        let text = node.value.as_str();
        if text.is_none() {
            self.wrong_type(key, expected, node, value::as_string(node.value, expected));
        }
        text
    }

    /// The value at `key`, of whatever type; says so where it is set twice.
    pub(crate) fn node(&self, key: &'static str) -> Option<Node<'a>> {
        let entries = self.entries.get(key)?;
        let first = entries.first()?;
        for again in entries.iter().skip(1) {
            let flaw = Flaw::new(format!(
                "{key} in {} is set twice: already in {}",
                self.schema.title,
                self.describe(first.key)
            ));
            self.run.sink.here(again.key, flaw.help("keep one of them"));
        }
        Some(first.node)
    }

    fn not_table(&self, key: &str, schema: &Schema, node: Node<'a>) {
        self.run.sink.mark_incomplete();
        self.wrong_type(key, "a table", node, Some(format!("write {}, with one bracket", schema.title)));
    }

    fn not_tables(&self, key: &str, schema: &Schema, node: Node<'a>) {
        self.run.sink.mark_incomplete();
        let help = format!("write {}, with two brackets", schema.title);
        self.wrong_type(key, "a list of tables", node, Some(help));
    }
}

impl<'a> Read<Vec<Node<'a>>> {
    /// Each node through `check`; flawed as a whole if one of them is.
    pub(crate) fn map_items<T>(self, check: impl FnMut(Node<'a>) -> Option<At<T>>) -> Read<Vec<At<T>>> {
        match self {
            Self::Absent => Read::Absent,
            Self::Flawed => Read::Flawed,
            Self::Good(At { at, value }) => {
                let all = value.len();
                let good: Vec<_> = value.into_iter().filter_map(check).collect();
                if good.len() < all { Read::Flawed } else { Read::Good(At { at, value: good }) }
            }
        }
    }
}
