//! Whether a response is compressed on its way, and what its head then says.
//!
//! Owns the decision, from what was asked and what is answered. Compresses nothing. Follows RFC 9110
//! sections 8.4, 8.8.3, 12.5.3 and 12.5.5, and RFC 9111 section 5.2.2.6 (no-transform).

use std::sync::Arc;

use fluxheim_config::{Coding, Compression};
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, ETAG, IF_NONE_MATCH, SET_COOKIE, TRAILER, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::rewrite::accept;

/// What of a request bears on compressing its response.
#[derive(Debug, Clone)]
pub struct Asked {
    pub settings: Arc<Compression>,
    /// What the client takes; `None` sends the response as it is.
    coding: Option<Coding>,
    head: bool,
    /// The client has shown who it is.
    identified: bool,
    /// The request holds text that the response may repeat.
    input: bool,
    /// The client's entity tags, for a 304.
    known: Option<HeaderValue>,
}

impl Asked {
    /// Reads the request.
    #[must_use]
    pub fn of(request: &Parts, settings: Arc<Compression>) -> Self {
        let fields = &request.headers;
        // HTTP/1.0 knows no end of a body but its length or the connection's.
        let coding = (request.version != Version::HTTP_10)
            .then(|| accept::coding(fields, &settings.algorithms))
            .flatten();
        let body = !matches!(request.method, Method::GET | Method::HEAD);
        Self {
            coding,
            head: request.method == Method::HEAD,
            identified: fields.contains_key(AUTHORIZATION) || fields.contains_key(COOKIE),
            input: body || request.uri.query().is_some_and(|query| !query.is_empty()),
            known: fields.get(IF_NONE_MATCH).cloned(),
            settings,
        }
    }

    /// Whether the request was HEAD, whose response has the head of a GET's and no body.
    #[must_use]
    pub const fn is_head(&self) -> bool {
        self.head
    }

    /// What is done with a response of `status` and `fields`.
    #[must_use]
    pub fn decide(&self, status: StatusCode, fields: &HeaderMap) -> Decision {
        if status == StatusCode::NOT_MODIFIED {
            return if self.knows_weak(fields) { Decision::Weaken } else { Decision::Leave };
        }
        if !has_plain_body(status, fields) || !self.is_worth_it(fields) {
            return Decision::Leave;
        }
        match self.coding {
            Some(coding) if self.settings.personal || !self.may_leak(fields) => Decision::Compress(coding),
            _ => Decision::Vary,
        }
    }

    fn is_worth_it(&self, fields: &HeaderMap) -> bool {
        let length = text(fields, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let kind = text(fields, &CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        length.is_none_or(|length| length >= self.settings.min_size)
            && !is_message_stream(kind)
            && self.settings.types.iter().any(|range| range.holds(kind))
    }

    /// Whether the length of the packed response could tell somebody a secret in it, guess by guess
    /// (BREACH, CVE-2013-3587): that takes a response made for one person and text of the attacker's in it.
    fn may_leak(&self, fields: &HeaderMap) -> bool {
        let personal = || {
            self.identified
                || fields.contains_key(SET_COOKIE)
                || has_directive(fields, "private")
                || has_directive(fields, "no-store")
        };
        self.input && personal()
    }

    /// Whether the client names the weak form of this response's tag, as it got it from us.
    fn knows_weak(&self, fields: &HeaderMap) -> bool {
        let known = self.known.as_ref().and_then(|known| known.to_str().ok());
        let tag = text(fields, &ETAG).filter(|tag| tag.starts_with('"'));
        known.zip(tag).is_some_and(|(known, tag)| known.contains(&format!("W/{tag}")))
    }
}

/// What is done with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Leave,
    /// It goes as it is; another client, or another request, would have got it packed.
    Vary,
    /// A 304: its tag is that of the packed response.
    Weaken,
    Compress(Coding),
}

impl Decision {
    /// Changes the head accordingly.
    pub fn apply(self, fields: &mut HeaderMap) {
        match self {
            Self::Leave => {}
            Self::Vary => add_vary(fields),
            Self::Weaken => {
                add_vary(fields);
                weaken(fields);
            }
            Self::Compress(coding) => {
                add_vary(fields);
                weaken(fields);
                fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
                fields.remove(CONTENT_LENGTH);
                // A range would be one of the plain form.
                fields.remove(ACCEPT_RANGES);
            }
        }
    }
}

/// Whether there is a body, whole, as it is, that nothing forbids to change and nothing vouches for.
fn has_plain_body(status: StatusCode, fields: &HeaderMap) -> bool {
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT);
    !bodiless
        && !UNTOUCHED.iter().any(|name| fields.contains_key(name))
        && !has_directive(fields, "no-transform")
}

/// What is sent and read message by message, often for ever.
fn is_message_stream(kind: &str) -> bool {
    let grpc = kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case("application/grpc"));
    grpc || kind.eq_ignore_ascii_case("text/event-stream")
}

fn has_directive(fields: &HeaderMap, directive: &str) -> bool {
    let lines = fields.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .any(|found| found.split('=').next().unwrap_or_default().trim().eq_ignore_ascii_case(directive))
}

fn add_vary(fields: &mut HeaderMap) {
    let lines = fields.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    let mut names = lines.flat_map(|line| line.split(','));
    if !names.any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("accept-encoding")) {
        fields.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// The packed bytes may differ where the plain ones don't; a tag that is none goes.
fn weaken(fields: &mut HeaderMap) {
    let weak = match text(fields, &ETAG) {
        Some(tag) if tag.starts_with('"') => HeaderValue::try_from(format!("W/{tag}")).ok(),
        Some(tag) if tag.starts_with("W/\"") => return,
        _ => None,
    };
    match weak {
        Some(weak) => fields.insert(ETAG, weak),
        None => fields.remove(ETAG),
    };
}

fn text<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f str> {
    fields.get(name)?.to_str().ok()
}

/// Fields that a response in another form would make untrue: digests and signatures are of the bytes as
/// sent (RFC 9530, RFC 9421), trailers of what is known only at the end.
static UNTOUCHED: [HeaderName; 9] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    TRAILER,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("signature"),
    HeaderName::from_static("grpc-status"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str, given: &[(&str, &str)], settings: Compression) -> Asked {
        let mut request = http::Request::builder().uri(target);
        for (name, value) in given {
            request = request.header(*name, *value);
        }
        Asked::of(&request.body(()).unwrap().into_parts().0, Arc::new(settings))
    }

    fn fields(given: &[(&str, &str)]) -> HeaderMap {
        let field =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        given.iter().map(field).collect()
    }

    const GZIP: (&str, &str) = ("accept-encoding", "gzip");
    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    const PACK: Decision = Decision::Compress(Coding::Gzip);

    fn decide(given: &[(&str, &str)]) -> Decision {
        let fields = fields(&[&[HTML][..], given].concat());
        asked("/", &[GZIP], Compression::default()).decide(StatusCode::OK, &fields)
    }

    #[test]
    fn compresses_text_that_is_long_enough_and_untouched() {
        assert_eq!(decide(&[]), PACK);
        assert_eq!(decide(&[("content-length", "1024")]), PACK);
        assert_eq!(decide(&[("content-length", "1023")]), Decision::Leave);
        for (name, value) in [
            ("content-encoding", "br"),
            ("content-range", "bytes 0-1/2"),
            ("cache-control", "public, No-Transform"),
            ("content-digest", "sha-256=:x:"),
            ("trailer", "x"),
        ] {
            assert_eq!(decide(&[(name, value)]), Decision::Leave, "{name}");
        }
    }

    #[test]
    fn leaves_what_has_no_body_of_its_own_or_another_type() {
        let asked = asked("/", &[GZIP], Compression::default());
        for status in [101, 103, 204, 205, 206, 304] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(asked.decide(status, &fields(&[HTML])), Decision::Leave, "{status}");
        }
        assert_eq!(asked.decide(StatusCode::NOT_FOUND, &fields(&[HTML])), PACK);
        for kind in ["image/png", "text/event-stream", "application/grpc", "application/grpc-web+json", ""] {
            let fields = fields(&[("content-type", kind)]);
            assert_eq!(asked.decide(StatusCode::OK, &fields), Decision::Leave, "{kind}");
        }
        assert_eq!(asked.decide(StatusCode::OK, &fields(&[("content-type", "application/ld+json")])), PACK);
    }

    #[test]
    fn says_that_it_varies_where_the_client_takes_no_coding() {
        let plain = asked("/", &[], Compression::default());
        assert_eq!(plain.decide(StatusCode::OK, &fields(&[HTML])), Decision::Vary);
        let request = http::Request::builder().version(Version::HTTP_10).header(GZIP.0, GZIP.1);
        let old = Asked::of(&request.body(()).unwrap().into_parts().0, Arc::default());
        assert_eq!(old.decide(StatusCode::OK, &fields(&[HTML])), Decision::Vary);
    }

    #[test]
    fn withholds_it_from_secrets_beside_input() {
        let decide = |target: &str, given: &[(&str, &str)], answer: &[(&str, &str)], personal: bool| {
            let settings = Compression { personal, ..Compression::default() };
            let fields = fields(&[&[HTML][..], answer].concat());
            asked(target, &[&[GZIP][..], given].concat(), settings).decide(StatusCode::OK, &fields)
        };
        let cookie = &[("cookie", "id=1")][..];
        assert_eq!(decide("/?q=x", &[], &[], false), PACK);
        assert_eq!(decide("/", cookie, &[], false), PACK);
        assert_eq!(decide("/?", cookie, &[], false), PACK);
        assert_eq!(decide("/?q=x", cookie, &[], false), Decision::Vary);
        assert_eq!(decide("/?q=x", cookie, &[], true), PACK);
        assert_eq!(decide("/?q=x", &[("authorization", "Bearer x")], &[], false), Decision::Vary);
        for (name, value) in
            [("set-cookie", "id=1"), ("cache-control", "private"), ("cache-control", "no-store")]
        {
            assert_eq!(decide("/?q=x", &[], &[(name, value)], false), Decision::Vary, "{name}: {value}");
        }
    }

    #[test]
    fn the_head_tells_of_it() {
        let mut head = fields(&[
            ("etag", "\"x\""),
            ("content-length", "5000"),
            ("accept-ranges", "bytes"),
            ("vary", "Origin"),
        ]);
        PACK.apply(&mut head);
        assert_eq!(head.get("etag").unwrap(), "W/\"x\"");
        assert_eq!(head.get("content-encoding").unwrap(), "gzip");
        assert!(!head.contains_key("content-length") && !head.contains_key("accept-ranges"));
        assert_eq!(head.get_all("vary").iter().collect::<Vec<_>>(), ["Origin", "Accept-Encoding"]);
        let mut again = fields(&[("vary", "accept-encoding"), ("etag", "broken")]);
        PACK.apply(&mut again);
        assert_eq!(again.get_all("vary").iter().count(), 1);
        assert!(!again.contains_key("etag"));
    }

    #[test]
    fn a_304_names_the_tag_that_the_client_knows() {
        let decide = |known| {
            asked("/", &[GZIP, ("if-none-match", known)], Compression::default())
                .decide(StatusCode::NOT_MODIFIED, &fields(&[("etag", "\"x\"")]))
        };
        assert_eq!(decide("\"a\", W/\"x\""), Decision::Weaken);
        assert_eq!(decide("\"x\""), Decision::Leave);
    }
}
