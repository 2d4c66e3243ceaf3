//! Applies the rewrite rules to the framework's messages.
//!
//! Owns no rule of its own except the client-side timeouts: what to change is decided in `rewrite`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use fluxheim_config::{Limits, Underscores, UpstreamLocation};
use http::uri::Authority;
use http::{HeaderName, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{ErrorSource, ErrorType, OrErr, Result};

use crate::edge::cause::Cause;
use crate::edge::ctx::Ctx;
use crate::edge::{failure, shape};
use crate::policy;
use crate::policy::told::{self, SIGNATURE_FIELDS, Signed};
use crate::rewrite::fields::Edit;
use crate::rewrite::location::{self, Seen};
use crate::rewrite::{crumbs, forwarded, hop};
use crate::types::field;

/// Sets how long the client may take, and whether its connection is kept.
pub(super) fn set_timeouts(session: &mut Session, limits: &Limits, draining: bool) {
    session.set_read_timeout(Some(limits.read_timeout));
    session.set_write_timeout(Some(limits.write_timeout));
    // A client may send its next request early (RFC 9112 section 9.3.2); it waits its turn.
    session.set_pipelining_enabled(true);
    let kept = !draining && limits.keepalive_timeout > Duration::ZERO;
    // Whole seconds to the framework, where 0 would mean for ever.
    let seconds = limits.keepalive_timeout.as_secs().max(1);
    if !kept {
        session.set_keepalive(None);
    } else if session.get_keepalive().is_some() {
        // Only where the client's own Connection field has not already ended it.
        session.set_keepalive(Some(seconds));
    }
}

/// What the upstream is told about the client.
pub(super) fn rewrite_request(session: &Session, request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let received = session.req_header().version;
    let (Some(conn), Some(admitted)) = (ctx.conn, ctx.admitted()) else { return Ok(()) };
    tell_who_asks(request, ctx)?;
    let hop = forwarded::Hop { peer: conn.peer, scheme: conn.scheme, host: &admitted.host, port: conn.port };
    let edits = forwarded::edits(&request.headers, hop, conn.client, &ctx.live.config.server.trusted_proxies);
    for name in edits.remove {
        request.remove_header(&name);
    }
    for (name, value) in edits.set {
        request.insert_header(name, value)?;
    }
    if let Some(identity) = &ctx.identity {
        identity.send_on(request, &ctx.live)?;
    }
    if let Some(cookie) = crumbs::joined(&request.headers).filter(|_| received == Version::HTTP_2) {
        request.insert_header(header::COOKIE, cookie)?;
    }
    // RFC 9110 section 7.6.3: a gateway adds itself on the way in, with the version it received.
    let version = if received == Version::HTTP_2 { "2.0" } else { "1.1" };
    request.append_header(header::VIA, format!("{version} fluxheim"))?;
    // HTTP/2 has no such field (RFC 9113 section 8.2.2).
    let ends = request.version != Version::HTTP_2
        && ctx
            .upstream()
            .is_some_and(|proxying| proxying.last_use || proxying.pool.config.keepalive_timeout.is_zero());
    if ends && !request.headers.contains_key(header::UPGRADE) {
        request.insert_header(header::CONNECTION, "close")?;
    }
    if ctx.policy().underscores_in_headers == Underscores::Drop {
        drop_fields(request, |name| name.contains('_'));
    }
    reshape(session, request, ctx)?;
    send_what_was_routed(request, ctx.path().unwrap_or(&admitted.path).as_str())?;
    sign(request, ctx)
}

/// Last, so that it covers what the upstream gets.
fn sign(request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let Some(told) = &ctx.rules().told else { return Ok(()) };
    let Some(signer) = &told.signer else { return Ok(()) };
    let tls = ctx.upstream().is_some_and(|proxying| proxying.pool.config.tls.is_some());
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let signed = told::authority(&request.headers, tls).and_then(|authority| {
        let signed = Signed {
            method: request.method.as_str(),
            authority,
            path: request.uri.path(),
            query: request.uri.query(),
            headers: &request.headers,
            created,
        };
        signer.sign(told, &signed)
    });
    // Nothing goes out unsigned instead.
    let signed = signed.ok_or_else(|| failure::raise(Cause::Internal.into(), ErrorSource::Internal))?;
    for (name, value) in signed {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// The operator's own edits, which go over everything else.
fn reshape(session: &Session, request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let Some(shape) = ctx.live.shapes.of(ctx.vhost, ctx.route) else { return Ok(()) };
    if !shape.request.is_empty() {
        // What CGI, WSGI and PHP take for a field that is set or removed is no way around that.
        drop_fields(request, |name| match field::dashed(name) {
            Cow::Owned(dashed) => shape.request.replaces(&dashed),
            Cow::Borrowed(_) => false,
        });
        shape.request.each(&shape::values(session, ctx), |edit| match edit {
            Edit::Remove(name) => {
                request.remove_header(name);
                Ok(())
            }
            Edit::Set(name, value) => request.insert_header(name, value),
            Edit::Add(name, value) => request.append_header(name, value).map(|_| ()),
        })?;
    }
    match &shape.host {
        Some(host) => request.insert_header(header::HOST, host.clone()),
        None => Ok(()),
    }
}

/// Removes those fields of whose names `goes` says so.
fn drop_fields(request: &mut RequestHeader, goes: impl Fn(&str) -> bool) {
    let unwanted = |name: &&HeaderName| goes(name.as_str());
    let names: Vec<_> = request.headers.keys().filter(unwanted).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// The operator's edits of a response. Interim ones are left as they are.
pub(super) fn reshape_response(session: &Session, response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    let edits = ctx.live.shapes.response(ctx.vhost, ctx.route);
    let interim = response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS;
    if edits.is_empty() || interim {
        return Ok(());
    }
    edits.each(&shape::values(session, ctx), |edit| match edit {
        Edit::Remove(name) => {
            response.remove_header(name);
            Ok(())
        }
        Edit::Set(name, value) => response.insert_header(name, value),
        Edit::Add(name, value) => response.append_header(name, value).map(|_| ()),
    })
}

/// A client can't claim to be who it has not proven to be (CVE-2026-30851, CVE-2026-52845).
fn tell_who_asks(request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    let rules = ctx.rules();
    let claimed: Vec<_> = policy::claimed(ctx.live.claims(), &request.headers).cloned().collect();
    for name in claimed {
        request.remove_header(&name);
    }
    for name in rules.withheld() {
        request.remove_header(&name);
    }
    for (name, value) in &ctx.proven {
        request.insert_header(name.clone(), value.clone())?;
    }
    let Some(told) = &rules.told else { return Ok(()) };
    if told.signer.is_some() {
        let signed: Vec<_> = policy::claimed(&SIGNATURE_FIELDS, &request.headers).cloned().collect();
        for name in signed {
            request.remove_header(&name);
        }
    }
    for (name, value) in ctx.client.identity().map(|client| told.fields(client)).unwrap_or_default() {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// The upstream gets the very path that chose the route, in origin form (RFC 9112 section 3.2.1).
fn send_what_was_routed(request: &mut RequestHeader, path: &str) -> Result<()> {
    if request.uri.path() == path && request.uri.scheme().is_none() {
        return Ok(());
    }
    if let Some(authority) = request.uri.authority().filter(|_| !request.headers.contains_key(header::HOST)) {
        // As HTTP/2 has it; the origin form has no place for it, and the framework puts it back there.
        let authority = authority.as_str().to_owned();
        request.insert_header(header::HOST, authority)?;
    }
    let target = request.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    request.set_uri(target.parse().or_err(ErrorType::InternalError, "a normalised path")?);
    Ok(())
}

/// HTTP/1.0 knows no chunks (RFC 9112 section 6.1): its responses end with the connection.
pub(super) fn fit_to_version(session: &mut Session, response: &mut ResponseHeader) {
    let chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    if session.req_header().version == Version::HTTP_10 && chunked {
        response.remove_header(&header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}

/// Sends the client where it can follow, and not to a server of the upstream.
pub(super) fn relocate(session: &Session, response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    let how = ctx.policy().upstream_location;
    let places = [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH];
    if how == UpstreamLocation::Pass || !places.iter().any(|name| response.headers.contains_key(name)) {
        return Ok(());
    }
    let route = ctx
        .vhost
        .zip(ctx.route)
        .and_then(|(vhost, route)| ctx.live.config.vhosts.get(vhost)?.routes.get(route));
    let (Some(route), Some(proxying)) = (route, ctx.upstream()) else { return Ok(()) };
    let request = session.req_header();
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri.authority().map(Authority::as_str).or(host).unwrap_or_default();
    let mut names = proxying.pool.authorities();
    names.extend(route.policy.upstream_host.clone());
    // What the client calls it, it can follow.
    names.retain(|name| !name.eq_ignore_ascii_case(host));
    let seen = Seen { how, names: &names, host, rewrite: route.rewrite.as_ref(), route: &route.path };
    for name in places {
        let of = if name == header::REFRESH { location::refresh } else { location::as_seen };
        // One that can't be told from others, or read, is not ours to change.
        let Some(value) = alone(response, &name).and_then(|value| of(value, &seen)) else { continue };
        response.insert_header(name, value)?;
    }
    Ok(())
}

/// The value of a field that stands there once.
fn alone<'r>(response: &'r ResponseHeader, name: &HeaderName) -> Option<&'r str> {
    let mut values = response.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// Drops what belongs to the connection with the upstream.
pub(super) fn rewrite_response(response: &mut ResponseHeader) {
    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    for name in hop::response_fields_to_drop(&response.headers, switching) {
        response.remove_header(&name);
    }
}
