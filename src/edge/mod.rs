//! The request's straight line: admit, route, ask who may come in and how often, permit, answer locally
//! or pick an upstream, rewrite, log.
//!
//! Owns the only `impl ProxyHttp` and nothing else: each stage's rules live in the module it calls.

pub mod admit;
pub mod ask;
mod attempt;
pub mod cause;
pub mod client;
mod compression;
mod concurrency;
mod consult;
pub mod ctx;
pub mod deadline;
pub mod errors;
mod failure;
pub mod files;
mod finish;
pub mod fresh;
mod gone;
pub mod identity;
mod intercept;
pub mod jwks;
mod limiters;
pub mod live;
mod local;
mod misdirected;
mod outgoing;
mod passwords;
mod peer;
mod permit;
mod proof;
pub mod respond;
mod rules;
mod send_on;
pub mod shape;
mod spans;
pub mod timing;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, Result};

use crate::acme::Challenges;
use crate::edge::admit::{Admitted, Refusal};
use crate::edge::cause::Cause;
use crate::edge::ctx::{ConnInfo, Ctx};
use crate::edge::live::{Live, Target};
use crate::edge::permit::Stop;
use crate::edge::respond::Reply;
use crate::policy::cors;
use crate::policy::tally::Tally;
use crate::rewrite::forwarded;
use crate::route::{NoRoute, Request, Routed};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Attempt;
use crate::tls::told;
use crate::types::{ClientIdentity, PeerIp, Scheme};
use crate::upstream::NoServer;

/// The proxy for the listeners of one scheme.
pub struct Edge {
    pub live: Arc<ArcSwap<Live>>,
    pub telemetry: Arc<Telemetry>,
    pub scheme: Scheme,
    /// Requests of each client; shared by all listeners, and the same over reloads.
    pub clients: Arc<Tally>,
    /// What CAs are answered who validate a name.
    pub challenges: Option<Challenges>,
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(self.live.load_full(), Arc::clone(&self.telemetry))
    }

    /// Ours in place of the default, whose compression would run before admission.
    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(Box::new(compression::Compressor));
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        let conn = self.connection(session, &ctx.live);
        ctx.identity = Some(identity::identify(session.req_header(), conn.peer, &ctx.live));
        ctx.conn = Some(conn);
        ctx.tls = session.digest().and_then(told::told).cloned();
        finish::begin(session, ctx);
        send_on::set_timeouts(session, &ctx.live.config.limits, self.telemetry.lifecycle.draining());
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let decided = self.decide(session, ctx).await;
        if decided.is_ok() {
            compression::prepare(session, ctx);
        }
        match decided {
            Ok(Target::Upstream(pool)) => {
                let turn = attempt::turn(&pool, session, ctx);
                ctx.proxy(pool, turn);
                Ok(false)
            }
            Ok(Target::Static(site)) => {
                let path = ctx.path().map_or("/", |path| path.as_str());
                if let Err(reply) = files::serve(session, ctx, &site, path).await? {
                    refuse(session, ctx, &reply).await?;
                }
                Ok(true)
            }
            Ok(Target::Redirect(redirect)) => {
                local::redirect(session, ctx, &redirect).await?;
                Ok(true)
            }
            Ok(Target::Respond(respond)) => {
                local::fixed(session, ctx, &respond).await?;
                Ok(true)
            }
            Ok(Target::Https) => {
                local::redirect_to_https(session, ctx).await?;
                Ok(true)
            }
            Err(Stop::Answered(head, body)) => {
                respond::finish(session, ctx, *head, body).await?;
                Ok(true)
            }
            Err(Stop::Denied(failure, head, body)) => {
                ctx.failure = Some(failure);
                respond::finish(session, ctx, *head, body).await?;
                Ok(true)
            }
            Err(Stop::Refused(reply)) => refuse(session, ctx, &reply).await.map(|()| true),
            Err(Stop::Gone(gone)) => Err(failure::raise(gone.into(), ErrorSource::Downstream)),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let left = ctx.time_left();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(failure::raise(Cause::RequestTimeout.into(), ErrorSource::Upstream));
        }
        ctx.timing.attempt();
        let conn = ctx.conn;
        let proxying = ctx.proxying()?;
        let next = gone::unless_gone(session, attempt::next(proxying, left)).await;
        match next.map_err(|gone| failure::raise(gone.into(), ErrorSource::Downstream))? {
            Ok((address, left)) => Ok(peer::at(address, session, conn, proxying, left)),
            Err(why) => {
                let attempt = match why {
                    NoServer::NoAddress => Attempt::NoAddress,
                    NoServer::Unusable => Attempt::NoServer,
                    NoServer::Full | NoServer::QueueFull | NoServer::QueueTimeout => Attempt::Busy,
                };
                proxying.pool.meters.attempt(&self.telemetry.metrics, attempt);
                Err(attempt::no_server(why))
            }
        }
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.timing.connected();
        if let Ok(proxying) = ctx.proxying() {
            proxying.pool.meters.attempt(&self.telemetry.metrics, Attempt::ConnectFailed);
            attempt::not_connected(proxying, &mut error);
        }
        error
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.timing.connected();
        let took = ctx.timing.connect().filter(|_| !reused);
        let proxying = ctx.proxying()?;
        if let Some(took) = took {
            proxying.pool.meters.connected(&self.telemetry.metrics, took);
        }
        let attempt = if reused { Attempt::Reused } else { Attempt::Connected };
        proxying.pool.meters.attempt(&self.telemetry.metrics, attempt);
        proxying.last_use = proxying.pool.link.use_once(digest)?;
        Ok(())
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Ctx,
        client_reused: bool,
    ) -> Box<Error> {
        match ctx.proxying() {
            Ok(proxying) => {
                if error.esource() == &ErrorSource::Upstream {
                    proxying.pool.meters.attempt(&self.telemetry.metrics, Attempt::Failed);
                }
                attempt::broken(session, proxying, &mut error, client_reused);
            }
            // The framework asks whether to try again, and must find that decided.
            Err(_) => error.set_retry(false),
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        send_on::rewrite_request(session, request, ctx)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let Some(bytes) = body else { return Ok(()) };
        // After a 101 these are no longer the body of a request.
        if session.was_upgraded() {
            return Ok(());
        }
        match ctx.proxying()?.permit.take_body(bytes.len()) {
            Ok(()) => Ok(()),
            Err(denied) => Err(failure::raise(denied.into(), ErrorSource::Downstream)),
        }
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.timing.first_byte(response.status.as_u16());
        attempt::answered(session, ctx.proxying()?, response)?;
        send_on::rewrite_response(response);
        send_on::relocate(session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if self.telemetry.lifecycle.draining() {
            session.set_keepalive(None);
        }
        // A response before the end of the body ends the connection, but not a 100 that the client waits for.
        let interim =
            response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS;
        session.set_close_on_response_before_downstream_finish(!interim);
        if intercept::replace(session, response, ctx).await? {
            return Ok(());
        }
        if ctx.instead.is_none() {
            outgoing::dress(session, response, ctx)?;
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            ctx.switched();
            peer::switched(session, ctx);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        intercept::drop_piece(ctx, body, end);
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let failure = failure::of(error).in_time_of(ctx.is_overdue());
        let reply = respond::for_failure(&failure);
        ctx.failure = Some(failure);
        let error_code = reply.as_ref().map_or(0, |reply| reply.status.as_u16());
        if let Some(reply) = reply.filter(|_| respond::answered(session).is_none()) {
            // A failure here means that the client has gone; the access line says so.
            let _ = respond::send(session, ctx, &reply).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// The access line has the outcome; attempts are counted.
    fn suppress_proxy_warn_log(&self, _: &Session, _: &Ctx, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    /// The access line has it.
    fn suppress_error_log(&self, _: &Session, _: &Ctx, _: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        finish::finish(session, error, ctx);
    }
}

/// Answers with a refusal, and remembers why.
async fn refuse(session: &mut Session, ctx: &mut Ctx, reply: &Reply) -> Result<()> {
    ctx.failure = Some(reply.failure.clone());
    respond::send(session, ctx, reply).await
}

impl Edge {
    /// Stages 1 to 4: each takes what the one before it made.
    async fn decide(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Target, Stop> {
        permit::enter(ctx, &self.clients)?;
        let admitted = admit::admit(session.req_header(), &ctx.live.config.limits)?;
        client::disbelieve(session.req_header_mut());
        ctx.client = client::known(&ctx.live, ctx.tls.as_deref(), &admitted.host);
        let routed = find(&ctx.live, session.req_header(), &admitted, ctx.client.identity());
        let challenge = local::challenge(session.req_header(), &admitted, self.challenges.as_ref()).await;
        // A CA comes without credentials, by plain HTTP, and follows no rule of ours.
        if let Some((head, body)) = challenge? {
            ctx.admit(admitted, routed);
            return Err(Stop::Answered(Box::new(head), body));
        }
        if misdirected::is_misdirected(ctx, &admitted.host) {
            ctx.admit(admitted, routed);
            return Err(Refusal::Misdirected.into());
        }
        ctx.admit(admitted, routed);
        permit::comes_in(ctx)?;
        permit::in_rate(session, ctx)?;
        // Before anything else is asked of the client that it would say in plain text.
        if local::wants_tls(session, ctx) {
            return Ok(Target::Https);
        }
        client::comes_in(ctx)?;
        let routed = routed.map_err(|no_route| respond::no_route(&ctx.live.routes, no_route))?;
        permit::set_times(session, ctx);
        admit::suits(session.req_header(), ctx.admitted(), ctx.policy())?;
        shape::apply(session, ctx, routed)?;
        let (permit, proven) = permit::permit(session, ctx, routed).await?;
        ctx.proven = proven;
        ctx.permit(permit);
        ctx.live.target(&permit).cloned().ok_or_else(|| Reply::internal("a route leads nowhere").into())
    }

    fn connection(&self, session: &Session, live: &Live) -> ConnInfo {
        let inet = |address: &pingora::protocols::l4::socket::SocketAddr| address.as_inet().copied();
        let peer =
            PeerIp(session.client_addr().and_then(inet).map_or(ConnInfo::UNKNOWN, |address| address.ip()));
        let port = session.server_addr().and_then(inet).map_or(0, |address| address.port());
        let client =
            forwarded::client_ip(&session.req_header().headers, peer, &live.config.server.trusted_proxies);
        ConnInfo { peer, client, scheme: self.scheme, port }
    }
}

/// The route for a request. A preflight goes to the route of the method that it asks about, where none takes
/// its own and that one has `cors`, which then answers it: nothing else may come in by another's method.
fn find(
    live: &Live,
    head: &RequestHeader,
    admitted: &Admitted,
    client: Option<&ClientIdentity>,
) -> Result<Routed, NoRoute> {
    let request = Request {
        host: &admitted.host,
        path: &admitted.path,
        method: &head.method,
        headers: &head.headers,
        query: head.uri.query(),
        client,
    };
    let found = live.routes.find(&request);
    let Some(method) =
        cors::asked_method(head).filter(|_| matches!(found, Err(NoRoute::OtherMethods { .. })))
    else {
        return found;
    };
    let meant = live.routes.find(&Request { method: &method, ..request });
    let answers = |routed: &Routed| live.rules(Some(routed.vhost()), Some(routed.route())).cors.is_some();
    meant.ok().filter(answers).map_or(found, Ok)
}
