//! Whose pages may use this site's answers: the CORS protocol (Fetch standard, section 3.3).
//!
//! Owns the compiled form of `cors`: what a preflight is answered with, and which fields every response
//! gets. What an origin server says by these fields is replaced, so that two voices never disagree.

use fluxheim_config as config;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

/// The rules of one route.
#[derive(Debug)]
pub struct Cors {
    any: bool,
    exact: Vec<String>,
    /// What stands before and after the labels that are left open.
    below: Vec<(String, String)>,
    credentials: bool,
    expose: Option<HeaderValue>,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// Fields that are set on a response, each in place of what is there.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

impl Cors {
    /// Compiles the rules.
    #[must_use]
    pub fn new(cors: &config::Cors) -> Self {
        let mut compiled = Self {
            any: false,
            exact: Vec::new(),
            below: Vec::new(),
            credentials: cors.credentials,
            expose: joined(&cors.expose),
            methods: joined(&cors.methods),
            headers: joined(&cors.headers),
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        };
        for origin in &cors.origins {
            match origin {
                config::Origin::Any => compiled.any = true,
                config::Origin::Exact(origin) => compiled.exact.push(origin.clone()),
                config::Origin::Below { scheme, rest } => compiled.below.push((scheme.clone(), rest.clone())),
            }
        }
        compiled.exact.sort_unstable();
        compiled
    }

    /// Whether pages of `origin` may use the answers; origins are compared byte by byte, as browsers do.
    fn admits(&self, origin: &str) -> bool {
        self.any
            || self.exact.binary_search_by(|known| known.as_str().cmp(origin)).is_ok()
            || self.below.iter().any(|(scheme, rest)| {
                let labels = origin.strip_prefix(scheme.as_str()).and_then(|o| o.strip_suffix(rest.as_str()));
                labels.is_some_and(is_labels)
            })
    }

    /// The fields for the answer to a preflight; `None` when the page may not.
    #[must_use]
    pub fn preflight(&self, request: &Parts) -> Option<Fields> {
        let mut fields = self.allow(&request.headers)?;
        let lists = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers),
        ];
        fields.extend(lists.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        fields.push((header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        Some(fields)
    }

    /// The fields for the response to any other request.
    #[must_use]
    pub fn response(&self, request: &HeaderMap) -> Fields {
        let mut fields = self.allow(request).unwrap_or_default();
        if let Some(expose) = self.expose.as_ref().filter(|_| !fields.is_empty()) {
            fields.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone()));
        }
        fields
    }

    fn allow(&self, request: &HeaderMap) -> Option<Fields> {
        let origin = origin(request)?;
        if !origin.to_str().is_ok_and(|origin| self.admits(origin)) {
            return None;
        }
        let everybody = self.any && !self.credentials;
        let allowed = if everybody { HeaderValue::from_static("*") } else { origin.clone() };
        let mut fields = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed)];
        if self.credentials {
            fields.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        Some(fields)
    }

    /// Whether responses differ by origin, so that a cache must keep them apart (RFC 9110 section
    /// 12.5.5): also those to requests that name none.
    #[must_use]
    pub const fn varies(&self) -> bool {
        !self.any
    }
}

/// Whether it asks for leave and for nothing else: such a request carries no credentials.
#[must_use]
pub fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The method that a preflight asks about.
#[must_use]
pub fn asked_method(request: &Parts) -> Option<Method> {
    let method = request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    is_preflight(request).then(|| Method::from_bytes(method.as_bytes()).ok())?
}

/// Every field of a response that speaks about CORS.
pub const RESPONSE_FIELDS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Whether `Vary` names the origin already.
#[must_use]
pub fn varies_by_origin(response: &HeaderMap) -> bool {
    let names = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"origin")
        })
    };
    response.get_all(header::VARY).iter().any(names)
}

/// The one `Origin`; a request with two was not written by a browser.
fn origin(request: &HeaderMap) -> Option<&HeaderValue> {
    let mut all = request.get_all(header::ORIGIN).iter();
    all.next().filter(|_| all.next().is_none())
}

fn is_labels(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    text.split('.').all(is_label)
}

/// A list as a field has it; nothing for an empty one.
fn joined(list: &[String]) -> Option<HeaderValue> {
    (!list.is_empty()).then(|| HeaderValue::from_str(&list.join(", ")).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use fluxheim_config::Source;

    use super::*;

    fn cors(text: &str) -> Cors {
        let text = format!("[server]\nhttp = [\"0.0.0.0:80\"]\n[defaults]\ncors = {{ {text} }}\n");
        let config = fluxheim_config::parse(&[Source { path: "f".into(), text }]).unwrap();
        Cors::new(config.defaults.cors.as_deref().unwrap())
    }

    fn request(method: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn text(fields: &Fields) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn admits_listed_origins_and_subdomains_and_nobody_who_looks_alike() {
        let cors = cors(
            "origins = [\"https://app.example\", \"https://*.example.com\", \"http://*.dev.test:3000\"]",
        );
        for origin in [
            "https://app.example",
            "https://a.example.com",
            "https://a.b.example.com",
            "http://x.dev.test:3000",
        ] {
            assert!(cors.admits(origin), "{origin}");
        }
        for origin in [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.test",
            "https://evilapp.example",
            "https://example.com",
            "https://evilexample.com",
            "https://.example.com",
            "https://evil.test/.example.com",
            "https://evil.test#.example.com",
            "https://evil.test\\.example.com",
            "https://u@.example.com",
            "http://x.dev.test",
            "null",
            "",
        ] {
            assert!(!cors.admits(origin), "{origin}");
        }
    }

    #[test]
    fn answers_a_preflight_with_everything_a_browser_asks_for() {
        let cors = cors(
            "origins = [\"https://app.example\"], methods = [\"PUT\"], headers = [\"X-Token\"], credentials = true",
        );
        let ask = request(
            "OPTIONS",
            &[("origin", "https://app.example"), ("access-control-request-method", "PUT")],
        );
        assert!(is_preflight(&ask));
        assert_eq!(
            text(&cors.preflight(&ask).unwrap()),
            [
                "access-control-allow-origin: https://app.example",
                "access-control-allow-credentials: true",
                "access-control-allow-methods: PUT",
                "access-control-allow-headers: x-token",
                "access-control-max-age: 600",
            ]
        );
        let stranger =
            request("OPTIONS", &[("origin", "https://evil.test"), ("access-control-request-method", "PUT")]);
        assert!(cors.preflight(&stranger).is_none());
    }

    #[test]
    fn only_what_a_browser_sends_for_it_is_a_preflight() {
        let asks = ("access-control-request-method", "PUT");
        assert!(!is_preflight(&request("OPTIONS", &[asks])));
        assert!(!is_preflight(&request("OPTIONS", &[("origin", "https://app.example")])));
        assert!(!is_preflight(&request("GET", &[("origin", "https://app.example"), asks])));
    }

    #[test]
    fn everybody_is_a_star_and_needs_no_vary() {
        let cors = cors("origins = [\"*\"], expose = [\"etag\"]");
        let page = request("GET", &[("origin", "https://any.test")]);
        assert_eq!(
            text(&cors.response(&page.headers)),
            ["access-control-allow-origin: *", "access-control-expose-headers: etag"]
        );
        assert!(!cors.varies());
        assert!(cors.response(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn a_stranger_and_one_with_two_origins_get_nothing() {
        let cors = cors("origins = [\"https://app.example\"], expose = [\"etag\"]");
        assert!(cors.varies());
        for fields in [
            &[("origin", "https://evil.test")][..],
            &[("origin", "https://app.example"), ("origin", "https://app.example")],
        ] {
            assert!(cors.response(&request("GET", fields).headers).is_empty(), "{fields:?}");
        }
    }

    #[test]
    fn knows_a_vary_that_is_there() {
        let vary = |value: &'static str| {
            let mut map = HeaderMap::new();
            map.append(header::VARY, HeaderValue::from_static("accept"));
            map.append(header::VARY, HeaderValue::from_static(value));
            varies_by_origin(&map)
        };
        assert!(vary("Accept-Encoding, ORIGIN") && vary("*"));
        assert!(!vary("x-origin") && !varies_by_origin(&HeaderMap::new()));
    }
}
