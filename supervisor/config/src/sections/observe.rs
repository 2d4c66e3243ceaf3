//! `[logging]` and `[metrics]`.
//!
//! Owns the names of log levels; writes nothing.

use super::server::{self, Wanted};
use crate::section::Section;
use crate::{LogLevel, Logging, Metrics, value};

/// Levels by name, quietest first.
pub(crate) const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// `[logging]`
pub(crate) fn logging(section: &Section<'_>) -> Logging {
    let level = section.read("level", "a log level", |text| value::word(text, &LEVELS));
    Logging { level: level.or(LogLevel::Info), access: section.boolean("access").or(true) }
}

/// `[metrics]`; its listeners are added to `listeners`.
pub(crate) fn metrics(section: &Section<'_>, listeners: &mut Vec<Wanted>) -> Metrics {
    Metrics { listen: server::addresses(section, "listen", "listen in [metrics]", listeners) }
}
