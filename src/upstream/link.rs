//! How connections to an upstream are made, and which requests may share one.
//!
//! Owns the mapping from an upstream's settings to the framework's peer. Picks no server. The
//! framework's key for kept connections knows neither CAs nor client certificates nor PROXY headers:
//! they are in its `group_key`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use fluxheim_config::{ProxyVersion, TlsVersion, Upstream, UpstreamHost, UpstreamProtocol};
use pingora::protocols::{ALPN, Digest};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorType, Result};

use super::dial::{Dial, Kept};
use super::tunnel::Tunnel;
use crate::tls::Outward;
use crate::wire::proxy::{Ends, Form};

/// The connections of one upstream.
#[derive(Debug)]
pub struct Link {
    /// Everything but the address.
    template: ArcSwap<HttpPeer>,
    protocol: UpstreamProtocol,
    /// Whether a server's certificate must be for its address.
    by_address: bool,
    proxy: Option<Form>,
    /// Whether connections may switch protocols.
    switches: bool,
    read_timeout: Duration,
    upgrade_idle: Duration,
    keepalive_requests: u32,
    keepalive_time: Duration,
    only_1_3: bool,
}

impl Link {
    /// Connections as `upstream` says; `outward` is what was read for its TLS.
    #[must_use]
    pub fn new(upstream: &Upstream, outward: Option<&Outward>) -> Self {
        let sni = outward.and_then(|_| server_name(upstream));
        let by_address = outward.is_some() && sni.is_none();
        let mut template = HttpPeer::new(NOWHERE, outward.is_some(), sni.unwrap_or_default());
        let options = &mut template.options;
        options.connection_timeout = Some(upstream.connect_timeout);
        options.total_connection_timeout = Some(upstream.connect_timeout);
        options.read_timeout = Some(upstream.read_timeout);
        options.write_timeout = Some(upstream.write_timeout);
        options.idle_timeout = Some(upstream.keepalive_timeout);
        // Hop-by-hop fields go, a WebSocket upgrade stays, nominating protected fields is refused.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::standard();
        options.alpn = alpn(upstream.protocol);
        options.max_h2_streams = H2_STREAMS as usize;
        options.h2_stream_window_size = Some(H2_WINDOW);
        options.h2_connection_window_size = Some(H2_WINDOW * H2_STREAMS);
        options.h2_ping_interval = Some(H2_PING);
        options.custom_l4 = Some(Arc::new(Dial::default()));
        let tls = upstream.tls.as_ref();
        if let Some(outward) = outward {
            let verify = !tls.is_some_and(|tls| tls.insecure_skip_verify);
            (options.verify_cert, options.verify_hostname) = (verify, verify);
            show(&mut template, outward);
        }
        template.group_key = group(outward, upstream.protocol);
        Self {
            template: ArcSwap::from_pointee(template),
            protocol: upstream.protocol,
            by_address,
            proxy: upstream.proxy_protocol.map(|version| match version {
                ProxyVersion::V1 => Form::Text,
                ProxyVersion::V2 => Form::Binary,
            }),
            switches: matches!(upstream.protocol, UpstreamProtocol::Http1 | UpstreamProtocol::Auto),
            read_timeout: upstream.read_timeout,
            upgrade_idle: upstream.upgrade_idle_timeout,
            keepalive_requests: upstream.keepalive_requests,
            keepalive_time: upstream.keepalive_time,
            only_1_3: tls.is_some_and(|tls| tls.min_version == TlsVersion::V1_3),
        }
    }

    /// New connections believe and show what was read anew, and share nothing with those from before.
    pub fn replace(&self, outward: &Outward) {
        let mut template = HttpPeer::clone(&self.template.load());
        show(&mut template, outward);
        template.group_key = group(Some(outward), self.protocol);
        self.template.store(Arc::new(template));
    }

    /// Whether connections begin with a PROXY header, for which [`Link::peer`] needs the ends.
    #[must_use]
    pub const fn tells_ends(&self) -> bool {
        self.proxy.is_some()
    }

    /// Whether a request may ask for another protocol.
    #[must_use]
    pub const fn may_switch(&self) -> bool {
        self.switches
    }

    /// The peer at `address`, for a request that came between `ends` and has so much time `left`.
    #[must_use]
    pub fn peer(&self, address: SocketAddr, ends: Option<Ends>, left: Option<Duration>) -> Box<HttpPeer> {
        let mut peer = Box::new(HttpPeer::clone(&self.template.load()));
        if let Some(left) = left {
            let options = &mut peer.options;
            for wait in [
                &mut options.connection_timeout,
                &mut options.total_connection_timeout,
                &mut options.read_timeout,
                &mut options.write_timeout,
            ] {
                *wait = wait.map(|wait| wait.min(left));
            }
        }
        peer._address = address.into();
        if self.by_address {
            peer.sni = address.ip().to_string();
        }
        if let Some(form) = self.proxy {
            peer.options.custom_l4 = Some(Arc::new(Dial::announcing(form, ends)));
            peer.group_key = hash(&(peer.group_key, ends));
        }
        peer
    }

    /// The same for a request that asks for another protocol: on a connection of its own, which it may
    /// keep for as long as something moves.
    #[must_use]
    pub fn tunnel(
        &self,
        address: SocketAddr,
        ends: Option<Ends>,
        left: Option<Duration>,
    ) -> (Box<HttpPeer>, Arc<Tunnel>) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut peer = self.peer(address, ends, left);
        let before = peer.options.read_timeout.unwrap_or(self.read_timeout);
        let tunnel = Arc::new(Tunnel::new(before, self.upgrade_idle));
        let dial = self.proxy.map_or_else(Dial::default, |form| Dial::announcing(form, ends));
        peer.options.custom_l4 = Some(Arc::new(dial.into(Arc::clone(&tunnel))));
        peer.options.alpn = ALPN::H1;
        // Its own clock runs in both directions at once.
        peer.options.read_timeout = None;
        // Never taken from among kept connections, nor kept.
        peer.group_key = hash(&(peer.group_key, NUMBER.fetch_add(1, Ordering::Relaxed)));
        peer.options.idle_timeout = Some(Duration::ZERO);
        (peer, tunnel)
    }

    /// What is asked of a connection before a request goes out on it; whether it is the last one.
    ///
    /// # Errors
    /// The server agreed to an older TLS version than it may.
    pub fn use_once(&self, digest: Option<&Digest>) -> Result<bool> {
        let version = digest.and_then(|digest| digest.ssl_digest.as_ref()).map(|tls| tls.version.as_ref());
        if self.only_1_3 && version != Some("TLSv1_3") {
            let context = format!("the server spoke {}, not TLS 1.3", version.unwrap_or("no TLS"));
            return Err(Error::explain(ErrorType::TLSHandshakeFailure, context).into_up());
        }
        let kept = digest.and_then(|digest| digest.proxy_digest.as_ref()?.user_data.as_ref());
        let kept = kept.and_then(|kept| kept.downcast_ref::<Kept>());
        Ok(kept.is_some_and(|kept| kept.use_once(self.keepalive_requests, self.keepalive_time)))
    }
}

fn show(template: &mut HttpPeer, outward: &Outward) {
    template.options.ca = Some(Arc::clone(&outward.ca));
    template.client_cert_key.clone_from(&outward.client);
}

fn group(outward: Option<&Outward>, protocol: UpstreamProtocol) -> u64 {
    hash(&(outward.map(|outward| outward.digest), protocol as u8))
}

/// The name that every server's certificate must be for; `None` if it is each server's address.
fn server_name(upstream: &Upstream) -> Option<String> {
    let told = upstream.tls.as_ref().and_then(|tls| tls.server_name.as_ref());
    let first = upstream.servers.first().map(|server| &server.host);
    match (told, first) {
        // A service has no name to verify, and is a mistake without one; this is refused by any server.
        (Some(UpstreamHost::Name(name) | UpstreamHost::Service(name)), _)
        | (None, Some(UpstreamHost::Name(name) | UpstreamHost::Service(name))) => Some(name.clone()),
        (Some(UpstreamHost::Ip(ip)), _) => Some(ip.to_string()),
        (None, Some(UpstreamHost::Ip(_)) | None) => None,
    }
}

const fn alpn(protocol: UpstreamProtocol) -> ALPN {
    match protocol {
        UpstreamProtocol::Http1 => ALPN::H1,
        UpstreamProtocol::H2 | UpstreamProtocol::H2c => ALPN::H2,
        UpstreamProtocol::Auto => ALPN::H2H1,
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Until the address is known.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
/// As many as nginx, Envoy and Go allow or more; the server may allow less.
const H2_STREAMS: u32 = 100;
/// What one response may have under way, unread: with all streams in use, a connection's memory is
/// bounded by 25 MiB, and no slow client holds up the others on it.
const H2_WINDOW: u32 = 256 << 10;
/// How soon a connection whose server has vanished is noticed and not used again.
const H2_PING: Duration = Duration::from_secs(20);

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
