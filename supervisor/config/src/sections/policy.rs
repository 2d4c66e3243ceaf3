//! What may be set in `[defaults]`, on a vhost or on a route.
//!
//! Owns how they inherit: key by key, the nearest one that is set holds. Rules of a single setting stand
//! in modules of their own.

use std::sync::Arc;

use crate::section::{Read, Section};
use crate::sections::policies::{access, basic_auth, cors, security_headers};
use crate::sections::{compression, errors, limits, rates};
use crate::{Policy, schema};

/// `[defaults]`, which limits are no part of: those of the whole server stand in `[limits]`.
pub(crate) fn read(section: &Section<'_>, inherited: &Policy) -> Policy {
    Policy {
        rate_limits: rates::read(section, &inherited.rate_limits),
        access: over(access::read(section), inherited.access.as_ref()),
        security_headers: over(security_headers::read(section), inherited.security_headers.as_ref()),
        cors: over(cors::read(section), inherited.cors.as_ref()),
        basic_auth: over(basic_auth::read(section), inherited.basic_auth.as_ref()),
        compression: compression::read(section, inherited.compression.as_ref()),
        errors: errors::read(section, &inherited.errors),
        ..inherited.clone()
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
pub(crate) fn local(section: &Section<'_>, inherited: &Policy) -> Policy {
    let mut policy = read(section, inherited);
    policy.limits = limits::local(&section.table("limits", &schema::LOCAL_LIMITS), inherited.limits);
    policy
}
