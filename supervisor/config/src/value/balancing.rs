//! Values of the keys that are about choosing an upstream server.
//!
//! Follows RFC 9110 section 5.6.2 for tokens, RFC 6265 section 4.1.1 for cookie names.

use std::net::IpAddr;
use std::time::Duration;

use super::{duration, host, word};
use crate::flaw::{Flaw, show};
use crate::{Balance, Hash, HashBy, HashKind, StatusRange};

/// The word of `balance`.
pub(crate) fn balance(text: &str) -> Result<Balance, Flaw> {
    let told = |help: &str| Err(Flaw::new(format!("unknown word {}", show(text))).help(help));
    match text {
        "hash" => Ok(Balance::Hash(Hash { by: HashBy::ClientIp, kind: HashKind::Ketama })),
        "ip_hash" | "source" | "client_ip" => told("write hash = { by = \"client_ip\" }"),
        "uri" | "ketama" | "ring_hash" => told("write hash = { by = \"uri\" }"),
        "maglev" => told("write hash = { by = \"client_ip\", kind = \"maglev\" }"),
        "leastconn" | "least_request" => told("here it is called \"least_conn\""),
        "ewma" | "peak_ewma" | "least_time" => told("here it is called \"p2c\""),
        "weighted" | "roundrobin" | "wrr" => told("here it is called \"round_robin\""),
        _ => {
            let plain = [("round_robin", 0), ("random", 1), ("least_conn", 2), ("p2c", 3), ("hash", 4)];
            Ok(match word(text, &plain)? {
                1 => Balance::Random,
                2 => Balance::LeastConn,
                3 => Balance::P2c,
                _ => Balance::RoundRobin,
            })
        }
    }
}

/// `client_ip`, `uri`, `header:NAME` or `cookie:NAME`.
pub(crate) fn hash_by(text: &str) -> Result<HashBy, Flaw> {
    if let Some(name) = text.strip_prefix("header:") {
        return token(name, "the name of a field").map(|name| HashBy::Header(name.to_ascii_lowercase()));
    }
    if let Some(name) = text.strip_prefix("cookie:") {
        return cookie_name(name).map(HashBy::Cookie);
    }
    match text {
        "client_ip" => Ok(HashBy::ClientIp),
        "uri" => Ok(HashBy::Uri),
        _ => Err(Flaw::new(format!("{} is nothing to hash by", show(text)))
            .help("write \"client_ip\", \"uri\", \"header:NAME\" or \"cookie:NAME\"")),
    }
}

/// The name of a cookie.
pub(crate) fn cookie_name(text: &str) -> Result<String, Flaw> {
    token(text, "the name of a cookie")
}

fn token(text: &str, what: &str) -> Result<String, Flaw> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(fits) {
        let flaw = Flaw::new(format!("{} is not {what}", show(text)));
        return Err(flaw.help("use 1 to 128 letters, digits and !#$%&'*+-.^_`|~"));
    }
    Ok(text.to_owned())
}

/// The target of a check, as it stands in the request line.
pub(crate) fn check_path(text: &str) -> Result<String, Flaw> {
    if !text.starts_with('/') {
        return Err(
            Flaw::new(format!("{} does not start with /", show(text))).help("write one such as \"/healthz\"")
        );
    }
    if text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        let flaw = Flaw::new(format!("{} is not the path of a request", show(text)));
        return Err(flaw.help("use visible ASCII without #, at most 1024; escape the rest, as in \"/a%20b\""));
    }
    Ok(text.to_owned())
}

/// The name of a gRPC service, such as `shop.Cart`.
pub(crate) fn service(text: &str) -> Result<String, Flaw> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if text.len() > 120 || !text.bytes().all(fits) {
        let flaw = Flaw::new(format!("{} is not the name of a service", show(text)));
        return Err(flaw.help("write one such as \"shop.Cart\"; \"\" is the server as a whole"));
    }
    Ok(text.to_owned())
}

/// A name or an address for the `Host` field.
pub(crate) fn check_host(text: &str) -> Result<String, Flaw> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => Ok(format!("[{v6}]")),
        Ok(IpAddr::V4(v4)) => Ok(v4.to_string()),
        Err(_) => host::name(text),
    }
}

/// `200` or `200-299`.
pub(crate) fn statuses(text: &str) -> Result<StatusRange, Flaw> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| match text.len() {
        3 if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<u16>().ok(),
        _ => None,
    };
    match (status(first), status(last)) {
        (Some(first @ 200..=599), Some(last @ 200..=599)) if first <= last => Ok(StatusRange { first, last }),
        _ => Err(Flaw::new(format!("{} is neither a status nor a range of them", show(text)))
            .help("write one such as \"200\" or \"200-299\"; statuses are 200 to 599")),
    }
}

/// A positive duration that `Max-Age` can express.
pub(crate) fn whole_seconds(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if time.subsec_millis() != 0 {
        return Err(Flaw::new(format!("{} is no whole number of seconds", show(text))));
    }
    Ok(time)
}

/// Checks that follow each other faster are load and not checks.
pub(crate) fn at_least_100ms(text: &str) -> Result<Duration, Flaw> {
    let time = duration::positive(text)?;
    if time < Duration::from_millis(100) {
        return Err(Flaw::new(format!("{} is too short", show(text))).help("choose 100ms or longer"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_words_of_others() {
        assert_eq!(balance("p2c").unwrap(), Balance::P2c);
        for (text, said) in [
            ("ip_hash", "hash = { by = \"client_ip\" }"),
            ("leastconn", "least_conn"),
            ("ewma", "p2c"),
            ("rond_robin", "did you mean \"round_robin\"?"),
        ] {
            assert!(balance(text).unwrap_err().help.unwrap().contains(said), "{text}");
        }
    }

    #[test]
    fn reads_what_to_hash_by() {
        assert_eq!(hash_by("header:X-User").unwrap(), HashBy::Header("x-user".into()));
        assert_eq!(hash_by("cookie:Sid").unwrap(), HashBy::Cookie("Sid".into()));
        for bad in ["", "ip", "header:", "header:a b", "cookie:a=b", "cookie:a;b"] {
            assert!(hash_by(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_statuses_and_ranges() {
        assert_eq!(statuses("204").unwrap(), StatusRange { first: 204, last: 204 });
        assert_eq!(statuses("200-399").unwrap(), StatusRange::GOOD);
        for bad in ["", "2xx", "100", "600", "300-200", "+20", "200-", "200-299-300", "0200"] {
            assert!(statuses(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_check_can_not_smuggle_a_second_request() {
        assert_eq!(check_path("/h?x=1").unwrap(), "/h?x=1");
        for bad in ["h", "", "/a b", "/a\r\nX: y", "/a#b", "/é"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_host("::1").unwrap(), "[::1]");
        assert!(check_host("a.test\r\nX: y").is_err());
    }
}
