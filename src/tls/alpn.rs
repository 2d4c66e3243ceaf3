//! Answers to validations by TLS-ALPN-01 (RFC 8737): certificates that no client but a CA asks for.
//!
//! Owns the table by server name, and the terms of such a handshake. Who puts something in is ACME.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

/// The only protocol of such a handshake (RFC 8737 section 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// By server name, in lower case.
#[derive(Debug, Default)]
pub struct AlpnAnswers(Mutex<HashMap<String, Answer>>);

#[derive(Debug)]
struct Answer {
    token: String,
    pair: Arc<CertifiedKey>,
}

impl AlpnAnswers {
    /// Answers for `name` with `pair`, which belongs to `token`.
    pub fn enter(&self, name: &str, token: &str, pair: CertifiedKey) {
        let answer = Answer { token: token.to_owned(), pair: Arc::new(pair) };
        self.all().insert(name.to_ascii_lowercase(), answer);
    }

    /// Takes out what belongs to `token`.
    pub fn remove(&self, token: &str) {
        self.all().retain(|_, answer| answer.token != token);
    }

    /// The answer for a server name in lower case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.all().get(name).map(|answer| Arc::clone(&answer.pair))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for AlpnAnswers {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(&hello.server_name()?.to_ascii_lowercase())
    }
}

/// Whether this client validates by TLS-ALPN-01: it offers that protocol and no other.
#[must_use]
pub(super) fn validates(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else { return false };
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

/// The terms for it; nothing is spoken after such a handshake, so nothing is resumed either.
#[must_use]
pub(super) fn terms(answers: &Arc<AlpnAnswers>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_protocol_versions(&[&TLS13, &TLS12])
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(answers) as _);
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config
}
