//! What a route asks of a request beside its path, and what it does beside passing it on.
//!
//! Owns the types; part of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::{ClientCondition, Template};

/// What a request must have, all of it, for a route to take it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conditions {
    /// One of these; `GET` takes `HEAD` too. Empty: any.
    pub methods: BTreeSet<String>,
    /// Names in lower case; one line of that name must fit.
    pub headers: BTreeMap<String, ValueMatch>,
    /// Names and values percent-decoded; one parameter of that name must fit.
    pub query: BTreeMap<String, ValueMatch>,
    /// What is asked of the client's certificate. `None`: nothing.
    pub client: Option<ClientCondition>,
}

impl Conditions {
    /// Whether every request fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.query.is_empty() && self.client.is_none()
    }
}

/// Which values fit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueMatch {
    /// This one.
    Is(String),
    /// `~ pattern`: those in which this regular expression finds something.
    Regex(String),
    /// `*`: any, if the name is there.
    Any,
}

/// `redirect` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// As the configuration has it.
    pub to: String,
    /// Scheme and authority; `None` stays where the client is. Its host is either written out or the
    /// request's own.
    pub origin: Option<Template>,
    /// Path, query and fragment; its path begins with one slash once rendered so.
    pub target: Template,
    /// 301, 302, 303, 307 or 308. Default 308.
    pub status: u16,
}

/// `respond` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    pub body: RespondBody,
    /// `None`: that of the file's name.
    pub content_type: Option<String>,
}

/// `body` or `body_file` of `respond`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RespondBody {
    /// Of type `text/plain; charset=utf-8` unless another is named.
    Text(String),
    File(PathBuf),
}

/// `rewrite` of a route: the path that is asked for instead of the requested one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// Segments at the start are taken off, then others put there.
    Prefix {
        strip: Option<String>,
        add: Option<String>,
    },
    /// The route's own path at the start becomes this.
    Replace(String),
    Path(Template),
}

/// `request_headers` and `response_headers`. Names are in lower case, and each stands in one of the
/// three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// In place of every field of that name; a value that comes out empty leaves none.
    pub set: BTreeMap<String, Template>,
    /// Beside the fields of that name.
    pub add: BTreeMap<String, Template>,
    pub remove: BTreeSet<String>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// These over `inherited`: what is said of a name here replaces what is said of it there.
    #[must_use]
    pub fn over(mut self, inherited: &Self) -> Self {
        let names: BTreeSet<String> =
            self.set.keys().chain(self.add.keys()).chain(&self.remove).cloned().collect();
        let free = |name: &String| !names.contains(name);
        let kept = |map: &BTreeMap<String, Template>| -> Vec<(String, Template)> {
            map.iter()
                .filter(|(name, _)| free(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        self.set.extend(kept(&inherited.set));
        self.add.extend(kept(&inherited.add));
        self.remove.extend(inherited.remove.iter().filter(|name| free(name)).cloned());
        self
    }

    /// Whether a value needs what the regular expression of the path matched.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.set.values().chain(self.add.values()).any(Template::captures)
    }
}

/// What becomes of request fields whose name has an underscore, which CGI, WSGI and PHP can't tell from
/// the field with a hyphen there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Underscores {
    /// The upstream does not get them.
    #[default]
    Drop,
    Pass,
    /// 400
    Refuse,
}

/// What becomes of `Location`, `Content-Location` and `Refresh` in what an upstream answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamLocation {
    /// The name of a server of the upstream goes, so that the client stays where it is.
    #[default]
    Host,
    /// The same, and prefixes that `rewrite` took off or put on are put back.
    Prefix,
    Pass,
}

/// What becomes of something in a path that its readers may take differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ambiguous {
    /// 400
    #[default]
    Refuse,
    Pass,
}
