//! Hop-by-hop fields of a response: what a gateway must not pass on (RFC 9110 section 7.6.1).
//!
//! Owns the list. Requests are cleaned by the framework's `HttpUpstreamRequestPolicy`, which also
//! keeps a WebSocket upgrade intact; nothing there cleans responses.

use http::HeaderMap;
use http::header::{self, HeaderName};

/// The fields of `response` to drop before it goes to the client.
///
/// `Transfer-Encoding` stays: the framework frames by it and drops it for HTTP/2 itself. With
/// `switching`, a 101 whose `Connection` and `Upgrade` are the point, nothing is dropped.
#[must_use]
pub fn response_fields_to_drop(response: &HeaderMap, switching: bool) -> Vec<HeaderName> {
    if switching {
        return Vec::new();
    }
    let mut drop = nominated(response);
    drop.extend(ALWAYS.iter().filter(|name| response.contains_key(*name)).cloned());
    drop
}

/// Fields named by `Connection`, less those a response can't do without.
fn nominated(response: &HeaderMap) -> Vec<HeaderName> {
    response
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse::<HeaderName>().ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect()
}

const ALWAYS: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::UPGRADE,
];

/// Framing and representation fields: an origin that nominates them is wrong, and obeying it would
/// change what the client reads.
const END_TO_END: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn drops_standard_and_nominated_fields_only() {
        let response = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("content-type", "text/plain"),
        ]);
        let dropped = response_fields_to_drop(&response, false);
        for name in ["connection", "x-secret", "keep-alive"] {
            assert!(dropped.iter().any(|field| field == name), "{name}");
        }
        assert!(!dropped.iter().any(|field| field == "content-type"));
    }

    #[test]
    fn keeps_framing_fields_that_an_origin_nominates() {
        let response = headers(&[("connection", "content-length"), ("content-length", "3")]);
        assert!(!response_fields_to_drop(&response, false).contains(&header::CONTENT_LENGTH));
    }

    #[test]
    fn keeps_the_upgrade_of_a_101() {
        let response = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        assert!(response_fields_to_drop(&response, true).is_empty());
    }
}
