//! The policies of a vhost or route, one module a key.
//!
//! Each is a table, or `"off"` where a route does without what its vhost asks for.

pub(crate) mod access;
pub(crate) mod basic_auth;
pub(crate) mod cors;
pub(crate) mod forward_auth;
pub(crate) mod jwt;
pub(crate) mod security_headers;

use toml::de::DeValue;

use crate::flaw::Flaw;
use crate::schema::Schema;
use crate::section::{At, Read, Section};

/// The table at `key` as `read` makes of it; `None` for `"off"`.
pub(crate) fn table_or_off<'a, T>(
    section: &Section<'a>,
    key: &'static str,
    schema: &'static Schema,
    read: impl FnOnce(&Section<'a>) -> Option<T>,
) -> Read<Option<T>> {
    let Some(node) = section.any(key) else { return Read::Absent };
    match node.value {
        DeValue::String(text) if text.as_ref() == "off" => Read::Good(At { at: node.at, value: None }),
        DeValue::Table(table) => read(&section.inline(node, table, schema))
            .map_or(Read::Flawed, |value| Read::Good(At { at: node.at, value: Some(value) })),
        _ => {
            section.wrong_type(key, "a table, or \"off\"", node, None);
            Read::Flawed
        }
    }
}

/// The values of a list; nothing where it is absent or flawed.
fn values<T>(list: Read<Vec<At<T>>>) -> Vec<T> {
    list.or(Vec::new()).into_iter().map(|at| at.value).collect()
}

/// A realm as a quoted string of a challenge holds it (RFC 9110 section 11.5).
fn realm(text: &str) -> Result<String, Flaw> {
    let text = crate::value::field::value(text)?;
    if text.contains(['"', '\\']) || text.len() > 128 {
        return Err(Flaw::new(format!("{} is not a realm", crate::flaw::show(&text)))
            .help("use at most 128 characters, without quotes and backslashes"));
    }
    Ok(text)
}

/// What a challenge calls the place where none is configured.
const REALM: &str = "restricted";
