//! Routes as text: what they match, what they do, what they change.

use std::collections::BTreeMap;

use super::{Out, list, quoted};
use crate::sections::conditions::print_value;
use crate::*;

/// What a route matches beside its path, and what it does. What is not set is not printed.
pub(super) fn route(out: &mut Out, route: &Route, config: &Config) {
    let when = &route.when;
    if !when.methods.is_empty() {
        out.key("methods", list(when.methods.iter().map(|method| quoted(method))));
    }
    for (key, values) in [("headers", &when.headers), ("query", &when.query)] {
        if !values.is_empty() {
            out.key(key, table(values, print_value));
        }
    }
    if let Some(condition) = &when.client {
        out.key("client_certificate", super::client_auth::condition(condition));
    }
    match &route.action {
        Action::Static(files) => out.key("static", super::content::files(files)),
        Action::Upstream(index) => {
            let name = config.upstreams.get(*index).map_or("", |upstream| &upstream.name);
            out.key("upstream", quoted(name));
        }
        Action::Redirect(Redirect { to, status, .. }) => {
            out.key("redirect", format!("{{ to = {}, status = {status} }}", quoted(to)));
        }
        Action::Respond(Respond { status, body, content_type }) => {
            let body = match body {
                RespondBody::Text(text) => format!("body = {}", quoted(text)),
                RespondBody::File(file) => format!("body_file = {}", super::path(file)),
            };
            let kind = content_type.as_ref().map(|kind| format!(", content_type = {}", quoted(kind)));
            out.key("respond", format!("{{ status = {status}, {body}{} }}", kind.unwrap_or_default()));
        }
    }
    if let Some(rewrite) = &route.rewrite {
        out.key("rewrite", rewrite_of(rewrite));
    }
}

/// Header edits; nothing where there are none.
pub(super) fn edits(out: &mut Out, key: &str, edits: &HeaderEdits) {
    if edits.is_empty() {
        return;
    }
    let (set, add) = (table(&edits.set, text), table(&edits.add, text));
    let remove = list(edits.remove.iter().map(|name| quoted(name)));
    out.key(key, format!("{{ set = {set}, add = {add}, remove = {remove} }}"));
}

fn rewrite_of(rewrite: &Rewrite) -> String {
    let parts = match rewrite {
        Rewrite::Prefix { strip, add } => {
            let part = |key: &str, path: &Option<String>| {
                path.as_ref().map(|path| format!("{key} = {}", quoted(path)))
            };
            [part("strip_prefix", strip), part("add_prefix", add)].into_iter().flatten().collect()
        }
        Rewrite::Replace(path) => vec![format!("replace_prefix = {}", quoted(path))],
        Rewrite::Path(template) => vec![format!("path = {}", quoted(template.text()))],
    };
    format!("{{ {} }}", parts.join(", "))
}

fn text(template: &Template) -> String {
    template.text().to_owned()
}

fn table<T>(entries: &BTreeMap<String, T>, value: impl Fn(&T) -> String) -> String {
    let entries =
        entries.iter().map(|(name, entry)| format!("{} = {}", quoted_key(name), quoted(&value(entry))));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// A key, unlike a value, stands on one line in one pair of quotes; control characters it has none.
fn quoted_key(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}
