//! What a route does: `upstream`, `static`, `redirect` or `respond`, and `rewrite` beside them.
//!
//! Owns what makes a redirect safe: its host is written in the configuration or is the request's own, so
//! that no part of a path can become one.

use toml::de::DeValue;

use super::{Names, files, tls};
use crate::flaw::{Flaw, show};
use crate::section::{At, Read, Section};
use crate::value::pattern::Captures;
use crate::value::{header, host, path};
use crate::{Action, PathMatch, Redirect, Respond, RespondBody, Rewrite, Template, Variable, schema};

const KEYS: [&str; 4] = ["upstream", "static", "redirect", "respond"];
const REDIRECT: &str = "\"https://example.com{path}{query}\" or { to = \"...\", status = 308 }";
const TO: &str = "such as \"https://example.com{path}{query}\"";
const RESPOND: &str = "a table such as { status = 404 }";
const REWRITE: &str = "a table such as { strip_prefix = \"/api\" }";
const PREFIX: &str = "a path such as \"/api\"";

/// What the route does; `None` where that is flawed, and said so.
pub(crate) fn read(section: &Section<'_>, upstreams: &Names, captures: &Captures) -> Option<Action> {
    let mut given = KEYS.into_iter().filter(|key| section.has(key));
    let first = given.next();
    if let (Some(first), Some(second)) = (first, given.next()) {
        let flaw = Flaw::new(format!("a route has one of {}, this one has {first} too", KEYS.join(", ")));
        section.here(second, section.place(second), flaw.help("remove one of them"));
    }
    match first {
        Some("upstream") => {
            let name = section
                .read("upstream", "the name of an upstream", |text| upstreams.upstream(text))
                .good()?;
            upstreams.resolve(section.run().sink, "upstream", &name).map(Action::Upstream)
        }
        Some("static") => files::read(section).good().map(|files| Action::Static(files.value)),
        Some("redirect") => redirect(section, captures).map(Action::Redirect),
        Some("respond") => respond(section).map(Action::Respond),
        _ => {
            if !KEYS.into_iter().any(|key| section.may_hide(key)) {
                section.missing("upstream", "the name of an upstream; or static, redirect or respond");
            }
            None
        }
    }
}

fn redirect(section: &Section<'_>, captures: &Captures) -> Option<Redirect> {
    let node = section.node("redirect")?;
    match node.value {
        DeValue::String(text) => section.judge("redirect", node.at, redirect_to(text, captures, PERMANENT)),
        DeValue::Table(table) => {
            let table = section.inline(node, table, &schema::REDIRECT);
            let status = table.number("status", 301..=308).certain(PERMANENT);
            let status = status.filter(|status| is_redirect(&table, *status));
            let to = table.require("to", TO, |text| redirect_to(text, captures, PERMANENT));
            let status = u16::try_from(status?).ok()?;
            Some(Redirect { status, ..to?.value })
        }
        _ => {
            section.wrong_type("redirect", REDIRECT, node, None);
            None
        }
    }
}

fn is_redirect(table: &Section<'_>, status: u32) -> bool {
    let known = matches!(status, 301 | 302 | 303 | 307 | 308);
    if !known {
        let flaw = Flaw::new(format!("{status} sends nobody on"));
        let help = "308 and 301 are for good, 307 and 302 for now, 303 after a form";
        table.here("status", table.place("status"), flaw.help(help));
    }
    known
}

/// Splits scheme and authority from the rest, so that the latter can't reach into the former.
fn redirect_to(text: &str, captures: &Captures, status: u32) -> Result<Redirect, Flaw> {
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
        let flaw = Flaw::new(format!("{} has the character {}", show(text), show(&c.to_string())));
        return Err(flaw.help("percent-encode it"));
    }
    let after_scheme =
        ["https://", "http://", "{scheme}://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    let (origin, target) = match after_scheme {
        None => (None, text),
        Some(rest) => {
            let end = target_start(rest);
            let (authority, target) = rest.split_at(end);
            check_authority(authority)?;
            let (origin, _) = text.split_at(text.len() - target.len());
            (Some(Template::parse(origin, &ORIGIN, &Captures::default())?), target)
        }
    };
    check_target(text, target, origin.is_some())?;
    let target = Template::parse(target, &TARGET, captures)?;
    Ok(Redirect { to: text.to_owned(), origin, target, status: u16::try_from(status).unwrap_or(308) })
}

/// Where the authority at the start of `rest` ends: at a slash, a question mark or number sign, or what
/// stands for a part of the target.
fn target_start(rest: &str) -> usize {
    let marks = ["/", "?", "#", "$", "{path}", "{query}"];
    marks.into_iter().filter_map(|mark| rest.find(mark)).min().unwrap_or(rest.len())
}

fn check_authority(authority: &str) -> Result<(), Flaw> {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || port.starts_with('+')) {
        return Err(Flaw::new(format!("{} is not a port", show(port.unwrap_or("")))));
    }
    // Labels may stand before the request's own host: "www.{host}".
    let name = match name.strip_suffix("{host}") {
        Some("") => return Ok(()),
        Some(labels) => {
            labels.strip_suffix('.').ok_or_else(|| Flaw::new(format!("{} is not a host", show(name))))?
        }
        None => name,
    };
    if name.contains(['{', '$', '*']) {
        let flaw = Flaw::new(format!("the host {} would be made of what a request says", show(name)));
        return Err(flaw.help("write the host out, or use {host}"));
    }
    host::pattern(name).map(|_| ())
}

/// The target begins where no host can be continued, and has one query at most.
fn check_target(text: &str, target: &str, absolute: bool) -> Result<(), Flaw> {
    let starts = ["/", "{path}", "?", "#", "{query}"];
    let begins_well = (absolute && target.is_empty()) || starts.iter().any(|start| target.starts_with(start));
    if !begins_well || (!absolute && !target.starts_with(['/', '{'])) || target.starts_with("//") {
        let flaw = Flaw::new(format!("{} is neither a URL nor a path", show(text)));
        return Err(flaw.help("begin with https://, http://, {scheme}://, a single / or {path}"));
    }
    if let Some((before, after)) = target.split_once("{query}")
        && (before.contains(['?', '#']) || !(after.is_empty() || after.starts_with('#')))
    {
        let flaw = Flaw::new("{query} brings its own question mark");
        return Err(flaw.help("put it at the end, with no other query"));
    }
    Ok(())
}

fn respond(section: &Section<'_>) -> Option<Respond> {
    let node = section.node("respond")?;
    let DeValue::Table(table) = node.value else {
        section.wrong_type("respond", RESPOND, node, None);
        return None;
    };
    let table = section.inline(node, table, &schema::RESPOND);
    if !table.has("status") {
        table.missing("status", "such as 404");
    }
    let status = table.number("status", 200..=599).good();
    let text = table.read("body", "a string", body);
    let file = table.read("body_file", "the path of a file", path::file);
    let kind = table.read("content_type", "such as \"text/html\"", content_type);
    if !matches!(text, Read::Absent) && table.has("body_file") {
        let flaw = Flaw::new("means nothing beside body");
        table.here("body_file", table.place("body_file"), flaw.help("keep one of them"));
    }
    let (body, kind) = match file {
        Read::Absent => {
            (text.certain(String::new()).map(RespondBody::Text), kind.certain(TEXT.to_owned()).map(Some))
        }
        Read::Flawed => (None, None),
        Read::Good(file) => {
            let kind =
                if matches!(kind, Read::Absent) { Some(None) } else { kind.good().map(|at| Some(at.value)) };
            (Some(RespondBody::File(tls::resolved(&table, file))), kind)
        }
    };
    let (status, body) = (status?, body?);
    let has_body = !matches!(&body, RespondBody::Text(text) if text.is_empty());
    let flaw = match status.value {
        206 | 304 => Some(Flaw::new(format!("{} answers what respond does not look at", status.value))),
        204 | 205 if has_body => Some(Flaw::new(format!("{} has no body", status.value))),
        _ => None,
    };
    if let Some(flaw) = flaw {
        table.here("status", status.at, flaw.help("choose another status"));
    }
    Some(Respond { status: u16::try_from(status.value).ok()?, body, content_type: kind? })
}

fn body(text: &str) -> Result<String, Flaw> {
    if text.len() > LARGEST_BODY {
        let flaw = Flaw::new(format!("the body is longer than {LARGEST_BODY} bytes"));
        return Err(flaw.help("put it into a file, and name that as body_file"));
    }
    Ok(text.to_owned())
}

fn content_type(text: &str) -> Result<String, Flaw> {
    header::check_value(text)?;
    let (kind, sub) = text.split(';').next().unwrap_or(text).trim_end().split_once('/').unwrap_or(("", ""));
    if kind.is_empty() || sub.is_empty() || !text.is_ascii() {
        return Err(Flaw::new(format!("{} is not a media type", show(text))).help("such as \"text/html\""));
    }
    Ok(text.to_owned())
}

/// The rewrite of a route with that path, if it has one that makes sense.
pub(crate) fn rewrite(
    section: &Section<'_>,
    path: Option<&PathMatch>,
    captures: &Captures,
) -> Option<Rewrite> {
    let node = section.node("rewrite")?;
    let DeValue::Table(table) = node.value else {
        section.wrong_type("rewrite", REWRITE, node, None);
        return None;
    };
    if section.has("respond") {
        let flaw = Flaw::new("respond asks for no path");
        section.here("rewrite", node.at, flaw.help("remove rewrite"));
    }
    let table = section.inline(node, table, &schema::REWRITE);
    let strip = table.read("strip_prefix", PREFIX, path::request_path);
    let add = table.read("add_prefix", PREFIX, path::request_path);
    let replace = table.read("replace_prefix", PREFIX, path::request_path);
    let template = table.read("path", "such as \"/users/$1\"", |text| rewritten(text, captures));
    let (strip, add, replace, template) = (strip.good(), add.good(), replace.good(), template.good());
    if let (Some(strip), Some(path)) = (&strip, path) {
        table.judge("strip_prefix", strip.at, check_strip(&strip.value, path));
    }
    if let (Some(replace), Some(PathMatch::Regex(_))) = (&replace, path) {
        let flaw = Flaw::new("a regular expression has no prefix that could be replaced");
        table.here("replace_prefix", replace.at, flaw.help("use path, with groups such as $1"));
    }
    let ways = [strip.is_some() || add.is_some(), replace.is_some(), template.is_some()];
    match ways.into_iter().filter(|given| *given).count() {
        0 if table.is_empty() => {
            section.here("rewrite", node.at, Flaw::new("the table is empty").help("remove it"));
        }
        0 | 1 => {}
        _ => {
            let flaw = Flaw::new("these keys can't go together");
            let help = "strip_prefix goes with add_prefix; replace_prefix and path go alone";
            section.here("rewrite", node.at, flaw.help(help));
        }
    }
    if let Some(At { value, .. }) = template {
        return Some(Rewrite::Path(value));
    }
    if let Some(At { value, .. }) = replace {
        return Some(Rewrite::Replace(value));
    }
    Some(Rewrite::Prefix { strip: strip.map(|at| at.value), add: add.map(|at| at.value) })
}

/// What every path that the route takes begins with can be taken off; anything else would be kept by
/// some requests and lost by others.
fn check_strip(strip: &str, path: &PathMatch) -> Result<(), Flaw> {
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path else { return Ok(()) };
    let stem = strip.trim_end_matches('/');
    if stem.is_empty() {
        return Err(Flaw::new("\"/\" takes nothing off").help("remove strip_prefix"));
    }
    match path.strip_prefix(stem) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Ok(()),
        _ => Err(Flaw::new(format!("{} is not what the path {} begins with", show(strip), show(path)))
            .help("take off whole segments of it")),
    }
}

fn rewritten(text: &str, captures: &Captures) -> Result<Template, Flaw> {
    if !(text.starts_with('/') || text.starts_with("{path}")) {
        let flaw = Flaw::new(format!("{} does not start with /", show(text)));
        return Err(flaw.help(format!("write {}", show(&format!("/{text}")))));
    }
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '\\')) {
        let flaw = Flaw::new(format!("{} has the character {}", show(text), show(&c.to_string())));
        return Err(flaw.help("a path has none of these; the query goes along as it is"));
    }
    Template::parse(text, &IN_PATH, captures)
}

const ORIGIN: [Variable; 2] = [Variable::Scheme, Variable::Host];
const TARGET: [Variable; 4] = [Variable::Path, Variable::Query, Variable::Host, Variable::Scheme];
const IN_PATH: [Variable; 2] = [Variable::Path, Variable::Host];
/// Keeps the method, unlike 301 (RFC 9110 section 15.4.9).
const PERMANENT: u32 = 308;
const TEXT: &str = "text/plain; charset=utf-8";
/// It stays in memory.
const LARGEST_BODY: usize = 64 << 10;

#[cfg(test)]
mod tests;
