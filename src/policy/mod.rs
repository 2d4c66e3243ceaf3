//! Whether a routed request may go on: the answer is a [`Permit`], which every later stage needs.
//!
//! Owns the decision, not its reply. Pure: values in, a permit or a denial out.

pub mod access;
pub mod basic;
pub mod cors;
pub mod forward;
pub mod headers;
pub mod jwt;
pub mod keyed;
pub mod rate;
pub mod tally;
pub mod told;

use std::sync::Arc;

use fluxheim_config::Policy;
use http::HeaderMap;
use http::header::{self, HeaderName};

use crate::policy::access::Access;
use crate::policy::basic::Basic;
use crate::policy::basic::users::Register;
use crate::policy::cors::Cors;
use crate::policy::forward::Forward;
use crate::policy::headers::SecurityHeaders;
use crate::policy::jwt::Bearer;
use crate::policy::jwt::keys::KeyRing;
use crate::policy::told::{Signer, Told};
use crate::route::Routed;
use crate::types::field;

/// The policies of a vhost or route, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    pub access: Option<Access>,
    pub headers: Option<SecurityHeaders>,
    pub cors: Option<Cors>,
    pub basic: Option<Basic>,
    pub bearer: Option<Bearer>,
    pub forward: Option<Forward>,
    /// What the upstream is told of a client's certificate.
    pub told: Option<Told>,
    /// Request fields by which the upstream is told who asks: what a client sends by these names is
    /// removed. With dashes only.
    claims: Vec<HeaderName>,
}

/// What the rules need of files.
#[derive(Debug, Default)]
pub struct Opened {
    pub users: Option<Arc<Register>>,
    pub keys: Option<Arc<KeyRing>>,
    /// What signs the requests for which a signature is configured.
    pub signer: Option<Arc<Signer>>,
    /// A number that no other rules have.
    pub id: u64,
}

impl Rules {
    /// Compiles what `policy` sets.
    #[must_use]
    pub fn new(policy: &Policy, opened: Opened) -> Self {
        let basic = policy.basic_auth.as_deref().zip(opened.users);
        let basic = basic.map(|(basic, users)| Basic::new(basic, users));
        let bearer = policy.jwt.as_deref().zip(opened.keys);
        let bearer = bearer.map(|(jwt, keys)| Bearer::new(jwt, keys));
        let forward = policy.forward_auth.as_deref().map(|forward| Forward::new(forward, opened.id));
        let identity = policy.client_identity.as_deref().map(|told| Told::new(told, opened.signer));
        let told = bearer.iter().flat_map(Bearer::told).chain(forward.iter().flat_map(Forward::names));
        let told: Vec<_> = told.chain(identity.iter().flat_map(Told::names).cloned()).collect();
        let user_header = basic.as_ref().and_then(|basic| basic.user_header.clone());
        Self {
            claims: user_header.into_iter().chain(told).collect(),
            basic,
            bearer,
            forward,
            told: identity,
            access: policy.access.as_deref().map(Access::new),
            headers: policy.security_headers.as_deref().map(SecurityHeaders::new),
            cors: policy.cors.as_deref().map(Cors::new),
        }
    }

    /// The field with a password or token, where the upstream must not get it.
    pub fn withheld(&self) -> impl Iterator<Item = HeaderName> {
        let password = self.basic.as_ref().filter(|basic| !basic.forward_authorization);
        let password = password.map(|_| header::AUTHORIZATION);
        password.into_iter().chain(self.bearer.as_ref().and_then(Bearer::withheld))
    }

    /// The request fields by which these rules tell the upstream who asks.
    pub fn claims(&self) -> &[HeaderName] {
        &self.claims
    }
}

/// Those of `sent` that a client must not send since they are `claims`, `X_User` and `X.User` for `X-User` among
/// them: to CGI, WSGI and PHP these are one field.
pub fn claimed<'a>(claims: &'a [HeaderName], sent: &'a HeaderMap) -> impl Iterator<Item = &'a HeaderName> {
    let sent = sent.keys().filter(|_| !claims.is_empty());
    sent.filter(|name| claims.iter().any(|claim| is_read_as(name, claim)))
}

/// Proof that the request may be served; made only by [`permit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    routed: Routed,
    max_body: Option<u64>,
    taken: u64,
}

/// Why a request is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// 403
    #[error("the client's address may not come in")]
    Address,
    /// 403
    #[error("a preflight of an origin that is not listed")]
    Origin,
    /// 403
    #[error("the client's certificate is not one of those that allow_san and allow_fingerprint name")]
    Certificate,
    /// 413
    #[error("the request's body is over the limit of {limit} bytes")]
    BodyTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
}

fn is_read_as(sent: &HeaderName, claim: &HeaderName) -> bool {
    sent == claim || field::dashed(sent.as_str()) == field::dashed(claim.as_str())
}

/// Judges a routed request by the body length it declares (RFC 9110 section 8.6).
///
/// # Errors
/// [`Denied`] with the rule that it breaks.
pub fn permit(routed: Routed, declared_body: Option<u64>, max_body: Option<u64>) -> Result<Permit, Denied> {
    match (declared_body, max_body) {
        (Some(declared), Some(limit)) if declared > limit => Err(Denied::BodyTooLarge { limit }),
        _ => Ok(Permit { routed, max_body, taken: 0 }),
    }
}

impl Permit {
    /// Where the permitted request goes.
    #[must_use]
    pub const fn routed(&self) -> Routed {
        self.routed
    }

    /// Counts from the start: the body is sent once more.
    pub const fn start_over(&mut self) {
        self.taken = 0;
    }

    /// Counts body bytes as they come, declared or chunked.
    ///
    /// # Errors
    /// [`Denied::BodyTooLarge`] once the limit is passed.
    pub const fn take_body(&mut self, bytes: usize) -> Result<(), Denied> {
        self.taken = self.taken.saturating_add(bytes as u64);
        match self.max_body {
            Some(limit) if self.taken > limit => Err(Denied::BodyTooLarge { limit }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use fluxheim_config::{Action, HostPattern, PathMatch, Route, Vhost};

    use super::*;
    use crate::route::Routes;

    fn routed() -> Routed {
        let route = Route::new(PathMatch::Prefix("/".into()), Action::Upstream(0));
        let vhost = Vhost::new(vec![HostPattern::Any], vec![route]);
        Routes::new(&[vhost]).unwrap().get("a.test", "/").unwrap()
    }

    #[test]
    fn denies_a_declared_body_over_the_limit() {
        assert_eq!(permit(routed(), Some(11), Some(10)), Err(Denied::BodyTooLarge { limit: 10 }));
        assert!(permit(routed(), Some(10), Some(10)).is_ok());
        assert!(permit(routed(), Some(u64::MAX), None).is_ok());
    }

    #[test]
    fn denies_a_chunked_body_once_it_passes_the_limit() {
        let mut permit = permit(routed(), None, Some(10)).unwrap();
        assert!(permit.take_body(6).is_ok());
        assert!(permit.take_body(4).is_ok());
        assert_eq!(permit.take_body(1), Err(Denied::BodyTooLarge { limit: 10 }));
    }
}
