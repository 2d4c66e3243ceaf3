//! Templates of the configuration, filled with what a request says.
//!
//! Owns what each variable stands for. Every value is free of line ends: hosts and paths passed
//! admission, and no query, method or address has any.

use std::fmt::Write;
use std::ops::Range;

use fluxheim_config::{Part, Template, Variable};

use crate::types::{ClientIp, Host, PeerIp, Scheme};

/// What a template may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    pub client: ClientIp,
    pub peer: PeerIp,
    /// `None` for a request that was refused before it was known.
    pub host: Option<&'a Host>,
    /// The client's own, where a trusted proxy tells it.
    pub scheme: Scheme,
    pub port: u16,
    pub method: &'a str,
    pub path: &'a str,
    /// The path as it was requested, of which captures are ranges.
    pub requested: &'a str,
    pub query: Option<&'a str>,
    pub vhost: &'a str,
    /// Version and cipher suite.
    pub tls: Option<(&'a str, &'a str)>,
    /// Of the route's regular expression, the first group first.
    pub captures: &'a [Range<usize>],
}

/// The text that a template stands for.
#[must_use]
pub fn render(template: &Template, values: &Values<'_>) -> String {
    let mut out = String::new();
    for part in template.parts() {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Variable(variable) => push(&mut out, *variable, values),
            Part::Capture(number) => out.push_str(captured(values, *number)),
        }
    }
    out
}

fn push(out: &mut String, variable: Variable, values: &Values<'_>) {
    // Writing to a string does not fail.
    let _ = match variable {
        Variable::ClientIp => write!(out, "{}", values.client.0),
        Variable::PeerIp => write!(out, "{}", values.peer.0),
        Variable::Host => values.host.map_or(Ok(()), |host| write_host(out, host)),
        Variable::Scheme => write!(out, "{}", values.scheme),
        Variable::Port => write!(out, "{}", values.port),
        Variable::Method => out.write_str(values.method),
        Variable::Path => out.write_str(values.path),
        Variable::Query => values.query.map_or(Ok(()), |query| write!(out, "?{query}")),
        Variable::Vhost => out.write_str(values.vhost),
        Variable::TlsVersion => out.write_str(values.tls.map_or("", |(version, _)| version)),
        Variable::TlsCipher => out.write_str(values.tls.map_or("", |(_, cipher)| cipher)),
    };
}

/// As it stands in a URL.
fn write_host(out: &mut String, host: &Host) -> std::fmt::Result {
    match host.as_str() {
        address if address.contains(':') => write!(out, "[{address}]"),
        name => out.write_str(name),
    }
}

fn captured<'a>(values: &Values<'a>, number: usize) -> &'a str {
    let range = number.checked_sub(1).and_then(|at| values.captures.get(at));
    range.and_then(|range| values.requested.get(range.clone())).unwrap_or("")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request for `path` at `host` over TLS, whose whole path is the first group.
    pub(in crate::rewrite) fn with<T>(host: &str, path: &str, then: impl FnOnce(&Values<'_>) -> T) -> T {
        let (host, address) = (Host::parse(host).unwrap(), "192.0.2.7".parse().unwrap());
        let whole = 0..path.len();
        then(&Values {
            client: ClientIp(address),
            peer: PeerIp(address),
            host: Some(&host),
            scheme: Scheme::Https,
            port: 8443,
            method: "GET",
            path,
            requested: path,
            query: Some("a=1"),
            vhost: "example.com",
            tls: Some(("TLSv1.3", "X")),
            captures: std::slice::from_ref(&whole),
        })
    }

    #[test]
    fn fills_in_every_variable() {
        let names: Vec<_> = Variable::ALL.iter().map(|variable| format!("{{{}}}", variable.name())).collect();
        let template: Template = names.join(" ").parse().unwrap();
        assert_eq!(
            with("A.test:80", "/x", |values| render(&template, values)),
            "192.0.2.7 192.0.2.7 a.test https 8443 GET /x ?a=1 example.com TLSv1.3 X"
        );
        let host: Template = "{host}".parse().unwrap();
        assert_eq!(with("[::1]:80", "/", |values| render(&host, values)), "[::1]");
    }
}
