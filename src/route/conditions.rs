//! What a route asks of a request beside its path, compiled.

use std::borrow::Cow;

use fluxheim_config::{ClientCondition, Conditions as Asked, ValueMatch};
use http::{HeaderName, Method};
use percent_encoding::percent_decode;
use regex::bytes::Regex;

use super::paths::pattern;
use super::{Request, client};

/// All of it must fit.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Empty: any.
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Value)>,
    query: Vec<(Vec<u8>, Value)>,
    client: Option<ClientCondition>,
}

#[derive(Debug)]
enum Value {
    Is(Vec<u8>),
    Regex(Regex),
    Any,
}

/// How a request fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    ButForItsMethod,
    No,
}

impl Conditions {
    /// `None` where there are none.
    pub(super) fn new(asked: &Asked) -> Result<Option<Box<Self>>, regex::Error> {
        if asked.is_empty() {
            return Ok(None);
        }
        let methods = asked.methods.iter().filter_map(|method| method.parse().ok()).collect();
        let (mut headers, mut query) = (Vec::new(), Vec::new());
        for (name, wanted) in &asked.headers {
            // The configuration takes no name that is none.
            if let Ok(name) = name.parse() {
                headers.push((name, value(wanted)?));
            }
        }
        for (name, wanted) in &asked.query {
            query.push((name.clone().into_bytes(), value(wanted)?));
        }
        Ok(Some(Box::new(Self { methods, headers, query, client: asked.client.clone() })))
    }

    pub(super) fn judge(&self, request: &Request<'_>) -> Fit {
        let headers = self.headers.iter().all(|(name, wanted)| {
            request.headers.get_all(name).iter().any(|value| wanted.fits(value.as_bytes()))
        });
        if self.client.as_ref().is_some_and(|asked| !client::meets(asked, request.client)) {
            return Fit::No;
        }
        if !headers || !self.query.iter().all(|(name, wanted)| has_parameter(request.query, name, wanted)) {
            return Fit::No;
        }
        match self.methods.is_empty() || self.methods.contains(request.method) {
            true => Fit::Yes,
            false => Fit::ButForItsMethod,
        }
    }
}

fn value(wanted: &ValueMatch) -> Result<Value, regex::Error> {
    Ok(match wanted {
        ValueMatch::Is(text) => Value::Is(text.clone().into_bytes()),
        ValueMatch::Regex(text) => Value::Regex(pattern(text)?),
        ValueMatch::Any => Value::Any,
    })
}

impl Value {
    fn fits(&self, given: &[u8]) -> bool {
        match self {
            Self::Is(wanted) => wanted == given,
            Self::Regex(regex) => regex.is_match(given),
            Self::Any => true,
        }
    }
}

/// As forms write them: pairs between `&`, a `+` for a space (URL standard, urlencoded parsing).
fn has_parameter(query: Option<&str>, name: &[u8], wanted: &Value) -> bool {
    let mut pairs = query.unwrap_or("").split('&');
    pairs.any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decoded(key).as_ref() == name && wanted.fits(&decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_decode(spaced.as_bytes()).collect());
    }
    percent_decode(text.as_bytes()).into()
}
