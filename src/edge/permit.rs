//! The stage between routing and the target: may this request be served?
//!
//! Owns the order of the questions. What can be judged from values alone is `policy`'s; what has to wait
//! for something (a queue, another server) is waited for here.

use pingora::proxy::Session;

use crate::edge::ctx::Ctx;
use crate::edge::respond::Reply;
use crate::policy::{self, Permit};
use crate::route::Routed;

/// Asks every rule of the route's policy.
///
/// # Errors
/// The answer for a request that one of them denies.
#[expect(clippy::unused_async, reason = "no rule has to wait yet")]
pub(super) async fn permit(_session: &mut Session, ctx: &Ctx, routed: Routed) -> Result<Permit, Reply> {
    let declared = ctx.admitted().and_then(|admitted| admitted.declared_body);
    Ok(policy::permit(routed, declared, ctx.policy().limits.max_body_size)?)
}
