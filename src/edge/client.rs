//! Client certificates: what a request's vhost may know of its client, and whether that lets it in.
//!
//! Owns the judgement for each request, not for each connection: one connection may bring requests for
//! several hosts (RFC 9113 section 9.1.1) and outlive a reload. A certificate counts for a vhost only if the
//! handshake was for that vhost, by the tables of now, and if it is still good by what the vhost believes now.

use std::sync::Arc;

use fluxheim_config::ClientAuthMode;
use pingora::http::RequestHeader;
use rustls_pki_types::UnixTime;

use crate::edge::admit::Refusal;
use crate::edge::cause::{Cause, Failure};
use crate::edge::ctx::Ctx;
use crate::edge::live::Live;
use crate::edge::respond::Reply;
use crate::policy::{self, Denied, told};
use crate::route;
use crate::tls::client_auth;
use crate::types::{ClientIdentity, Host, ShownCertificate, TlsFacts};

/// What the vhost of a request knows of its client.
#[derive(Debug, Clone, Default)]
pub enum Known {
    /// It asks for no certificate, or there is no such vhost.
    #[default]
    Unasked,
    /// None was shown, or none could be, over plain HTTP.
    Nothing,
    /// The handshake was for another vhost, which asked for another certificate or for none.
    Misdirected,
    /// It was good once. The word says what it is now.
    Bad(&'static str),
    Good(Arc<ShownCertificate>),
}

impl Known {
    /// Who the client is, as far as that is certain.
    #[must_use]
    pub fn identity(&self) -> Option<&ClientIdentity> {
        match self {
            Self::Good(shown) => Some(&shown.identity),
            Self::Unasked | Self::Nothing | Self::Misdirected | Self::Bad(_) => None,
        }
    }
}

/// What the vhost that answers for `host` knows of the client.
pub(super) fn known(live: &Live, tls: Option<&TlsFacts>, host: &Host) -> Known {
    let hosts = live.routes.hosts();
    let Some(vhost) = hosts.find(host.as_str()) else { return Known::Unasked };
    let clients = live.clients.load();
    let Some(auth) = clients.of(vhost) else { return Known::Unasked };
    let Some(tls) = tls else { return Known::Nothing };
    // The rule by which the handshake was made: CVE-2026-32305 and CVE-2026-53622 are proxies with two.
    if hosts.of_connection(tls.sni.as_deref(), tls.local) != Some(vhost) {
        return Known::Misdirected;
    }
    let Some(shown) = &tls.client else { return Known::Nothing };
    match auth.recheck(shown, UnixTime::now()) {
        Ok(()) => Known::Good(Arc::clone(shown)),
        Err(error) => Known::Bad(client_auth::outcome(&error).unwrap_or("invalid")),
    }
}

/// Whether what the vhost knows of the client lets it in.
///
/// # Errors
/// 421 where another connection would do, else 403.
pub(super) fn comes_in(ctx: &Ctx) -> Result<(), Reply> {
    let vhost = ctx.vhost.and_then(|vhost| ctx.live.config.vhosts.get(vhost));
    let Some(asked) = vhost.and_then(|vhost| vhost.client_auth.as_ref()) else { return Ok(()) };
    match &ctx.client {
        Known::Nothing if asked.mode == ClientAuthMode::Optional => Ok(()),
        // Unasked: a vhost that has `client_auth` always asks, so whoever says so is at fault.
        Known::Unasked | Known::Nothing => Err(Reply::to(Cause::CertificateRequired).closing()),
        Known::Misdirected => Err(Refusal::Misdirected.into()),
        Known::Bad(why) => {
            let detail = format!("the client's certificate is no longer good: {why}");
            Err(Reply::to(Failure::with(Cause::CertificateInvalid, detail)).closing())
        }
        Known::Good(shown) if route::fits(&asked.allow, &shown.identity) => Ok(()),
        Known::Good(_) => Err(Denied::Certificate.into()),
    }
}

/// Takes out of a request what only a proxy says of clients (RFC 9440 section 4): before anything looks at
/// it, and whether or not anything is told to an upstream.
pub(super) fn disbelieve(request: &mut RequestHeader) {
    let claimed: Vec<_> = policy::claimed(&told::FIELDS, &request.headers).cloned().collect();
    for name in claimed {
        request.remove_header(&name);
    }
}
