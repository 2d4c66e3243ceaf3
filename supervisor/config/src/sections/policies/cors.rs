//! `cors`: whose pages may use this site's answers.
//!
//! Owns how origins are written, and what can't go together; answers no request.

use super::values;
use crate::flaw::{Flaw, show};
use crate::schema;
use crate::section::{At, Read, Section};
use crate::value::{duration, field, host};
use crate::{Cors, HostPattern, Origin};

/// Chromium keeps no answer longer than two hours, Firefox a day; this is for changes to arrive.
const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(600);

/// The key of a vhost or route.
pub(crate) fn read(section: &Section<'_>) -> Read<Option<Cors>> {
    super::table_or_off(section, "cors", &schema::CORS, table)
}

fn table(section: &Section<'_>) -> Option<Cors> {
    let origins = section.list("origins", "a list such as [\"https://app.example\"]", origin);
    match &origins {
        Read::Absent => section.missing("origins", "such as [\"https://app.example\"]"),
        Read::Good(list) if list.value.is_empty() => {
            section.here("origins", list.at, Flaw::new("the list is empty").help("write cors = \"off\""));
        }
        Read::Good(_) | Read::Flawed => {}
    }
    let methods = section.list("methods", "a list such as [\"GET\", \"PUT\"]", method);
    let headers = section.list("headers", "a list such as [\"content-type\"]", star_or_name);
    let expose = section.list("expose", "a list such as [\"etag\"]", star_or_name);
    let credentials = section.boolean("credentials").or(false);
    let max_age = section.read("max_age", duration::EXPECTED, duration::any).or(MAX_AGE);
    if credentials {
        refuse_star(section, "origins", &origins, |origin| *origin == Origin::Any);
        refuse_star(section, "methods", &methods, |method| method == "*");
        refuse_star(section, "headers", &headers, |name| name == "*");
        refuse_star(section, "expose", &expose, |name| name == "*");
    }
    let methods = match methods {
        Read::Absent => ["GET", "HEAD", "POST"].map(str::to_owned).to_vec(),
        read => values(read),
    };
    let origins = values(origins);
    (!origins.is_empty()).then_some(Cors {
        origins,
        methods,
        headers: values(headers),
        expose: values(expose),
        credentials,
        max_age,
    })
}

/// With credentials, a `*` is no wildcard to a browser, and all origins would be every thief's too.
fn refuse_star<T>(section: &Section<'_>, key: &str, list: &Read<Vec<At<T>>>, is_star: impl Fn(&T) -> bool) {
    let Read::Good(list) = list else { return };
    if let Some(star) = list.value.iter().find(|item| is_star(&item.value)) {
        let flaw = Flaw::new("\"*\" can't go with credentials = true");
        section.here(key, star.at, flaw.help("name each one, or leave credentials out"));
    }
}

fn method(text: &str) -> Result<String, Flaw> {
    let method = field::token(text)?;
    if method.chars().any(|c| c.is_ascii_lowercase()) {
        let flaw = Flaw::new(format!("{} is not a method", show(text)));
        return Err(
            flaw.help(format!("methods have their case: write {}", show(&method.to_ascii_uppercase())))
        );
    }
    Ok(method)
}

fn star_or_name(text: &str) -> Result<String, Flaw> {
    if text == "*" { Ok(text.to_owned()) } else { field::name(text) }
}

/// `*`, `scheme://host[:port]` or `scheme://*.parent[:port]` (RFC 6454 section 6.2).
fn origin(text: &str) -> Result<Origin, Flaw> {
    if text == "*" {
        return Ok(Origin::Any);
    }
    let flaw = |what: &str| Flaw::new(format!("{} {what}", show(text)));
    if text == "null" {
        return Err(flaw("is what any page can make its browser send").help("name the origins"));
    }
    let example = "write it such as \"https://app.example\" or \"https://*.example.com\"";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(flaw("has no scheme").help(example));
    };
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme || rest.contains(['/', '?', '#', '@']) {
        return Err(flaw("is more than scheme, host and port").help(example));
    }
    let (name, port) = split_port(rest).ok_or_else(|| flaw("has no valid port").help(example))?;
    let default = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = port.filter(|port| Some(*port) != default).map_or_else(String::new, |port| format!(":{port}"));
    match host::pattern(name)? {
        HostPattern::Any => Err(flaw("has a host of \"*\" alone").help("every origin is \"*\"")),
        HostPattern::Wildcard(parent) => {
            Ok(Origin::Below { scheme: format!("{scheme}://"), rest: format!(".{parent}{port}") })
        }
        HostPattern::Exact(name) if name.contains(':') => {
            Ok(Origin::Exact(format!("{scheme}://[{name}]{port}")))
        }
        HostPattern::Exact(name) => Ok(Origin::Exact(format!("{scheme}://{name}{port}"))),
    }
}

/// The host without brackets, and the port.
fn split_port(rest: &str) -> Option<(&str, Option<u16>)> {
    if let Some(inner) = rest.strip_prefix('[') {
        let (name, port) = inner.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((name, Some(number(port)?))),
            None => port.is_empty().then_some((name, None)),
        };
    }
    match rest.split_once(':') {
        Some((name, port)) => Some((name, Some(number(port)?))),
        None => Some((rest, None)),
    }
}

fn number(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()
}

/// An origin as the configuration writes it.
pub(crate) fn print_origin(origin: &Origin) -> String {
    match origin {
        Origin::Any => "*".to_owned(),
        Origin::Exact(origin) => origin.clone(),
        Origin::Below { scheme, rest } => format!("{scheme}*{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_origins_as_browsers_do_and_reads_them_back() {
        for (text, same) in [
            ("*", "*"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://app.example:8080", "http://app.example:8080"),
            ("https://*.Example.com:8443", "https://*.example.com:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            let read = origin(text).unwrap();
            assert_eq!(print_origin(&read), same);
            assert_eq!(origin(same).unwrap(), read);
        }
    }

    #[test]
    fn refuses_what_no_browser_sends() {
        for bad in [
            "",
            "null",
            "app.example",
            "https://",
            "https://a.example/",
            "https://*",
            "https://u@a.example",
            "https://a.example:x",
            "https://[::1",
            "://a",
            "https://a.*.example",
            "https://a.example:99999",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
