//! An access line in the combined log format of nginx and Apache, and `name=value` behind it for what
//! that has no place for.
//!
//! Owns its escaping, which is nginx's: what could end a line or a quoted part is `\xHH`.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use fluxheim_config::{LogField, LogFields, LogQuery};

use super::{AccessLine, Value};

pub(super) fn write(line: &AccessLine<'_>, fields: LogFields, query: LogQuery) -> String {
    let mut out = combined(line, fields, query);
    for field in fields.iter().filter(|field| !COMBINED.contains(field)) {
        let Some(value) = line.value(field, query) else { continue };
        // Writing into a String can't fail.
        let _ = match value {
            Value::Text(text) => write!(out, " {}={}", field.name(), Escaped(&text, true)),
            Value::Count(count) => write!(out, " {}={count}", field.name()),
            Value::Seconds(seconds) => write!(out, " {}={seconds:.6}", field.name()),
        };
    }
    out
}

/// What is left out or does not apply is `-`.
fn combined(line: &AccessLine<'_>, fields: LogFields, query: LogQuery) -> String {
    let value = |field| fields.has(field).then(|| line.value(field, query)).flatten();
    let text = |field| match value(field) {
        Some(Value::Text(text)) if !text.is_empty() => Escaped(&text, false).to_string(),
        Some(Value::Count(count)) => count.to_string(),
        Some(Value::Text(_) | Value::Seconds(_)) | None => "-".to_owned(),
    };
    let time = if fields.has(LogField::Ts) { clf_time(line.ts) } else { "-".to_owned() };
    format!(
        "{} - - [{time}] \"{} {} {}\" {} {} \"{}\" \"{}\"",
        text(LogField::ClientIp),
        text(LogField::Method),
        text(LogField::Target),
        text(LogField::Protocol),
        text(LogField::Status),
        text(LogField::Bytes),
        text(LogField::Referer),
        text(LogField::UserAgent),
    )
}

/// What the combined format has.
const COMBINED: [LogField; 9] = [
    LogField::Ts,
    LogField::ClientIp,
    LogField::Method,
    LogField::Target,
    LogField::Protocol,
    LogField::Status,
    LogField::Bytes,
    LogField::Referer,
    LogField::UserAgent,
];

/// `25/Nov/2026:22:47:11 +0000`, from HTTP's `Wed, 25 Nov 2026 22:47:11 GMT`.
fn clf_time(ts: f64) -> String {
    let at = UNIX_EPOCH + Duration::try_from_secs_f64(ts).unwrap_or_default();
    let date = httpdate::fmt_http_date(at);
    let mut parts = date.split(' ').skip(1);
    let mut next = || parts.next().unwrap_or("-");
    format!("{}/{}/{}:{} +0000", next(), next(), next(), next())
}

/// Text that can't leave its place; in quotes where `quoted` and a space, `=` or nothing is in it.
struct Escaped<'a>(&'a str, bool);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(text, quoted) = *self;
        let quotes = if quoted && (text.is_empty() || text.contains([' ', '='])) { "\"" } else { "" };
        out.write_str(quotes)?;
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' | 0..=0x1f | 0x7f.. => write!(out, "\\x{byte:02X}")?,
                plain => out.write_char(char::from(plain))?,
            }
        }
        out.write_str(quotes)
    }
}
