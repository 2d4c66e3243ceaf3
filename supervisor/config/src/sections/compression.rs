//! `compression` of `[defaults]`, a vhost or a route.
//!
//! Owns its bounds and what a vhost or route keeps of what holds around it; packs nothing.

use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::de::DeValue;

use super::files;
use crate::flaw::{Flaw, show};
use crate::section::{At, Read, Section};
use crate::value::{self, size};
use crate::{Compression, CompressionLevel, MediaRange, schema};

const EXPECTED: &str = "\"on\", \"off\" or a table such as { level = \"fast\" }";
/// Below the least every response would grow.
const MIN_SIZE: RangeInclusive<u64> = 64..=(1 << 30);

/// What holds here: `"on"` and a table start from what holds around it.
pub(crate) fn read(section: &Section<'_>, inherited: Option<&Arc<Compression>>) -> Option<Arc<Compression>> {
    let Some(node) = section.node("compression") else { return inherited.cloned() };
    match node.value {
        DeValue::String(text) => {
            let words = [("on", true), ("off", false)];
            let on = section.judge("compression", node.at, value::word(text, &words))?;
            on.then(|| inherited.cloned().unwrap_or_default())
        }
        DeValue::Table(table) => {
            let around = inherited.map(|around| (**around).clone()).unwrap_or_default();
            Some(Arc::new(over(&section.inline(node, table, &schema::COMPRESSION), around)))
        }
        _ => {
            section.wrong_type("compression", EXPECTED, node, None);
            None
        }
    }
}

fn over(section: &Section<'_>, around: Compression) -> Compression {
    let levels = CompressionLevel::ALL.map(|level| (level.name(), level));
    let algorithms = not_empty(section, "algorithms", files::codings(section, "algorithms"));
    let types = section.list("types", "a list such as [\"text/*\", \"+json\"]", media_range);
    let types = not_empty(section, "types", types);
    Compression {
        algorithms: algorithms.or(around.algorithms),
        types: types
            .good()
            .map_or(around.types, |at| at.value.into_iter().map(|range| range.value).collect()),
        min_size: section
            .read("min_size", size::EXPECTED, |text| size::within(text, &MIN_SIZE))
            .or(around.min_size),
        level: section.read("level", "a word", |text| value::word(text, &levels)).or(around.level),
        personal: section.boolean("personal").or(around.personal),
    }
}

fn not_empty<T>(section: &Section<'_>, key: &str, list: Read<Vec<T>>) -> Read<Vec<T>> {
    match list {
        Read::Good(At { at, value }) if value.is_empty() => {
            section.here(
                key,
                at,
                Flaw::new("the list is empty").help("leave it out, or set compression = \"off\""),
            );
            Read::Flawed
        }
        list => list,
    }
}

/// `text/html`, `text/*` or `+json`.
fn media_range(text: &str) -> Result<MediaRange, Flaw> {
    let token = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !text.is_empty() && text.len() <= 127 && text.bytes().all(fits)
    };
    let lower = text.to_ascii_lowercase();
    let range = match (lower.strip_prefix('+'), lower.split_once('/')) {
        (Some(suffix), None) if token(suffix) && !suffix.contains('+') => {
            MediaRange::Suffix(suffix.to_owned())
        }
        (None, Some((kind, "*"))) if token(kind) => MediaRange::Kind(kind.to_owned()),
        (None, Some((kind, subtype))) if token(kind) && token(subtype) => MediaRange::Exact(lower.clone()),
        _ => {
            let flaw = Flaw::new(format!("{} is not a media type", show(text)));
            return Err(flaw.help("write \"text/html\", \"text/*\" or \"+json\""));
        }
    };
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_types_kinds_and_suffixes() {
        for (text, held, not) in [
            ("text/html", "Text/HTML", "text/htm"),
            ("text/*", "text/css", "texts/css"),
            ("+json", "application/problem+json", "application/json"),
        ] {
            let range = media_range(text).unwrap();
            assert!(range.holds(held) && !range.holds(not), "{text}");
            assert_eq!(range.to_string(), text);
        }
        for bad in [
            "",
            "*/*",
            "*",
            "text",
            "text/",
            "/html",
            "text/html; charset=utf-8",
            "a/b/c",
            "+",
            "+a/b",
            "+a+b",
        ] {
            assert!(media_range(bad).is_err(), "{bad}");
        }
    }
}
