//! Fields that tell browsers what to refuse.
//!
//! Owns the compiled form of `security_headers`. `Strict-Transport-Security` is said over TLS only
//! (RFC 6797 section 7.2); a policy of our own with `X-Frame-Options` says the same in
//! `frame-ancestors`, which browsers go by where they know it (CSP level 3, section 6.4.2).

use fluxheim_config as config;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::types::Scheme;

/// The fields of one route.
#[derive(Debug)]
pub struct SecurityHeaders {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// With `Strict-Transport-Security`, the last of `fields`.
    over_tls: usize,
    replace: bool,
}

impl SecurityHeaders {
    /// Compiles the fields; a value that can't be sent is left out, which the configuration rules out.
    #[must_use]
    pub fn new(headers: &config::SecurityHeaders) -> Self {
        let policy = content_security_policy(headers);
        let fields = [
            (header::X_CONTENT_TYPE_OPTIONS, &headers.content_type_options),
            (header::X_FRAME_OPTIONS, &headers.frame_options),
            (header::REFERRER_POLICY, &headers.referrer_policy),
            (header::CONTENT_SECURITY_POLICY, &policy),
            (HeaderName::from_static("permissions-policy"), &headers.permissions_policy),
            (HeaderName::from_static("cross-origin-opener-policy"), &headers.cross_origin_opener_policy),
            (HeaderName::from_static("cross-origin-embedder-policy"), &headers.cross_origin_embedder_policy),
            (HeaderName::from_static("cross-origin-resource-policy"), &headers.cross_origin_resource_policy),
            (header::STRICT_TRANSPORT_SECURITY, &headers.hsts),
        ];
        let field = |(name, value): (HeaderName, &Option<String>)| {
            Some((name, HeaderValue::from_str(value.as_deref()?).ok()?))
        };
        let fields: Vec<_> = fields.into_iter().filter_map(field).collect();
        let hsts = fields.last().is_some_and(|(name, _)| name == header::STRICT_TRANSPORT_SECURITY);
        Self { over_tls: fields.len() - usize::from(hsts), fields, replace: headers.replace }
    }

    /// The fields for a response to a request that came by `scheme`.
    #[must_use]
    pub fn fields(&self, scheme: Scheme) -> &[(HeaderName, HeaderValue)] {
        let sent = match scheme {
            Scheme::Http => self.over_tls,
            Scheme::Https => self.fields.len(),
        };
        self.fields.get(..sent).unwrap_or_default()
    }

    /// Whether the field `name` is set on a response with the fields `there`: not if it has one already,
    /// unless ours take their place.
    #[must_use]
    pub fn is_due(&self, name: &HeaderName, there: &HeaderMap) -> bool {
        self.replace || !there.contains_key(name)
    }
}

/// The policy as given, with the rule about frames where it has none.
fn content_security_policy(headers: &config::SecurityHeaders) -> Option<String> {
    let policy = headers.content_security_policy.as_ref()?;
    let has_frames = policy.split(';').any(|directive| {
        let name = directive.trim_start().split(' ').next().unwrap_or_default();
        name.eq_ignore_ascii_case("frame-ancestors")
    });
    let frames = match headers.frame_options.as_deref() {
        Some("DENY") => "'none'",
        Some("SAMEORIGIN") => "'self'",
        _ => return Some(policy.clone()),
    };
    if has_frames {
        return Some(policy.clone());
    }
    Some(format!("{}; frame-ancestors {frames}", policy.trim_end_matches([';', ' '])))
}

#[cfg(test)]
mod tests {
    use fluxheim_config::Source;

    use super::*;

    fn compiled(text: &str) -> SecurityHeaders {
        let text = format!("[server]\nhttp = [\"0.0.0.0:80\"]\n[defaults]\nsecurity_headers = {text}\n");
        let config = fluxheim_config::parse(&[Source { path: "f".into(), text }]).unwrap();
        SecurityHeaders::new(config.defaults.security_headers.as_deref().unwrap())
    }

    fn sent(
        headers: &SecurityHeaders,
        there: &[(&'static str, &'static str)],
        scheme: Scheme,
    ) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in there {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let due = headers.fields(scheme).iter().filter(|(name, _)| headers.is_due(name, &map));
        due.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn says_strict_transport_security_over_tls_only() {
        let basic = compiled("\"basic\"");
        let plain = sent(&basic, &[], Scheme::Http);
        assert_eq!(
            plain,
            [
                "x-content-type-options: nosniff",
                "x-frame-options: SAMEORIGIN",
                "referrer-policy: strict-origin-when-cross-origin"
            ]
        );
        let secure = sent(&basic, &[], Scheme::Https);
        assert_eq!(secure.last().unwrap(), "strict-transport-security: max-age=2592000");
        assert_eq!(secure.len(), plain.len() + 1);
        assert_eq!(sent(&compiled("{ profile = \"basic\", hsts = \"off\" }"), &[], Scheme::Https), plain);
    }

    #[test]
    fn leaves_what_the_origin_says_unless_told_to_replace_it() {
        let there = [("x-frame-options", "DENY"), ("referrer-policy", "origin")];
        let fields = sent(&compiled("\"basic\""), &there, Scheme::Http);
        assert_eq!(fields, ["x-content-type-options: nosniff"]);
        let fields = sent(&compiled("{ profile = \"basic\", replace = true }"), &there, Scheme::Http);
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn says_who_may_frame_in_a_policy_of_its_own_too() {
        let policy = |text: &str| {
            let headers =
                compiled(&format!("{{ profile = \"strict\", content_security_policy = {text:?} }}"));
            let fields = sent(&headers, &[], Scheme::Http);
            fields.into_iter().find(|field| field.starts_with("content-security-policy: ")).unwrap()
        };
        assert_eq!(
            policy("default-src 'self';"),
            "content-security-policy: default-src 'self'; frame-ancestors 'none'"
        );
        let own = "default-src 'self'; Frame-Ancestors https://a.example";
        assert_eq!(policy(own), format!("content-security-policy: {own}"));
    }
}
