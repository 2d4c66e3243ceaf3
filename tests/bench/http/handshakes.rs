//! Clients that make a TLS 1.3 connection, never resumed, for each request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, StreamOwned};

use crate::stage::Stage;

/// A connection with its handshake done.
pub(crate) type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// X25519 alone, which all contestants have, and no resumption.
pub(crate) fn config(stage: &Stage) -> Arc<ClientConfig> {
    let pem = std::fs::read(stage.path().join("a.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Connects and shakes hands.
pub(crate) fn connect(config: &Arc<ClientConfig>, at: SocketAddr) -> Encrypted {
    let client = ClientConnection::new(Arc::clone(config), "a.test".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut tls = StreamOwned::new(client, socket);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).unwrap();
    }
    assert_eq!(tls.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(tls.conn.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519);
    tls
}

/// How many are done in a round, each with an answer.
pub(crate) fn count(stage: &Stage, at: SocketAddr) -> f64 {
    let (config, end) = (config(stage), Instant::now() + Duration::from_secs(stage.seconds.into()));
    let done: u32 = std::thread::scope(|scope| {
        let client = || {
            let mut done = 0;
            while Instant::now() < end {
                ask_once(connect(&config, at));
                done += 1;
            }
            done
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    done.into()
}

fn ask_once(mut tls: Encrypted) {
    tls.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    // Some end without a close_notify; the answer is judged by its content.
    let _ = tls.read_to_end(&mut got);
    assert!(
        got.starts_with(b"HTTP/1.1 200") && got.ends_with(&[b'x'; 32]),
        "{}",
        String::from_utf8_lossy(&got)
    );
}

const CLIENTS: usize = 4;
