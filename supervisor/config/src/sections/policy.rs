//! What may be set in `[defaults]`, on a vhost or on a route.
//!
//! Owns how they inherit: key by key, the nearest one that is set holds. Rules of a single setting stand
//! in modules of their own.

use crate::section::Section;
use crate::sections::{limits, rates};
use crate::{Policy, schema};

/// `[defaults]`, which limits are no part of: those of the whole server stand in `[limits]`.
pub(crate) fn read(section: &Section<'_>, inherited: &Policy) -> Policy {
    Policy { limits: inherited.limits, rate_limits: rates::read(section, &inherited.rate_limits) }
}

/// The settings of a vhost or route, over those that hold around it.
pub(crate) fn local(section: &Section<'_>, inherited: &Policy) -> Policy {
    let mut policy = read(section, inherited);
    policy.limits = limits::local(&section.table("limits", &schema::LOCAL_LIMITS), inherited.limits);
    policy
}
