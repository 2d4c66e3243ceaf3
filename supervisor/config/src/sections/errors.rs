//! `errors` of `[defaults]`, a vhost or a route.
//!
//! Owns which statuses can have a page, and what a vhost or route keeps of what holds around it; opens no
//! page.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeValue;

use super::tls;
use crate::flaw::{Flaw, show};
use crate::section::{At, Node, Section};
use crate::sink::Place;
use crate::value::{self, balancing, path};
use crate::{ErrorFormat, Errors, StatusRange, Statuses, schema};

const EXPECTED: &str = "a table such as { format = \"html\" }";
const INTERCEPT: &str = "a list such as [\"404\", \"5xx\"]";
const PAGES: &str = "a table such as { \"404\" = \"404.html\", \"5xx\" = \"oops.html\" }";

/// What holds here; pages named here replace all of those around it, as nginx has it.
pub(crate) fn read(section: &Section<'_>, inherited: &Arc<Errors>) -> Arc<Errors> {
    let Some(node) = section.node("errors") else { return Arc::clone(inherited) };
    let DeValue::Table(table) = node.value else {
        section.wrong_type("errors", EXPECTED, node, None);
        return Arc::clone(inherited);
    };
    let section = section.inline(node, table, &schema::ERRORS);
    let formats = ErrorFormat::ALL.map(|format| (format.name(), format));
    let format = section.read("format", "a word", |text| value::word(text, &formats));
    let pages = pages(&section).unwrap_or_else(|| inherited.pages.clone());
    let intercept = section.list("intercept", INTERCEPT, intercepted).good().map_or_else(
        || inherited.intercept.clone(),
        |list| list.value.into_iter().map(|range| range.value).collect(),
    );
    Arc::new(Errors { format: format.or(inherited.format), pages, intercept })
}

fn pages(section: &Section<'_>) -> Option<BTreeMap<Statuses, PathBuf>> {
    let node = section.node("pages")?;
    let DeValue::Table(table) = node.value else {
        section.wrong_type("pages", PAGES, node, None);
        return None;
    };
    let mut pages = BTreeMap::new();
    for (key, value) in table {
        let place = |offset| Place { file: node.at.file, offset };
        let at = place(value.span().start);
        let statuses = section.judge("pages", place(key.span().start), statuses(key.get_ref()));
        let DeValue::String(text) = value.get_ref() else {
            section.wrong_type("pages", "the path of a file", Node { at, value: value.get_ref() }, None);
            continue;
        };
        let path = section.judge("pages", at, path::file(text));
        if let (Some(statuses), Some(value)) = (statuses, path) {
            pages.insert(statuses, tls::resolved(section, At { at, value }));
        }
    }
    Some(pages)
}

/// Redirections are no errors, and a client that gets none of a success is not told so.
fn intercepted(text: &str) -> Result<StatusRange, Flaw> {
    match (text, balancing::statuses(text)) {
        ("4xx", _) => Ok(StatusRange { first: 400, last: 499 }),
        ("5xx", _) => Ok(StatusRange { first: 500, last: 599 }),
        (_, Ok(range)) if range.first >= 400 => Ok(range),
        _ => {
            let flaw =
                Flaw::new(format!("{} is not the status of an error, nor a range of such", show(text)));
            Err(flaw.help("write \"404\" or the like, \"500-504\", \"4xx\" or \"5xx\""))
        }
    }
}

fn statuses(text: &str) -> Result<Statuses, Flaw> {
    let class = |class| Ok(Statuses::Class(class));
    match text {
        "4xx" => class(4),
        "5xx" => class(5),
        _ => match text.parse() {
            Ok(status @ 400..=599) if text.len() == 3 => Ok(Statuses::One(status)),
            _ => {
                let flaw = Flaw::new(format!("{} is not the status of an error", show(text)));
                Err(flaw.help("write \"404\" or the like, \"4xx\" or \"5xx\""))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_statuses_of_errors() {
        assert_eq!(statuses("404"), Ok(Statuses::One(404)));
        assert_eq!(statuses("5xx"), Ok(Statuses::Class(5)));
        for bad in ["200", "600", "3xx", "", "4x4", "+404", "0404"] {
            assert!(statuses(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn intercepts_errors_only() {
        assert_eq!(intercepted("500-599"), Ok(StatusRange { first: 500, last: 599 }));
        assert_eq!(intercepted("404"), Ok(StatusRange { first: 404, last: 404 }));
        assert_eq!(intercepted("5xx"), intercepted("500-599"));
        for bad in ["200", "302", "200-599", "3xx", "600", ""] {
            assert!(intercepted(bad).is_err(), "{bad}");
        }
    }
}
