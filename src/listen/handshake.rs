//! The TLS handshake of a client connection.
//!
//! Owns the order: the client's first message is read, the terms are chosen by what it asks for, and the
//! rest follows on those. A client that is refused hears why (RFC 8446 section 6). Deadlines are the
//! caller's.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use pingora::protocols::GetSocketDigest;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};
use rustls_pki_types::UnixTime;
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;

use super::secured::Secured;
use super::socket::Socket;
use crate::telemetry::Telemetry;
use crate::tls::{ClientAuth, Termination, client_auth};
use crate::types::TlsFacts;

/// Shakes hands over `socket`; `None` where that was all, as a CA validated a name.
///
/// # Errors
/// What the client, or the library, holds against it.
pub(super) async fn shake(
    termination: &Termination,
    socket: Socket,
    telemetry: &Telemetry,
) -> io::Result<Option<Secured<Socket>>> {
    let local = local(&socket);
    let mut first = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let start = match (&mut first).await {
        Ok(start) => start,
        Err(error) => return Err(told(error, first.take_io()).await),
    };
    let chosen = termination.choose(&start.client_hello(), local);
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(unrecognized) => {
            let mut socket = start.io;
            let _ = socket.write_all(&UNRECOGNIZED_NAME).await;
            return Err(told(io::Error::other(unrecognized), Some(socket)).await);
        }
    };
    let client_auth = chosen.client_auth.as_deref();
    match start.into_stream(chosen.config).into_fallible().await {
        Ok(mut tls) if chosen.validates => {
            // It has seen the certificate; whether it hears the end no longer matters.
            let _ = tls.shutdown().await;
            Ok(None)
        }
        Ok(tls) => {
            let facts = Arc::new(facts(tls.get_ref().1, local, chosen.names, client_auth));
            if let Some(auth) = client_auth {
                let result = if facts.client.is_some() { "ok" } else { "none" };
                telemetry.metrics.client_certificate(auth.vhost(), result);
            }
            Ok(Some(Secured::new(tls, facts)))
        }
        Err((error, socket)) => {
            if let Some((auth, result)) = client_auth.zip(refused(&error)) {
                telemetry.metrics.client_certificate(auth.vhost(), result);
                tracing::debug!(vhost = auth.vhost(), result, "a client's certificate is refused");
            }
            Err(told(error, Some(socket)).await)
        }
    }
}

/// The address of ours that the client came to: with the PROXY protocol, the one that its header names.
fn local(socket: &Socket) -> Option<IpAddr> {
    let digest = socket.get_socket_digest()?;
    Some(digest.local_addr()?.as_inet()?.ip())
}

/// What was wrong with the client's certificate, if that was it.
fn refused(error: &io::Error) -> Option<&'static str> {
    client_auth::outcome(error.get_ref()?.downcast_ref()?)
}

/// Sends the alert that the library has written, if the client still listens.
async fn told(error: io::Error, socket: Option<Socket>) -> io::Error {
    if let Some(mut socket) = socket {
        let _ = socket.shutdown().await;
    }
    error
}

fn facts(
    session: &ServerConnection,
    local: Option<IpAddr>,
    names: Arc<[String]>,
    client_auth: Option<&ClientAuth>,
) -> TlsFacts {
    let shown = session.peer_certificates();
    TlsFacts {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        },
        cipher: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown"),
        group: session.negotiated_key_exchange_group().map(|group| name(group.name())),
        sni: session.server_name().map(|name| name.strip_suffix('.').unwrap_or(name).into()),
        local,
        alpn: match session.alpn_protocol() {
            Some(b"h2") => Some("h2"),
            Some(b"http/1.1") => Some("http/1.1"),
            _ => None,
        },
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        names,
        client: client_auth
            .zip(shown)
            .and_then(|(auth, chain)| auth.shown(chain, UnixTime::now()))
            .map(Arc::new),
    }
}

/// As IANA has it; one of few, so that it can be a label.
const fn name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768",
        NamedGroup::MLKEM768 => "MLKEM768",
        NamedGroup::X25519 => "X25519",
        NamedGroup::secp256r1 => "secp256r1",
        NamedGroup::secp384r1 => "secp384r1",
        NamedGroup::secp521r1 => "secp521r1",
        _ => "other",
    }
}

/// A record of one alert, fatal, as nothing is encrypted yet (RFC 8446 sections 5.1 and 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
