//! Who the client is, and what the upstream is told about it.
//!
//! Owns the `X-Forwarded-*`, `X-Real-IP` and `Forwarded` (RFC 7239) rules: a peer outside
//! `trusted_proxies` is never believed, and what it sent is replaced.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;

use crate::types::{ClientIp, Host, PeerIp, Scheme, field};

/// What is known of a request before any header is believed.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    pub peer: PeerIp,
    pub scheme: Scheme,
    pub host: &'a Host,
    /// Port of the listener that took the connection.
    pub port: u16,
}

/// Fields to set, replacing all of that name, and fields to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    pub set: Vec<(HeaderName, String)>,
    pub remove: Vec<HeaderName>,
}

/// The address that the request is taken to come from: the last one in `X-Forwarded-For` which is
/// not a trusted proxy, if the peer is one; otherwise the peer.
#[must_use]
pub fn client_ip(headers: &HeaderMap, peer: PeerIp, trusted: &[IpNet]) -> ClientIp {
    if !is_trusted(peer.0, trusted) {
        return ClientIp(canonical(peer.0));
    }
    let mut client = peer.0;
    for hop in list(headers, &X_FORWARDED_FOR).into_iter().rev() {
        // What can't be read ends the chain that can be believed.
        let Some(address) = parse_address(&hop) else { break };
        client = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    ClientIp(canonical(client))
}

/// The scheme that the client used: a trusted proxy's word, where it gives one, else the connection's.
#[must_use]
pub fn client_scheme(headers: &HeaderMap, peer: PeerIp, scheme: Scheme, trusted: &[IpNet]) -> Scheme {
    if !is_trusted(peer.0, trusted) {
        return scheme;
    }
    match single(headers, &X_FORWARDED_PROTO).map(|proto| proto.to_ascii_lowercase()).as_deref() {
        Some("https" | "wss") => Scheme::Https,
        Some("http" | "ws") => Scheme::Http,
        _ => scheme,
    }
}

/// What to change in the request that goes to the upstream.
#[must_use]
pub fn edits(headers: &HeaderMap, hop: Hop<'_>, client: ClientIp, trusted: &[IpNet]) -> Edits {
    let believed = is_trusted(hop.peer.0, trusted);
    let kept = |name: &HeaderName| believed.then(|| single(headers, name)).flatten();
    let mut chain = if believed { list(headers, &X_FORWARDED_FOR) } else { Vec::new() };
    chain.push(canonical(hop.peer.0).to_string());
    let mut set = vec![
        (X_FORWARDED_FOR, chain.join(", ")),
        (X_FORWARDED_PROTO, kept(&X_FORWARDED_PROTO).unwrap_or_else(|| hop.scheme.to_string())),
        (X_FORWARDED_HOST, kept(&X_FORWARDED_HOST).unwrap_or_else(|| hop.host.to_string())),
        (X_FORWARDED_PORT, kept(&X_FORWARDED_PORT).unwrap_or_else(|| hop.port.to_string())),
        (X_REAL_IP, client.0.to_string()),
    ];
    if believed && headers.contains_key(&FORWARDED) {
        let mut elements = list(headers, &FORWARDED);
        elements.push(element(hop));
        set.push((FORWARDED, elements.join(", ")));
    }
    let is_set = |name: &HeaderName| set.iter().any(|(field, _)| field == name);
    let remove = headers.keys().filter(|name| !is_set(name) && claims(name, believed)).cloned().collect();
    Edits { set, remove }
}

/// Whether a field claims something about the client that this peer may not claim. `X_Real_IP`, `X.Real.IP`
/// and the like are the same field to CGI, WSGI and PHP, and no proxy sends them: they always go.
fn claims(name: &HeaderName, believed: bool) -> bool {
    let dashed = field::dashed(name.as_str());
    let disguised = matches!(dashed, Cow::Owned(_));
    if believed && !disguised {
        return false;
    }
    dashed.starts_with("x-forwarded-") || matches!(dashed.as_ref(), "x-real-ip" | "forwarded")
}

/// Our own element of `Forwarded`; IPv6 goes in brackets and quotes (RFC 7239 section 6).
fn element(hop: Hop<'_>) -> String {
    let node = match canonical(hop.peer.0) {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let host = hop.host.as_str();
    let host = if host.contains(':') { format!("\"[{host}]\"") } else { host.to_owned() };
    format!("for={node};host={host};proto={}", hop.scheme)
}

/// Whether what `address` says of a request is believed.
#[must_use]
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = canonical(address);
    trusted.iter().any(|net| net.contains(&address))
}

/// `::ffff:10.0.0.1` is 10.0.0.1: a dual-stack listener must not dodge the operator's list.
const fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The elements of a list field over all its lines, in order.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|element| {
            str::from_utf8(element.trim_ascii()).ok().filter(|text| text.is_ascii()).unwrap_or(UNREADABLE)
        })
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What stands in for an element that is no text: it ends the chain that can be believed, and must
/// not vanish from it (RFC 7239 section 6.2).
const UNREADABLE: &str = "unknown";

/// A field's value if it stands there exactly once and is no list.
fn single(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?.trim();
    (all.next().is_none() && !value.is_empty() && !value.contains(',')).then(|| value.to_owned())
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        map
    }

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap()]
    }

    fn peer(text: &str) -> PeerIp {
        PeerIp(text.parse().unwrap())
    }

    fn edited(fields: &[(&'static str, &'static str)], from: &str) -> Edits {
        let map = headers(fields);
        let host = Host::parse("a.test").unwrap();
        let hop = Hop { peer: peer(from), scheme: Scheme::Https, host: &host, port: 8443 };
        edits(&map, hop, client_ip(&map, hop.peer, &trusted()), &trusted())
    }

    fn value<'a>(edits: &'a Edits, name: &str) -> &'a str {
        &edits.set.iter().find(|(field, _)| field == name).unwrap().1
    }

    const SPOOFED: &[(&str, &str)] = &[
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "ftp"),
        ("x-forwarded-host", "evil.test"),
        ("x-real-ip", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
    ];

    #[test]
    fn replaces_everything_an_untrusted_peer_claims() {
        let edits = edited(SPOOFED, "192.0.2.7");
        assert_eq!(value(&edits, "x-forwarded-for"), "192.0.2.7");
        assert_eq!(value(&edits, "x-forwarded-proto"), "https");
        assert_eq!(value(&edits, "x-forwarded-host"), "a.test");
        assert_eq!(value(&edits, "x-forwarded-port"), "8443");
        assert_eq!(value(&edits, "x-real-ip"), "192.0.2.7");
        assert_eq!(edits.remove, [FORWARDED]);
    }

    #[test]
    fn removes_every_disguise_of_a_claim() {
        let twins = [
            ("x_forwarded_for", "6.6.6.6"),
            ("x-real_ip", "6.6.6.6"),
            ("x.real.ip", "6.6.6.6"),
            ("x-forwarded-prefix", "/x"),
            ("x-other", "1"),
        ];
        let removed: Vec<_> = edited(&twins, "192.0.2.7").remove;
        assert_eq!(removed.len(), 4, "{removed:?}");
        let removed: Vec<_> = edited(&twins, "10.0.0.9").remove;
        assert_eq!(removed.len(), 3, "{removed:?}");
    }

    #[test]
    fn stops_at_an_element_that_is_no_text() {
        let mut map = HeaderMap::new();
        map.append(X_FORWARDED_FOR, http::HeaderValue::from_bytes(b"\xff, 198.51.100.7").unwrap());
        assert_eq!(client_ip(&map, peer("10.0.0.9"), &trusted()).0.to_string(), "198.51.100.7");
        let mut map = HeaderMap::new();
        map.append(X_FORWARDED_FOR, http::HeaderValue::from_bytes(b"1.2.3.4, \xff, 10.1.1.1").unwrap());
        assert_eq!(client_ip(&map, peer("10.0.0.9"), &trusted()).0.to_string(), "10.1.1.1");
    }

    #[test]
    fn believes_and_extends_what_a_trusted_proxy_says() {
        let edits = edited(SPOOFED, "10.0.0.9");
        assert_eq!(value(&edits, "x-forwarded-for"), "1.2.3.4, 10.0.0.9");
        assert_eq!(value(&edits, "x-forwarded-proto"), "ftp");
        assert_eq!(value(&edits, "x-forwarded-host"), "evil.test");
        assert_eq!(value(&edits, "x-real-ip"), "1.2.3.4");
        assert_eq!(value(&edits, "forwarded"), "for=1.2.3.4, for=10.0.0.9;host=a.test;proto=https");
    }

    #[test]
    fn takes_the_last_untrusted_address_of_the_chain() {
        let from = |chain: &'static str| {
            client_ip(&headers(&[("x-forwarded-for", chain)]), peer("10.0.0.9"), &trusted()).0.to_string()
        };
        assert_eq!(from("6.6.6.6, 1.2.3.4, 10.1.1.1"), "1.2.3.4");
        assert_eq!(from("10.2.2.2, 10.1.1.1"), "10.2.2.2");
        assert_eq!(from("garbage, 10.1.1.1"), "10.1.1.1");
        assert_eq!(from("1.2.3.4:5678"), "1.2.3.4");
        assert_eq!(from("[2001:db8::1]:443"), "2001:db8::1");
    }

    #[test]
    fn sees_through_mapped_addresses() {
        assert_eq!(client_ip(&HeaderMap::new(), peer("::ffff:192.0.2.7"), &[]).0.to_string(), "192.0.2.7");
        let map = headers(&[("x-forwarded-for", "1.2.3.4")]);
        assert_eq!(client_ip(&map, peer("::ffff:10.0.0.9"), &trusted()).0.to_string(), "1.2.3.4");
    }

    #[test]
    fn does_not_keep_doubled_or_listed_single_fields() {
        let edits = edited(&[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")], "10.0.0.9");
        assert_eq!(value(&edits, "x-forwarded-proto"), "https");
        let edits = edited(&[("x-forwarded-host", "a, b")], "10.0.0.9");
        assert_eq!(value(&edits, "x-forwarded-host"), "a.test");
    }

    #[test]
    fn believes_trusted_proxies_about_the_scheme() {
        let scheme = |from: &str, says: &'static str| {
            let map = headers(&[("x-forwarded-proto", says)]);
            client_scheme(&map, peer(from), Scheme::Http, &trusted())
        };
        assert_eq!(scheme("10.0.0.9", "HTTPS"), Scheme::Https);
        assert_eq!(scheme("192.0.2.7", "https"), Scheme::Http);
        assert_eq!(scheme("10.0.0.9", "https, http"), Scheme::Http);
    }

    #[test]
    fn quotes_ipv6_in_forwarded() {
        let host = Host::parse("[::1]:80").unwrap();
        let hop = Hop { peer: peer("2001:db8::7"), scheme: Scheme::Http, host: &host, port: 80 };
        assert_eq!(element(hop), "for=\"[2001:db8::7]\";host=\"[::1]\";proto=http");
    }
}
