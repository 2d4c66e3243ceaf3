//! Origins and clients with HTTP/2 and TLS, which tell what they were spoken to with.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// What an origin saw of one connection's TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerTls {
    pub(crate) name: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) group: Option<String>,
    /// Whether the client showed a certificate.
    pub(crate) certificate: bool,
}

/// An origin with TLS or without, with HTTP/1.1 or HTTP/2.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    tls: Vec<PeerTls>,
    requests: Vec<String>,
    poured: usize,
}

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// With HTTP/1.1, "hello" to every request; a connection ends where it was asked to.
    Http1,
    /// With HTTP/2: the request's body, and trailers that say how long it was.
    Http2,
    /// With HTTP/2: as many bytes as anybody takes, which are counted, until that many.
    Flood(usize),
    /// Whichever ALPN says.
    Either,
}

/// A server's TLS with the certificate `name` in `folder`, and with `clients` the CA in that file.
pub(crate) fn server_config(
    folder: &Path,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
    clients: Option<&str>,
) -> Arc<ServerConfig> {
    let read = |file: String| std::fs::read(folder.join(file)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&read(format!("{ca}.pem"))).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = CertificateDer::pem_slice_iter(&read(format!("{name}.pem"))).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&read(format!("{name}.key"))).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Peer {
    pub(crate) fn start(answer: Answer, tls: Option<Arc<ServerConfig>>) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kept = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (seen, tls) = (Arc::clone(&kept), tls.clone());
                seen.lock().unwrap().connections += 1;
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, answer, None, seen).await,
                        Some(tls) => {
                            let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await else { return };
                            let facts = facts(stream.get_ref().1);
                            seen.lock().unwrap().tls.push(facts.clone());
                            serve(stream, answer, facts.alpn, seen).await;
                        }
                    }
                });
            }
        });
        Self { address, seen, _runtime: runtime }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Of every finished handshake.
    pub(crate) fn tls(&self) -> Vec<PeerTls> {
        self.seen.lock().unwrap().tls.clone()
    }

    /// Bytes of a flood that somebody has taken.
    pub(crate) fn poured(&self) -> usize {
        self.seen.lock().unwrap().poured
    }

    /// Heads, as far as they matter, lower-cased.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }
}

fn facts(connection: &rustls::ServerConnection) -> PeerTls {
    PeerTls {
        name: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
        group: connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        certificate: connection.peer_certificates().is_some(),
    }
}

async fn serve<S>(stream: S, answer: Answer, alpn: Option<String>, seen: Arc<Mutex<Seen>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match (answer, alpn.as_deref()) {
        (Answer::Flood(most), _) => serve_h2(stream, seen, Some(most)).await,
        (Answer::Http2, _) | (Answer::Either, Some("h2")) => serve_h2(stream, seen, None).await,
        (Answer::Http1 | Answer::Either, _) => serve_h1(stream, seen).await,
    }
}

async fn serve_h1<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, seen: Arc<Mutex<Seen>>) {
    let (mut held, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        held.extend_from_slice(&buffer[..read]);
        while let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<_> = held.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let last = head.contains("connection: close");
            seen.lock().unwrap().requests.push(head);
            let end = if last { "Connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{end}\r\nhello");
            if stream.write_all(answer.as_bytes()).await.is_err() || last {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }
}

async fn serve_h2<S>(stream: S, seen: Arc<Mutex<Seen>>, flood: Option<usize>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            match flood {
                None => echo(request, respond, &seen).await,
                Some(most) => pour(respond, &seen, most).await,
            }
        });
    }
}

async fn echo(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    seen: &Mutex<Seen>,
) -> Option<()> {
    let (head, mut body) = request.into_parts();
    let text = format!("{} {} {:?}", head.method, head.uri, head.headers).to_ascii_lowercase();
    seen.lock().unwrap().requests.push(text);
    let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut send = respond.send_response(response, false).ok()?;
    let mut length = 0;
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        length += piece.len();
        send.send_data(piece, false).ok()?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-length", length.to_string().parse().unwrap());
    if let Ok(Some(sent)) = body.trailers().await {
        trailers.extend(sent);
    }
    send.send_trailers(trailers).ok()
}

async fn pour(mut respond: h2::server::SendResponse<Bytes>, seen: &Mutex<Seen>, most: usize) -> Option<()> {
    let mut send = respond.send_response(Response::new(()), false).ok()?;
    let mut left = most;
    while left > 0 {
        send.reserve_capacity(left.min(16 << 10));
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await?.ok()?.min(left);
        send.send_data(Bytes::from(vec![b'x'; room]), room == left).ok()?;
        left -= room;
        seen.lock().unwrap().poured += room;
    }
    Some(())
}

/// A client that speaks HTTP/2, over TLS or with prior knowledge.
pub(crate) struct H2Client;

impl H2Client {
    /// `POST path` with `body` over `stream`: status, body and trailers.
    pub(crate) fn post<S, F>(stream: F, path: &str, body: &'static [u8]) -> (u16, Vec<u8>, HeaderMap)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = S>,
    {
        let uri = format!("http://a.test{path}");
        runtime().block_on(async move {
            let work = async {
                let (mut send, connection) = h2::client::handshake(stream.await).await.unwrap();
                tokio::spawn(connection);
                let request = Request::post(uri)
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(())
                    .unwrap();
                let (response, mut sending) = send.send_request(request, false).unwrap();
                sending.send_data(Bytes::from_static(body), true).unwrap();
                let (head, mut body) = response.await.unwrap().into_parts();
                let mut got = Vec::new();
                while let Some(piece) = body.data().await {
                    let piece = piece.unwrap();
                    let _ = body.flow_control().release_capacity(piece.len());
                    got.extend_from_slice(&piece);
                }
                let trailers = body.trailers().await.unwrap().unwrap_or_default();
                (head.status.as_u16(), got, trailers)
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), work).await.expect("no whole answer")
        })
    }

    /// `GET path` over `stream`: the body as far as it came, and whether it ended well.
    pub(crate) fn get<S, F>(stream: F, path: &str) -> (Vec<u8>, bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = S>,
    {
        let uri = format!("http://a.test{path}");
        runtime().block_on(async move {
            let (mut send, connection) = h2::client::handshake(stream.await).await.unwrap();
            tokio::spawn(connection);
            let (response, _) = send.send_request(Request::get(uri).body(()).unwrap(), true).unwrap();
            let Ok(response) = response.await else { return (Vec::new(), false) };
            let (mut body, mut got) = (response.into_body(), Vec::new());
            while let Some(piece) = body.data().await {
                let Ok(piece) = piece else { return (got, false) };
                let _ = body.flow_control().release_capacity(piece.len());
                got.extend_from_slice(&piece);
            }
            (got, true)
        })
    }

    /// A plain connection.
    pub(crate) async fn plain(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.unwrap()
    }

    /// A TLS connection for `a.test` that trusts the certificate in `a.pem` of `folder`.
    pub(crate) async fn secure(
        folder: &Path,
        address: SocketAddr,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&std::fs::read(folder.join("a.pem")).unwrap()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect("a.test".try_into().unwrap(), tcp).await.unwrap()
    }
}
