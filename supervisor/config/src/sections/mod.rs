//! One module per table: its defaults, its ranges, and how its keys bear on each other.
//!
//! Each takes the table as read and returns the model's type; a value it returns is thrown away
//! when anything was reported.

pub(crate) mod acme;
pub(crate) mod actions;
pub(crate) mod admin;
pub(crate) mod balancing;
pub(crate) mod client_auth;
pub(crate) mod compression;
pub(crate) mod conditions;
pub(crate) mod errors;
pub(crate) mod files;
pub(crate) mod hardening;
pub(crate) mod headers;
pub(crate) mod limits;
pub(crate) mod observe;
pub(crate) mod policies;
pub(crate) mod policy;
pub(crate) mod rates;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod storage;
pub(crate) mod tls;
pub(crate) mod tracing;
pub(crate) mod upstream_tls;
pub(crate) mod upstreams;
pub(crate) mod vhosts;
mod watch;

use std::collections::BTreeMap;

use crate::flaw::{Flaw, listed, nearest, show};
use crate::section::{At, Section};
use crate::sink::{Place, Sink};
use crate::value;

/// Names that one table gives and others refer to, with their index in the model's list.
pub(crate) struct Names {
    what: &'static str,
    known: BTreeMap<String, (usize, Place)>,
    complete: bool,
}

impl Names {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, known: BTreeMap::new(), complete: true }
    }

    /// Enters the name of entry `index` of `section`; `None` is a name that could not be read.
    pub(crate) fn enter(&mut self, section: &Section<'_>, index: usize, name: Option<&At<String>>) {
        let Some(At { at, value }) = name else {
            self.complete = false;
            return;
        };
        if let Some((_, first)) = self.known.get(value) {
            let first = section.describe(*first);
            section.here(
                "name",
                *at,
                Flaw::new(format!(
                    "{} is already the name of another {}, in {first}",
                    show(value),
                    self.what
                )),
            );
            return;
        }
        self.known.insert(value.clone(), (index, *at));
    }

    /// The name of an upstream, where one is referred to; those that there are help with what is none.
    pub(crate) fn upstream(&self, text: &str) -> Result<String, Flaw> {
        value::name(text).map_err(|flaw| {
            let known = match self.known.is_empty() {
                true => String::new(),
                false => format!("; known are {}", listed(self.known.keys().map(String::as_str).take(20))),
            };
            let flaw = if text.contains([':', '/']) { undeclared(text) } else { flaw };
            Flaw { help: flaw.help.map(|help| help + &known), ..flaw }
        })
    }

    /// Whether there is no entry at all, not even a flawed one.
    pub(crate) fn is_empty(&self) -> bool {
        self.complete && self.known.is_empty()
    }

    /// The index of the entry named `name`.
    pub(crate) fn resolve(&self, sink: &Sink, key: &str, name: &At<String>) -> Option<usize> {
        let found = self.known.get(&name.value).map(|(index, _)| *index);
        if found.is_none() && self.complete {
            let flaw = if sink.is_full() { Flaw::new("") } else { self.unknown(key, &name.value) };
            sink.absence(name.at, flaw);
        }
        found
    }

    fn unknown(&self, key: &str, name: &str) -> Flaw {
        let names = || self.known.keys().map(String::as_str);
        let flaw = Flaw::new(format!("{key}: there is no {} named {}", self.what, show(name)));
        match nearest(name, names()) {
            Some(near) => flaw.help(format!("did you mean \"{near}\"?")),
            None if self.known.is_empty() => flaw.help(format!("the configuration has no {}", self.what)),
            None => flaw.help(format!("known are {}", listed(names().take(20)))),
        }
    }
}

/// An address where the name of an upstream belongs.
fn undeclared(text: &str) -> Flaw {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let tls = if scheme == "https" { " and tls = {}" } else { "" };
    let address = show(rest.split('/').next().unwrap_or_default());
    let flaw = Flaw::new(format!("{} is not the name of one of [[upstreams]]", show(text)));
    flaw.help(format!(
        "declare it: [[upstreams]] with name = \"app\", servers = [{address}]{tls}; then write \"app\" here"
    ))
}
