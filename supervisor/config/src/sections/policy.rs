//! What may be set in `[defaults]`, on a vhost or on a route.
//!
//! Owns how they inherit: key by key, the nearest one that is set holds. Rules of a single setting stand
//! in modules of their own.

use std::sync::Arc;

use crate::flaw::Flaw;
use crate::section::{Read, Section};
use crate::sections::policies::{access, basic_auth, cors, forward_auth, jwt, security_headers};
use crate::sections::{Names, compression, errors, limits, rates};
use crate::{Policy, TokenSource, schema};

/// `[defaults]`, which limits are no part of: those of the whole server stand in `[limits]`.
pub(crate) fn read(section: &Section<'_>, inherited: &Policy, upstreams: &Names) -> Policy {
    let policy = Policy {
        rate_limits: rates::read(section, &inherited.rate_limits),
        access: over(access::read(section), inherited.access.as_ref()),
        security_headers: over(security_headers::read(section), inherited.security_headers.as_ref()),
        cors: over(cors::read(section), inherited.cors.as_ref()),
        basic_auth: over(basic_auth::read(section), inherited.basic_auth.as_ref()),
        jwt: over(jwt::read(section, upstreams), inherited.jwt.as_ref()),
        forward_auth: over(forward_auth::read(section, upstreams), inherited.forward_auth.as_ref()),
        compression: compression::read(section, inherited.compression.as_ref()),
        errors: errors::read(section, &inherited.errors),
        ..inherited.clone()
    };
    check_authorization(section, &policy);
    policy
}

/// A field can't hold a password and a token at once: nobody would ever come in.
fn check_authorization(section: &Section<'_>, policy: &Policy) {
    let token = policy.jwt.as_ref().is_some_and(|jwt| jwt.source == TokenSource::Authorization);
    let Some(key) = ["jwt", "basic_auth"].into_iter().find(|key| section.any(key).is_some()) else { return };
    if token && policy.basic_auth.is_some() {
        let flaw = Flaw::new("basic_auth and jwt would both be read from Authorization");
        let help = "set one of them to \"off\" here, or give jwt another source";
        section.here(key, section.place(key), flaw.help(help));
    }
}

/// What is set here, else what holds around it. `"off"` is set, and is nothing.
fn over<T>(here: Read<Option<T>>, inherited: Option<&Arc<T>>) -> Option<Arc<T>> {
    match here {
        Read::Absent => inherited.cloned(),
        Read::Flawed => None,
        Read::Good(here) => here.value.map(Arc::new),
    }
}

/// The settings of a vhost or route, over those that hold around it.
pub(crate) fn local(section: &Section<'_>, inherited: &Policy, upstreams: &Names) -> Policy {
    let mut policy = read(section, inherited, upstreams);
    policy.limits = limits::local(&section.table("limits", &schema::LOCAL_LIMITS), inherited.limits);
    policy
}
