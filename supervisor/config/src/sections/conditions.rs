//! What a route asks of a request beside its path: `methods`, `headers`, `query`, `client_certificate`.
//!
//! Owns the syntax of what a value must be; matches nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::flaw::{Flaw, show};
use crate::section::{Read, Section};
use crate::sections::client_auth;
use crate::value::{header, pattern};
use crate::{Conditions, ValueMatch};

const METHODS: &str = "a list such as [\"GET\", \"POST\"]";
const VALUES: &str = "a table such as { name = \"value\" }";
const VALUE: &str = "a string: \"value\", \"~ regular expression\" or \"*\"";

/// The conditions; those that are flawed are left out. `certificates` says whether the vhost asks clients
/// for theirs.
pub(crate) fn read(section: &Section<'_>, certificates: bool) -> Conditions {
    Conditions {
        methods: methods(section),
        headers: values(section, "headers", header_name),
        query: values(section, "query", parameter),
        client: client_auth::condition(section, certificates),
    }
}

fn methods(section: &Section<'_>) -> BTreeSet<String> {
    let Some(list) = section.list("methods", METHODS, header::method).good() else {
        return BTreeSet::new();
    };
    if list.value.is_empty() {
        section.here("methods", list.at, Flaw::new("the list is empty").help("leave it out for any method"));
    }
    let mut methods: BTreeSet<String> = list.value.into_iter().map(|method| method.value).collect();
    // What answers GET answers HEAD (RFC 9110 section 9.1).
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods
}

fn header_name(name: &str) -> Result<String, Flaw> {
    let name = header::name(name)?;
    if name == "host" {
        return Err(Flaw::new("the host has its own place").help("it is matched by hosts of [[vhosts]]"));
    }
    Ok(name)
}

fn parameter(name: &str) -> Result<String, Flaw> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Flaw::new(format!("{} is not the name of a parameter", show(name)))
            .help("give the name as it is once percent-decoded"));
    }
    Ok(name.to_owned())
}

fn values(
    section: &Section<'_>,
    key: &'static str,
    check: fn(&str) -> Result<String, Flaw>,
) -> BTreeMap<String, ValueMatch> {
    let mut values = BTreeMap::new();
    let Read::Good(entries) = section.entries(key, VALUES) else { return values };
    if entries.value.is_empty() {
        section.here(key, entries.at, Flaw::new("the table is empty").help("leave it out"));
    }
    for (name, node) in entries.value {
        let checked = section.judge(key, name.at, check(name.value));
        let value = section.text(key, VALUE, node);
        let value = value.and_then(|text| section.judge(key, node.at, value_match(text)));
        let (Some(checked), Some(value)) = (checked, value) else { continue };
        if values.insert(checked, value).is_some() {
            let flaw = Flaw::new(format!("{} stands twice", show(name.value)));
            section.here(key, name.at, flaw.help("names of header fields are the same in any case"));
        }
    }
    values
}

fn value_match(text: &str) -> Result<ValueMatch, Flaw> {
    if text == "*" {
        return Ok(ValueMatch::Any);
    }
    if let Some(pattern) = text.strip_prefix('~') {
        return pattern::value(pattern).map(ValueMatch::Regex);
    }
    let value = text.strip_prefix("= ").unwrap_or(text);
    if value.chars().any(char::is_control) {
        return Err(Flaw::new(format!("{} has a control character", show(value))));
    }
    Ok(ValueMatch::Is(value.to_owned()))
}

/// A value as the configuration writes it.
pub(crate) fn print_value(value: &ValueMatch) -> String {
    match value {
        ValueMatch::Any => "*".to_owned(),
        ValueMatch::Regex(pattern) => format!("~ {pattern}"),
        ValueMatch::Is(value) => format!("= {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values_patterns_and_any() {
        assert_eq!(value_match("1").unwrap(), ValueMatch::Is("1".into()));
        assert_eq!(value_match("= *").unwrap(), ValueMatch::Is("*".into()));
        assert_eq!(value_match("= = ~").unwrap(), ValueMatch::Is("= ~".into()));
        assert_eq!(value_match("").unwrap(), ValueMatch::Is(String::new()));
        assert_eq!(value_match("*").unwrap(), ValueMatch::Any);
        assert_eq!(value_match("~ ^a").unwrap(), ValueMatch::Regex("^a".into()));
        assert!(value_match("~ (").is_err() && value_match("a\n").is_err());
    }
}
