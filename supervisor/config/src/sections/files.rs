//! `static` of a route: which folder is served, and how.
//!
//! Owns what may stand in its table; opens nothing.

use toml::de::DeValue;

use crate::flaw::{Flaw, show};
use crate::section::{At, Read, Section};
use crate::value::{self, field, path};
use crate::{Coding, StaticFiles, schema};

use super::tls;

const EXPECTED: &str = "the path of a folder, or { root = \"the path of a folder\" }";
const CODINGS: &str = "a list such as [\"br\", \"gzip\"]";

/// The value of `static`, a path or a table.
pub(crate) fn read(section: &Section<'_>) -> Read<StaticFiles> {
    let Some(node) = section.node("static") else { return Read::Absent };
    let files = match node.value {
        DeValue::String(text) => {
            let folder = section.judge("static", node.at, path::file(text));
            folder.map(|value| StaticFiles::at(tls::resolved(section, At { at: node.at, value })))
        }
        DeValue::Table(table) => files(&section.inline(node, table, &schema::STATIC)),
        _ => {
            section.wrong_type("static", EXPECTED, node, None);
            None
        }
    };
    files.map_or(Read::Flawed, |value| Read::Good(At { at: node.at, value }))
}

fn files(section: &Section<'_>) -> Option<StaticFiles> {
    let root = section.require("root", "the path of a folder", path::file);
    let index = section.list("index", "a list such as [\"index.html\"]", file_name);
    let listing = section.boolean("listing");
    let precompressed = codings(section, "precompressed");
    let fallback = section.read("fallback", "a path such as \"/index.html\"", fallback);
    let hidden = section.boolean("hidden");
    let cache_control = section.read("cache_control", "a field value such as \"max-age=3600\"", field::value);
    let default = StaticFiles::at(tls::resolved(section, root?));
    Some(StaticFiles {
        index: index.good().map_or(default.index, |at| at.value.into_iter().map(|name| name.value).collect()),
        listing: listing.or(default.listing),
        precompressed: precompressed.or(default.precompressed),
        fallback: fallback.good().map(|at| at.value),
        hidden: hidden.or(default.hidden),
        cache_control: cache_control.good().map(|at| at.value),
        root: default.root,
    })
}

/// A list of codings, none twice.
pub(crate) fn codings(section: &Section<'_>, key: &'static str) -> Read<Vec<Coding>> {
    let words = Coding::ALL.map(|coding| (coding.name(), coding));
    match section.list(key, CODINGS, |text| value::word(text, &words)) {
        Read::Absent => Read::Absent,
        Read::Flawed => Read::Flawed,
        Read::Good(At { at, value }) => {
            let mut codings: Vec<Coding> = Vec::new();
            for coding in value {
                if codings.contains(&coding.value) {
                    let flaw = Flaw::new(format!("{} is listed twice", show(coding.value.name())));
                    section.here(key, coding.at, flaw.help("keep one of them"));
                }
                codings.push(coding.value);
            }
            Read::Good(At { at, value: codings })
        }
    }
}

fn file_name(text: &str) -> Result<String, Flaw> {
    if text.is_empty() || text.len() > 255 || matches!(text, "." | "..") || text.contains(['/', '\0']) {
        return Err(Flaw::new(format!("{} is not the name of a file", show(text))));
    }
    Ok(text.to_owned())
}

fn fallback(text: &str) -> Result<String, Flaw> {
    let Some(relative) = text.strip_prefix('/') else {
        let flaw = Flaw::new(format!("{} does not start with /", show(text)));
        return Err(flaw.help("it is a path from the root, such as \"/index.html\""));
    };
    if text.len() > 4096 || relative.split('/').any(|name| name.is_empty() || file_name(name).is_err()) {
        return Err(Flaw::new(format!("{} is not the path of a file", show(text))));
    }
    Ok(text.to_owned())
}
