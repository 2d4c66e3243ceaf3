//! `request_headers` and `response_headers`: what is set, added and removed.
//!
//! Owns that a name stands in one place only; edits nothing.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use crate::flaw::{Flaw, show};
use crate::section::{Read, Section};
use crate::value::header;
use crate::value::pattern::Captures;
use crate::{HeaderEdits, Template, Variable, schema};

const EDITS: &str = "a table such as { set = { \"X-Name\" = \"value\" } }";
const VALUES: &str = "a table such as { \"X-Name\" = \"value\" }";
const NAMES: &str = "a list such as [\"X-Name\"]";

/// The edits at `key`, over those that hold around it. Values may use the groups of `captures`.
pub(crate) fn read(
    section: &Section<'_>,
    key: &'static str,
    captures: &Captures,
    inherited: &HeaderEdits,
) -> HeaderEdits {
    let Some(node) = section.node(key) else { return inherited.clone() };
    let DeValue::Table(table) = node.value else {
        section.wrong_type(key, EDITS, node, None);
        return inherited.clone();
    };
    let table = section.inline(node, table, &schema::HEADER_EDITS);
    let mut seen = BTreeSet::new();
    let edits = HeaderEdits {
        set: values(&table, "set", captures, &mut seen),
        add: values(&table, "add", captures, &mut seen),
        remove: names(&table, &mut seen),
    };
    edits.over(inherited)
}

fn values(
    section: &Section<'_>,
    key: &'static str,
    captures: &Captures,
    seen: &mut BTreeSet<String>,
) -> BTreeMap<String, Template> {
    let mut values = BTreeMap::new();
    let Read::Good(entries) = section.entries(key, VALUES) else { return values };
    for (name, node) in entries.value {
        let settable = header::settable(name.value).and_then(|name| once(name, seen));
        let settable = section.judge(key, name.at, settable);
        let value = section.text(key, "a string", node);
        let value = value.and_then(|text| section.judge(key, node.at, template(text, captures)));
        if let (Some(name), Some(value)) = (settable, value) {
            values.insert(name, value);
        }
    }
    values
}

fn names(section: &Section<'_>, seen: &mut BTreeSet<String>) -> BTreeSet<String> {
    let list = section.list("remove", NAMES, header::settable).or(Vec::new());
    let mut names = BTreeSet::new();
    for name in list {
        names.extend(section.judge("remove", name.at, once(name.value, seen)));
    }
    names
}

fn once(name: String, seen: &mut BTreeSet<String>) -> Result<String, Flaw> {
    if seen.insert(name.clone()) {
        return Ok(name);
    }
    let flaw = Flaw::new(format!("{} stands here twice", show(&name)));
    Err(flaw.help("a field is either set, added or removed, in any case of its name"))
}

fn template(text: &str, captures: &Captures) -> Result<Template, Flaw> {
    header::check_value(text)?;
    Template::parse(text, &Variable::ALL, captures)
}
