//! Admission: what may be asked of this server at all.
//!
//! Owns the checks on a request's head and the one value later stages read. What is ambiguous is
//! refused, never reinterpreted (RFC 9110 section 7.2). How HTTP/1 requests are framed is judged before,
//! in `wire`; rules that HTTP/2 shares with it are asked of it. No framework in here.

use fluxheim_config::{Ambiguous, Limits, Policy, Underscores};
use http::request::Parts;
use http::{HeaderMap, header};

use crate::types::{Host, HostError, Path};
use crate::wire;

/// A request head that passed; made only by [`admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub host: Host,
    /// What routes match, files are found by and the upstream gets.
    pub path: Path,
    /// What `Content-Length` says.
    pub declared_body: Option<u64>,
}

/// Why a request is refused at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400
    #[error("the request has no Host")]
    NoHost,
    /// 400
    #[error("the request has more than one Host")]
    ManyHosts,
    /// 400
    #[error("the Host is not valid: {0}")]
    BadHost(#[from] HostError),
    /// 400
    #[error("the path is not absolute")]
    RelativePath,
    /// 400
    #[error("the path has a dot segment, a NUL, a backslash or a broken escape")]
    UnsafePath,
    /// 400
    #[error("the path is not UTF-8, which its route does not take")]
    NotUtf8,
    /// 400
    #[error("the path that the route makes of this one has a dot segment or a broken escape")]
    UnsafeRewrite,
    /// 400
    #[error("a field name has an underscore, which the route refuses")]
    Underscore,
    /// 400
    #[error("the Content-Length is not one number")]
    BadLength,
    /// 421: what the client may do is to ask again over a connection of its own (RFC 9110 section 15.5.20).
    #[error("the connection was made for another host, and its certificate is not for this one")]
    Misdirected,
    /// 405: TRACE echoes what it was sent, cookies included (RFC 9110 section 9.3.8).
    #[error("TRACE and CONNECT are not served")]
    Method,
    /// 414
    #[error("the request target is over max_uri_size, {limit} bytes")]
    TargetTooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// 431
    #[error("the header fields are over the limit of {limit} bytes")]
    HeaderTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// 431
    #[error("there are more than {limit} header fields")]
    TooManyFields {
        /// Fields allowed.
        limit: usize,
    },
}

/// Checks a request's head.
///
/// # Errors
/// The first [`Refusal`] that applies.
pub fn admit(head: &Parts, limits: &Limits) -> Result<Admitted, Refusal> {
    fits(head, limits)?;
    if !wire::serves(head.method.as_str().as_bytes()) {
        return Err(Refusal::Method);
    }
    let host = Host::parse(authority(head)?)?;
    let path = head.uri.path();
    if !path.starts_with('/') {
        return Err(Refusal::RelativePath);
    }
    let path = Path::parse(path).ok_or(Refusal::UnsafePath)?;
    Ok(Admitted { host, path, declared_body: declared_body(&head.headers)? })
}

/// What only the route can tell of an admitted head.
///
/// # Errors
/// The first [`Refusal`] that applies.
pub fn suits(head: &Parts, admitted: Option<&Admitted>, policy: &Policy) -> Result<(), Refusal> {
    if policy.non_utf8_path == Ambiguous::Refuse && admitted.is_some_and(|admitted| !admitted.path.is_utf8())
    {
        return Err(Refusal::NotUtf8);
    }
    let has_underscore = || head.headers.keys().any(|name| name.as_str().contains('_'));
    if policy.underscores_in_headers == Underscores::Refuse && has_underscore() {
        return Err(Refusal::Underscore);
    }
    Ok(())
}

fn fits(head: &Parts, limits: &Limits) -> Result<(), Refusal> {
    if head.headers.len() > limits.max_header_count {
        return Err(Refusal::TooManyFields { limit: limits.max_header_count });
    }
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.max_uri_size {
        return Err(Refusal::TargetTooLong { limit: limits.max_uri_size });
    }
    let line = head.method.as_str().len() + target + REQUEST_LINE_REST;
    let fields: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_REST).sum();
    if line + fields > limits.max_header_size {
        return Err(Refusal::HeaderTooLarge { limit: limits.max_header_size });
    }
    Ok(())
}

/// `:authority` or an absolute target goes before `Host` (RFC 9113 section 8.3.1, RFC 9112 3.2.2);
/// the framework has checked that they agree.
fn authority(head: &Parts) -> Result<&str, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::ManyHosts);
    }
    match (head.uri.authority(), host) {
        (Some(authority), _) => Ok(authority.as_str()),
        (None, Some(host)) => host.to_str().map_err(|_| Refusal::BadHost(HostError::Character)),
        (None, None) => Err(Refusal::NoHost),
    }
}

fn declared_body(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Even the same number twice: one of the two was not meant for us (RFC 9110 section 8.6).
    if values.next().is_some() {
        return Err(Refusal::BadLength);
    }
    wire::content_length(value.as_bytes()).map(Some).ok_or(Refusal::BadLength)
}

/// Two spaces, `HTTP/1.1` and CRLF.
const REQUEST_LINE_REST: usize = 12;
/// Colon, space and CRLF.
const FIELD_REST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { max_header_size: 1024, max_header_count: 10, ..Limits::default() }
    }

    fn judge(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<Admitted, Refusal> {
        parts(method, target, fields).1
    }

    fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> (Parts, Result<Admitted, Refusal>) {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let admitted = admit(&parts, &limits());
        (parts, admitted)
    }

    const HOST: (&str, &str) = ("host", "A.test:8080");

    #[test]
    fn gives_the_host_lower_cased_and_the_declared_length() {
        let admitted = judge("GET", "/a%20b?x=1", &[HOST, ("content-length", "12")]).unwrap();
        assert_eq!(admitted.host.as_str(), "a.test");
        assert_eq!(admitted.path.as_str(), "/a%20b");
        assert_eq!(admitted.declared_body, Some(12));
    }

    #[test]
    fn refuses_a_missing_doubled_or_malformed_host() {
        assert_eq!(judge("GET", "/", &[]), Err(Refusal::NoHost));
        assert_eq!(judge("GET", "/", &[HOST, HOST]), Err(Refusal::ManyHosts));
        assert!(matches!(judge("GET", "/", &[("host", "a/b")]), Err(Refusal::BadHost(_))));
    }

    #[test]
    fn takes_the_authority_of_an_absolute_target() {
        assert_eq!(judge("GET", "http://b.test/x", &[]).unwrap().host.as_str(), "b.test");
    }

    #[test]
    fn refuses_paths_that_readers_could_disagree_on() {
        assert_eq!(judge("GET", "/a/%2e%2e/b", &[HOST]), Err(Refusal::UnsafePath));
        assert_eq!(judge("OPTIONS", "*", &[HOST]), Err(Refusal::RelativePath));
    }

    #[test]
    fn leaves_to_the_route_what_some_clients_need() {
        let suit = |path: &str, field: &str, policy: &Policy| {
            let (parts, admitted) = parts("GET", path, &[HOST, (field, "1")]);
            suits(&parts, admitted.as_ref().ok(), policy)
        };
        let strict = Policy { underscores_in_headers: Underscores::Refuse, ..Policy::default() };
        let lax = Policy { non_utf8_path: Ambiguous::Pass, ..Policy::default() };
        assert_eq!(suit("/%FF", "a", &Policy::default()), Err(Refusal::NotUtf8));
        assert_eq!(suit("/%FF", "a", &lax), Ok(()));
        assert_eq!(suit("/", "a_b", &Policy::default()), Ok(()));
        assert_eq!(suit("/", "a_b", &strict), Err(Refusal::Underscore));
    }

    #[test]
    fn refuses_trace_and_oversized_heads() {
        assert_eq!(judge("TRACE", "/", &[HOST]), Err(Refusal::Method));
        let long = "x".repeat(1100);
        assert_eq!(judge("GET", "/", &[HOST, ("a", &long)]), Err(Refusal::HeaderTooLarge { limit: 1024 }));
        let many: Vec<_> = std::iter::once(HOST).chain(std::iter::repeat_n(("a", "b"), 10)).collect();
        assert_eq!(judge("GET", "/", &many), Err(Refusal::TooManyFields { limit: 10 }));
    }

    #[test]
    fn refuses_a_length_that_is_no_number() {
        for length in ["-1", "+1", "1, 1", "0x1", "99999999999999999999999"] {
            assert_eq!(
                judge("POST", "/", &[HOST, ("content-length", length)]),
                Err(Refusal::BadLength),
                "{length}"
            );
        }
    }
}
