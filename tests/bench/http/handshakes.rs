//! Clients that make a TLS 1.3 connection for each request, with a new session or with one they had before.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, StreamOwned,
};

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
    // The request is behind the last message of the handshake, which would have to be acknowledged first.
    socket.set_nodelay(true).unwrap();
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
    rounds(stage, at, &config(stage), HandshakeKind::Full)
}

/// The same with sessions that are taken up; those that are made for it don't count.
pub(crate) fn count_resumed(stage: &Stage, at: SocketAddr) -> f64 {
    let mut config = ClientConfig::clone(&config(stage));
    config.resumption = Resumption::in_memory_sessions(16);
    let config = Arc::new(config);
    // Each brings tickets, and each that is taken up brings one for the next.
    (0..2 * CLIENTS).for_each(|_| ask_once(connect(&config, at)));
    rounds(stage, at, &config, HandshakeKind::Resumed)
}

fn rounds(stage: &Stage, at: SocketAddr, config: &Arc<ClientConfig>, kind: HandshakeKind) -> f64 {
    let end = Instant::now() + Duration::from_secs(stage.seconds.into());
    let client = || {
        let (mut done, mut others) = (0_u32, 0_u32);
        while Instant::now() < end {
            let tls = connect(config, at);
            if tls.conn.handshake_kind() == Some(kind) {
                done += 1
            } else {
                others += 1
            }
            ask_once(tls);
        }
        (done, others)
    };
    let (done, others) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        counts.fold((0, 0), |sum, (done, others)| (sum.0 + done, sum.1 + others))
    });
    assert!(others * 50 <= done, "{others} handshakes of another kind than {kind:?}, beside {done}");
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
