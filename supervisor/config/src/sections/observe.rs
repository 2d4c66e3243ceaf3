//! `[logging]` and `[metrics]`.
//!
//! Owns the words of both; writes nothing.

use super::server::{self, Wanted};
use crate::flaw::{Flaw, show};
use crate::observing::{LogField, LogFields, LogFormat, LogQuery, Logging};
use crate::section::Section;
use crate::{LogLevel, Metrics, value};

/// Levels by name, quietest first.
pub(crate) const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Formats by name.
pub(crate) const FORMATS: [(&str, LogFormat); 2] = [("json", LogFormat::Json), ("text", LogFormat::Text)];

/// What is left of queries, by name.
pub(crate) const QUERIES: [(&str, LogQuery); 3] =
    [("masked", LogQuery::Masked), ("full", LogQuery::Full), ("off", LogQuery::Off)];

const FIELDS: &str = "a list such as [\"ts\", \"status\"]";
const PATHS: &str = "a list such as [\"/healthz\"]";

/// `[logging]`
pub(crate) fn logging(section: &Section<'_>) -> Logging {
    let defaults = Logging::default();
    let level = section.read("level", "a log level", |text| value::word(text, &LEVELS));
    let format = section.read("format", "a word", |text| value::word(text, &FORMATS));
    let query = section.read("query", "a word", |text| value::word(text, &QUERIES));
    let skip_paths = section.list("skip_paths", PATHS, path).or(Vec::new());
    let excluded = fields(section, "exclude_fields").unwrap_or_else(|| LogFields::from_iter([]));
    Logging {
        level: level.or(defaults.level),
        access: section.boolean("access").or(defaults.access),
        format: format.or(defaults.format),
        fields: fields(section, "fields").unwrap_or(LogFields::ALL).without(excluded),
        query: query.or(defaults.query),
        skip_paths: skip_paths.into_iter().map(|at| at.value).collect(),
    }
}

fn fields(section: &Section<'_>, key: &'static str) -> Option<LogFields> {
    let words = LogField::ALL.map(|field| (field.name(), field));
    let listed = section.list(key, FIELDS, |text| value::word(text, &words)).good()?;
    Some(listed.value.into_iter().map(|at| at.value).collect())
}

fn path(text: &str) -> Result<String, Flaw> {
    if text.starts_with('/') && !text.contains(['?', '#']) {
        return Ok(text.to_owned());
    }
    Err(Flaw::new(format!("{} is not a path", show(text))).help("begin with / and leave out the query"))
}

/// `[metrics]`; its listeners are added to `listeners`.
pub(crate) fn metrics(section: &Section<'_>, listeners: &mut Vec<Wanted>) -> Metrics {
    Metrics { listen: server::addresses(section, "listen", "listen in [metrics]", listeners) }
}
