//! Another service's word on whether a request may pass.
//!
//! Owns what the service is told, how its answer is read, and what two requests must have in common to
//! share a permit. Asks nobody.

use fluxheim_config::{AuthKey, ForwardAuth};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::policy::keyed::{Digest, DigestKey};
use crate::types::ClientIp;

/// The rules of one route.
#[derive(Debug)]
pub struct Forward {
    pub upstream: usize,
    pub path: String,
    pub timeout: std::time::Duration,
    /// Tells the permits of one set of rules from those of another.
    pub id: u64,
    sent: Vec<HeaderName>,
    told: Vec<HeaderName>,
    cache: Option<(std::time::Duration, Vec<AuthKey>)>,
}

/// What is known of a request beside its fields.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub client: ClientIp,
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// 2xx
    Permits,
    /// 401, 403 and redirections: the client gets that answer.
    Denies,
    /// Anything else is no word at all, and nobody comes in.
    Nonsense,
}

/// What a status means.
#[must_use]
pub fn word(status: StatusCode) -> Word {
    match status.as_u16() {
        200..=299 => Word::Permits,
        // 304 answers a condition that was never sent on.
        301..=303 | 307 | 308 | 401 | 403 => Word::Denies,
        _ => Word::Nonsense,
    }
}

/// Fields of a denial that the client gets.
pub const PASSED_ON: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::WWW_AUTHENTICATE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
];

/// Most bytes of an answer: a login page, at the most.
pub const MOST_BYTES: usize = 64 << 10;

impl Forward {
    /// Compiles the rules; `id` is no other's.
    #[must_use]
    pub fn new(forward: &ForwardAuth, id: u64) -> Self {
        let names = |names: &[String]| names.iter().filter_map(|name| name.parse().ok()).collect();
        Self {
            upstream: forward.upstream,
            path: forward.path.clone(),
            timeout: forward.timeout,
            id,
            sent: names(&forward.request_headers),
            told: names(&forward.response_headers),
            cache: forward.cache.as_ref().map(|cache| (cache.ttl, cache.by.clone())),
        }
    }

    /// The client's fields that the service gets.
    pub fn sent<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        self.sent.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)))
    }

    /// The fields of its answer that the upstream gets: each once, since the second of two may be what
    /// somebody else had added.
    #[must_use]
    pub fn told(&self, answer: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let field = |name: &HeaderName| Some((name.clone(), answer.get(name)?.clone()));
        self.told.iter().filter_map(field).collect()
    }

    /// The names of those fields.
    pub(super) fn names(&self) -> impl Iterator<Item = HeaderName> {
        self.told.iter().cloned()
    }

    /// How long a permit holds.
    #[must_use]
    pub fn ttl(&self) -> Option<std::time::Duration> {
        self.cache.as_ref().map(|(ttl, _)| *ttl)
    }

    /// What a permit for this request is kept by; `None` where none is kept, or the request has none of
    /// the fields that could tell one user from another.
    #[must_use]
    pub fn digest(
        &self,
        key: &DigestKey,
        headers: &HeaderMap,
        asked: Asked<'_>,
        told: &[(HeaderName, String)],
    ) -> Option<Digest> {
        let (_, by) = self.cache.as_ref()?;
        let mut parts: Vec<Vec<u8>> = vec![b"forward_auth".to_vec(), self.id.to_be_bytes().to_vec()];
        // Where the client thinks it is may differ from where it came in, if a trusted proxy says so.
        for (name, value) in told.iter().filter(|(name, _)| PLACE.contains(&name.as_str())) {
            parts.push(name.as_str().as_bytes().to_vec());
            parts.push(value.as_bytes().to_vec());
        }
        let mut named = false;
        for part in by {
            match part {
                AuthKey::ClientIp => parts.push(asked.client.0.to_canonical().to_string().into_bytes()),
                AuthKey::Method => parts.push(asked.method.as_bytes().to_vec()),
                AuthKey::Host => parts.push(asked.host.as_bytes().to_vec()),
                AuthKey::Path => parts.push(asked.path.as_bytes().to_vec()),
                AuthKey::Target => {
                    parts.push(asked.path.as_bytes().to_vec());
                    // With and without an empty query are two targets.
                    parts.push(vec![u8::from(asked.query.is_some())]);
                    parts.push(asked.query.unwrap_or_default().as_bytes().to_vec());
                }
                AuthKey::Header(name) => {
                    let values: Vec<_> = headers.get_all(name.as_str()).iter().collect();
                    named |= !values.is_empty();
                    parts.push((values.len() as u64).to_be_bytes().to_vec());
                    parts.extend(values.iter().map(|value| value.as_bytes().to_vec()));
                }
            }
        }
        named.then(|| key.digest(parts.iter().map(Vec::as_slice)))
    }
}

/// What the service is told of the place that was asked for, whatever `by` says.
const PLACE: [&str; 2] = ["x-forwarded-host", "x-forwarded-proto"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fluxheim_config::AuthCache;

    use super::*;

    fn forward(by: Vec<AuthKey>, id: u64) -> Forward {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rules = ForwardAuth {
            upstream: 0,
            path: "/verify".into(),
            request_headers: texts(&["cookie", "authorization"]),
            response_headers: texts(&["remote-user", "remote-groups"]),
            timeout: Duration::from_secs(5),
            cache: Some(AuthCache { ttl: Duration::from_secs(10), by }),
        };
        Forward::new(&rules, id)
    }

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    const ASKED: Asked<'_> = Asked {
        client: ClientIp(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1))),
        method: "GET",
        host: "a.test",
        path: "/x",
        query: None,
    };

    #[test]
    fn reads_an_answer_by_its_status_alone() {
        for (status, meant) in [
            (200, Word::Permits),
            (204, Word::Permits),
            (302, Word::Denies),
            (401, Word::Denies),
            (403, Word::Denies),
            (304, Word::Nonsense),
            (404, Word::Nonsense),
            (429, Word::Nonsense),
            (500, Word::Nonsense),
        ] {
            assert_eq!(word(StatusCode::from_u16(status).unwrap()), meant, "{status}");
        }
    }

    #[test]
    fn sends_and_tells_only_what_is_named() {
        let forward = forward(vec![], 1);
        let client =
            headers(&[("cookie", "a"), ("cookie", "b"), ("x-forwarded-for", "10.0.0.1"), ("accept", "*")]);
        let sent: Vec<_> = forward.sent(&client).map(|(_, value)| value.to_str().unwrap()).collect();
        assert_eq!(sent, ["a", "b"]);
        let answer = headers(&[("remote-user", "ann"), ("remote-user", "root"), ("x-other", "1")]);
        let told = forward.told(&answer);
        assert_eq!(told, [(HeaderName::from_static("remote-user"), HeaderValue::from_static("ann"))]);
    }

    #[test]
    fn a_kept_permit_is_nobody_elses() {
        let key = DigestKey::random().unwrap();
        let by = || {
            vec![AuthKey::Header("cookie".into()), AuthKey::Header("authorization".into()), AuthKey::Target]
        };
        let (rules, others) = (forward(by(), 1), forward(by(), 2));
        let digest = |fields: &[(&str, &str)], asked| rules.digest(&key, &headers(fields), asked, &[]);
        let ann = [("cookie", "s=ann")];
        assert!(digest(&ann, ASKED).is_some());
        assert_eq!(
            digest(&ann, ASKED),
            digest(&ann, Asked { client: ClientIp([10, 0, 0, 2].into()), ..ASKED })
        );
        assert_eq!(digest(&[], ASKED), None);
        assert_eq!(digest(&[("accept", "*")], ASKED), None);
        for fields in [
            &[("cookie", "s=bob")][..],
            &[("authorization", "s=ann")],
            &[("cookie", "s=ann"), ("authorization", "")],
            &[("cookie", "s="), ("cookie", "ann")],
        ] {
            assert_ne!(digest(fields, ASKED), digest(&ann, ASKED), "{fields:?}");
        }
        for asked in [
            Asked { path: "/y", ..ASKED },
            Asked { query: Some(""), ..ASKED },
            Asked { path: "/", query: Some("x"), ..ASKED },
        ] {
            assert_ne!(digest(&ann, asked), digest(&ann, ASKED), "{asked:?}");
        }
        let told = |host: &str| [(HeaderName::from_static("x-forwarded-host"), host.to_owned())];
        let at = |host: &str| rules.digest(&key, &headers(&ann), ASKED, &told(host));
        assert_ne!(at("a.test"), at("b.test"));
        assert_ne!(others.digest(&key, &headers(&ann), ASKED, &[]), digest(&ann, ASKED));
    }
}
