//! What a route changes in a request and in its response, compiled, and what such changes may refer to.
//!
//! Owns the tie between the values of `rewrite` and what the framework knows of a connection.

use fluxheim_config::{Config, HeaderEdits, Policy, Route, Template};
use http::HeaderValue;
use pingora::proxy::Session;

use crate::edge::admit::Refusal;
use crate::edge::ctx::{ConnInfo, Ctx};
use crate::rewrite::fields::Edits;
use crate::rewrite::template::Values;
use crate::rewrite::{forwarded, path};
use crate::route::Routed;
use crate::types::{ClientIp, PeerIp, Scheme};

/// The changes of every route, vhost and of `[defaults]`.
#[derive(Debug)]
pub struct Shapes {
    routes: Vec<Vec<Shape>>,
    /// Edits of responses to what no route of a vhost takes.
    vhosts: Vec<Edits>,
    defaults: Edits,
}

/// The changes of one route.
#[derive(Debug)]
pub struct Shape {
    pub request: Edits,
    response: Edits,
    /// The `Host` of the request that is sent on; `None` is the client's.
    pub host: Option<HeaderValue>,
    /// Whether any of it needs what the regular expression of the path matched.
    captures: bool,
}

impl Shapes {
    /// Compiles the changes.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let response = |policy: &Policy| Edits::new(&policy.response_headers);
        Self {
            routes: config.vhosts.iter().map(|vhost| vhost.routes.iter().map(shape).collect()).collect(),
            vhosts: config.vhosts.iter().map(|vhost| response(&vhost.policy)).collect(),
            defaults: response(&config.defaults),
        }
    }

    /// The changes of the route that took a request.
    #[must_use]
    pub fn of(&self, vhost: Option<usize>, route: Option<usize>) -> Option<&Shape> {
        self.routes.get(vhost?)?.get(route?)
    }

    /// The edits of a response, however far its request came.
    #[must_use]
    pub fn response(&self, vhost: Option<usize>, route: Option<usize>) -> &Edits {
        if let Some(shape) = self.of(vhost, route) {
            return &shape.response;
        }
        vhost.and_then(|vhost| self.vhosts.get(vhost)).unwrap_or(&self.defaults)
    }
}

fn shape(route: &Route) -> Shape {
    let policy = &route.policy;
    let in_action = match &route.action {
        fluxheim_config::Action::Redirect(redirect) => redirect.target.captures(),
        fluxheim_config::Action::Upstream(_)
        | fluxheim_config::Action::Static(_)
        | fluxheim_config::Action::Respond(_) => false,
    };
    let in_path =
        matches!(&route.rewrite, Some(fluxheim_config::Rewrite::Path(path)) if Template::captures(path));
    let in_fields =
        [&policy.request_headers, &policy.response_headers].into_iter().any(HeaderEdits::captures);
    Shape {
        request: Edits::new(&policy.request_headers),
        response: Edits::new(&policy.response_headers),
        host: policy.upstream_host.as_deref().and_then(|host| HeaderValue::from_str(host).ok()),
        captures: in_action || in_path || in_fields,
    }
}

/// Leaves in `ctx` what the regular expression of the route matched, and the path to ask for instead.
///
/// # Errors
/// The rewritten path is not one to ask for.
pub(super) fn apply(session: &Session, ctx: &mut Ctx, routed: Routed) -> Result<(), Refusal> {
    let (vhost, route) = (Some(routed.vhost()), Some(routed.route()));
    let Some(admitted) = ctx.admitted() else { return Ok(()) };
    if ctx.live.shapes.of(vhost, route).is_some_and(|shape| shape.captures) {
        ctx.captures = ctx.live.routes.captures(routed, &admitted.path);
    }
    let Some(found) = ctx.live.route(routed) else { return Ok(()) };
    let Some(rewrite) = &found.rewrite else { return Ok(()) };
    let Some(admitted) = ctx.admitted() else { return Ok(()) };
    let rewritten = path::rewritten(rewrite, &found.path, &admitted.path, &values(session, ctx));
    ctx.rewritten = Some(rewritten.ok_or(Refusal::UnsafeRewrite)?);
    Ok(())
}

/// What templates may refer to, as far as it is known.
pub(super) fn values<'a>(session: &'a Session, ctx: &'a Ctx) -> Values<'a> {
    let head = session.req_header();
    let admitted = ctx.admitted();
    let requested = admitted.map_or("", |admitted| admitted.path.as_str());
    Values {
        client: ctx.conn.map_or(ClientIp(ConnInfo::UNKNOWN), |conn| conn.client),
        peer: ctx.conn.map_or(PeerIp(ConnInfo::UNKNOWN), |conn| conn.peer),
        host: admitted.map(|admitted| &admitted.host),
        scheme: client_scheme(session, ctx),
        port: ctx.conn.map_or(0, |conn| conn.port),
        method: head.method.as_str(),
        path: requested,
        requested,
        query: head.uri.query(),
        vhost: ctx.live.meters(ctx.vhost).map_or("-", |vhost| vhost.name()),
        tls: ctx.tls.as_deref().map(|tls| (tls.version, tls.cipher)),
        captures: &ctx.captures,
    }
}

/// The scheme that the client used.
pub(super) fn client_scheme(session: &Session, ctx: &Ctx) -> Scheme {
    let trusted = &ctx.live.config.server.trusted_proxies;
    let headers = &session.req_header().headers;
    ctx.conn.map_or(Scheme::Http, |conn| forwarded::client_scheme(headers, conn.peer, conn.scheme, trusted))
}
