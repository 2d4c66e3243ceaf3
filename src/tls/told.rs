//! How what is known of a handshake comes to the requests of its connection.
//!
//! Owns the place: the framework hands each request a digest of its connection, of which one part takes any
//! data. It is meant for proxies on the way to upstreams, and client connections have none.

use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::Digest;
use pingora::protocols::raw_connect::ProxyDigest;

use crate::types::TlsFacts;

/// The part of a digest that tells `facts`; `None` if the framework can't make one.
#[must_use]
pub fn tell(facts: &Arc<TlsFacts>) -> Option<Arc<ProxyDigest>> {
    // Never looked at.
    let head = ResponseHeader::build_no_case(http::StatusCode::OK, Some(0)).ok()?;
    Some(Arc::new(ProxyDigest::new(Box::new(head), Some(Box::new(Arc::clone(facts))))))
}

/// What `digest` tells; `None` without TLS.
#[must_use]
pub fn told(digest: &Digest) -> Option<&Arc<TlsFacts>> {
    digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}
