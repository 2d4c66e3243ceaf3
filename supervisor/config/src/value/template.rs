//! Texts with variables: `"https://{host}{path}"`, `"/users/$1"`.
//!
//! Owns their syntax: `{name}`, `{1}` or `$1` for what a group of the path's regular expression matched,
//! `{{`, `}}` and `$$` for the characters themselves. Everything is resolved here, so that nothing can
//! turn out to be unknown while a request waits; renders nothing.

use std::str::FromStr;

use super::pattern::Captures;
use crate::flaw::{Flaw, listed, nearest, show};

/// A text with variables, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Never empty.
    Text(String),
    Variable(Variable),
    /// Group of the regular expression in the route's path; the first is 1.
    Capture(usize),
}

/// What a request may be asked for in a [`Template`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    /// The address that the request is taken to come from.
    ClientIp,
    /// The address at the other end of the connection.
    PeerIp,
    /// Lower case, without port; IPv6 in brackets.
    Host,
    /// `http` or `https`: the client's own, where a trusted proxy tells it.
    Scheme,
    /// Port of the listener.
    Port,
    Method,
    /// Normalised, as it was requested.
    Path,
    /// With its question mark; empty where there is none.
    Query,
    /// First host of the vhost.
    Vhost,
    /// Such as `TLSv1.3`; empty without TLS.
    TlsVersion,
    /// Name of the cipher suite; empty without TLS.
    TlsCipher,
}

impl Variable {
    /// Every variable.
    pub const ALL: [Self; 11] = [
        Self::ClientIp,
        Self::PeerIp,
        Self::Host,
        Self::Scheme,
        Self::Port,
        Self::Method,
        Self::Path,
        Self::Query,
        Self::Vhost,
        Self::TlsVersion,
        Self::TlsCipher,
    ];

    /// Its name between braces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientIp => "client_ip",
            Self::PeerIp => "peer_ip",
            Self::Host => "host",
            Self::Scheme => "scheme",
            Self::Port => "port",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Vhost => "vhost",
            Self::TlsVersion => "tls_version",
            Self::TlsCipher => "tls_cipher",
        }
    }
}

impl Template {
    /// As the configuration has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// In order; no two texts follow each other.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it needs what the regular expression of the path matched.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Capture(_)))
    }

    /// Reads a template that may use `variables` and the groups of `captures`.
    pub(crate) fn parse(text: &str, variables: &[Variable], captures: &Captures) -> Result<Self, Flaw> {
        if text.len() > LONGEST {
            return Err(Flaw::new(format!("the text is longer than {LONGEST} bytes")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '$']) {
            let (before, after) = rest.split_at(at);
            push(&mut parts, before);
            rest = special(&mut parts, after, variables, captures)?;
        }
        push(&mut parts, rest);
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// A template of variables alone, as tests need them.
impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, &Variable::ALL, &Captures::default()).map_err(|flaw| flaw.message)
    }
}

/// Takes in what begins with `{`, `}` or `$`; gives what follows.
fn special<'t>(
    parts: &mut Vec<Part>,
    text: &'t str,
    variables: &[Variable],
    captures: &Captures,
) -> Result<&'t str, Flaw> {
    for (doubled, single) in [("{{", "{"), ("}}", "}"), ("$$", "$")] {
        if let Some(rest) = text.strip_prefix(doubled) {
            push(parts, single);
            return Ok(rest);
        }
    }
    if let Some(after) = text.strip_prefix('$') {
        let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let (number, rest) = after.split_at(digits);
        if number.is_empty() {
            push(parts, "$");
        } else {
            parts.push(capture(number, captures)?);
        }
        return Ok(rest);
    }
    let Some((name, rest)) = text.strip_prefix('{').and_then(|after| after.split_once('}')) else {
        let brace = if text.starts_with('{') { '{' } else { '}' };
        return Err(Flaw::new(format!("the {brace} has no other half"))
            .help(format!("write {brace}{brace} for the character itself")));
    };
    parts.push(named(name, variables, captures)?);
    Ok(rest)
}

fn named(name: &str, variables: &[Variable], captures: &Captures) -> Result<Part, Flaw> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return capture(name, captures);
    }
    if let Some(number) = captures.number(name) {
        return Ok(Part::Capture(number));
    }
    if let Some(variable) = variables.iter().find(|variable| variable.name() == name) {
        return Ok(Part::Variable(*variable));
    }
    if Variable::ALL.iter().any(|variable| variable.name() == name) {
        let flaw = Flaw::new(format!("{{{name}}} can't stand here"));
        return Err(flaw.help(format!("here are {}", known(variables))));
    }
    let flaw = Flaw::new(format!("there is no variable {}", show(name)));
    let near = nearest(name, variables.iter().map(|variable| variable.name()));
    Err(match near {
        Some(near) => flaw.help(format!("did you mean {{{near}}}?")),
        None => flaw.help(format!("there are {}; write {{{{ for the character itself", known(variables))),
    })
}

fn known(variables: &[Variable]) -> String {
    let names: Vec<_> = variables.iter().map(|variable| format!("{{{}}}", variable.name())).collect();
    listed(names.iter().map(String::as_str))
}

fn capture(number: &str, captures: &Captures) -> Result<Part, Flaw> {
    match number.parse() {
        Ok(number) if captures.has(number) => Ok(Part::Capture(number)),
        _ => Err(Flaw::new(format!("the path of this route has no group {number}"))
            .help("groups are the parentheses of a path such as \"~ ^/u/(\\\\d+)$\"; write $$ for a dollar")),
    }
}

fn push(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// Bytes: what a header field may hold under the default limit of a head, with room beside it.
const LONGEST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::pattern;

    fn read(text: &str) -> Result<Vec<Part>, Flaw> {
        let (_, captures) = pattern::path(r"^/(?<user>[a-z]+)/(\d+)$").unwrap();
        Template::parse(text, &Variable::ALL, &captures).map(|template| template.parts)
    }

    #[test]
    fn reads_texts_variables_and_groups() {
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("a").unwrap(), [text("a")]);
        assert_eq!(
            read("https://{host}/$1{2}{user}").unwrap(),
            [
                text("https://"),
                Part::Variable(Variable::Host),
                text("/"),
                Part::Capture(1),
                Part::Capture(2),
                Part::Capture(1)
            ]
        );
        assert_eq!(read("{{\"a\": $$1}} $ 5$").unwrap(), [text("{\"a\": $1} $ 5$")]);
    }

    #[test]
    fn says_what_is_wrong_with_a_template() {
        for (given, said) in [
            ("{hots}", "there is no variable \"hots\""),
            ("{}", "there is no variable"),
            ("{host", "no other half"),
            ("a}", "no other half"),
            ("$3", "has no group 3"),
            ("{0}", "has no group 0"),
            ("{99999999999999999999999}", "has no group"),
        ] {
            assert!(read(given).unwrap_err().message.contains(said), "{given}");
        }
        let none = Template::parse("$1", &[], &Captures::default()).unwrap_err();
        assert!(none.message.contains("no group 1"));
        let elsewhere = Template::parse("{query}", &[Variable::Host], &Captures::default()).unwrap_err();
        assert_eq!(elsewhere.help.unwrap(), "here are {host}");
    }
}
