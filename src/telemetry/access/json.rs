//! An access line as one JSON object.
//!
//! Owns its form: field names as in the configuration, text as strings, the rest as numbers.

use fluxheim_config::{LogFields, LogQuery};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{AccessLine, Value};

struct Object<'a>(&'a AccessLine<'a>, LogFields, LogQuery);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(line, fields, query) = self;
        let mut object = serializer.serialize_map(None)?;
        for field in fields.iter() {
            match line.value(field, *query) {
                None => {}
                Some(Value::Text(text)) => object.serialize_entry(field.name(), &*text)?,
                Some(Value::Count(count)) => object.serialize_entry(field.name(), &count)?,
                Some(Value::Seconds(seconds)) => object.serialize_entry(field.name(), &seconds)?,
            }
        }
        object.end()
    }
}

pub(super) fn write(line: &AccessLine<'_>, fields: LogFields, query: LogQuery) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LINE_GUESS);
    serde_json::to_writer(&mut bytes, &Object(line, fields, query)).ok()?;
    Some(bytes)
}

/// A typical line fits.
const LINE_GUESS: usize = 768;
