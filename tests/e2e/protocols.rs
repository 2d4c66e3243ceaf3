//! HTTP versions on both sides, gRPC, and connections that switch protocols.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use crate::support::{
    Answer, Flux, H2Client, Peer, Running, certificate, curl, request, server_config, wait,
};

fn site(server: SocketAddr, keys: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{server}\"]\n{keys}\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    )
}

/// An origin that answers by ALPN, and what makes us speak `protocol` with it.
fn secure(dir: &tempfile::TempDir, protocol: &str, alpn: &[&[u8]]) -> (Peer, String) {
    certificate(dir.path(), "origin", &["app.test"]);
    let config = server_config(dir.path(), "origin", &[&TLS13, &TLS12], alpn, None);
    let origin = Peer::start(Answer::Either, Some(config));
    let ca = dir.path().join("origin.pem");
    let keys = format!(
        "protocol = \"{protocol}\"\ntls = {{ ca = \"{}\", server_name = \"app.test\" }}",
        ca.display()
    );
    let config = site(origin.address, &keys);
    (origin, config)
}

/// Listens with TLS for `a.test`.
fn with_tls(rest: &str) -> Running {
    let names = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n";
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]", &format!("{names}{rest}"));
    certificate(flux.dir.path(), "a", &["a.test"]);
    flux.start()
}

#[test]
fn carries_grpc_from_end_to_end() {
    let dir = crate::support::folder();
    let (secure, over_tls) = secure(&dir, "h2", &[b"h2"]);
    let plain = Peer::start(Answer::Http2, None);
    for (origin, config) in [(&secure, over_tls), (&plain, site(plain.address, "protocol = \"h2c\""))] {
        let flux = with_tls(&config);
        for number in 1..=3 {
            let stream = H2Client::secure(flux.dir.path(), flux.https());
            let (status, body, trailers) = H2Client::post(stream, "/pkg.Service/Method", b"\0\0\0\0\x02hi");
            assert_eq!((status, body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
            assert_eq!(trailers["grpc-status"], "0");
            assert_eq!(trailers["x-length"], "7");
            assert_eq!((origin.requests().len(), origin.connections()), (number, 1));
        }
        let head = origin.requests()[0].clone();
        assert!(head.contains("te\": \"trailers") && head.contains("/pkg.service/method"), "{head}");
        assert!(!head.contains("\"connection\"") && !head.contains("\"host\""), "{head}");
    }
}

#[test]
fn speaks_the_version_that_the_server_agrees_to() {
    let dir = crate::support::folder();
    for (alpn, agreed) in [(&[b"h2".as_slice(), b"http/1.1"][..], "h2"), (&[b"http/1.1"], "http/1.1")] {
        let (origin, config) = secure(&dir, "auto", alpn);
        let flux = Flux::with(&config).start();
        assert_eq!(request(flux.http(), "x.test", "/").status, 200);
        assert_eq!(request(flux.http(), "x.test", "/").status, 200);
        let seen = origin.tls();
        assert_eq!(seen[0].alpn.as_deref(), Some(agreed));
    }
}

#[test]
fn sends_http_1_requests_on_over_http_2() {
    let origin = Peer::start(Answer::Http2, None);
    let flux = Flux::with(&site(origin.address, "protocol = \"h2c\"\nkeepalive_timeout = \"0s\"")).start();
    let body = vec![b'x'; 300_000];
    let file = flux.dir.path().join("body");
    std::fs::write(&file, &body).unwrap();
    let url = format!("http://{}/up?q=1", flux.http());
    let send = format!("@{}", file.display());
    let got = curl(&["-H", "Host: a.test", "-H", "Expect:", "--data-binary", &send, &url]);
    assert!(got == body, "{} of {} bytes", got.len(), body.len());
    let head = origin.requests()[0].clone();
    assert!(head.starts_with("post http://a.test/up?q=1 "), "{head}");
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A connection that has switched protocols, and the origin's end of it.
fn tunnel(flux: &Running, origin: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(UPGRADE.as_bytes()).unwrap();
    let (mut server, _) = origin.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    // Before it has read a byte of the request: the answer may be there before the request's end is
    // noticed.
    server.write_all(SWITCHING.as_bytes()).unwrap();
    read_past(&mut server, "\r\n\r\n");
    let head = read_past(&mut client, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    (client, server)
}

fn read_past(stream: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let mut byte = [0; 1];
        let read = stream.read(&mut byte).unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&got));
        got.push(byte[0]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// Whether the peer ends it within 20 seconds.
fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn an_answer_as_quick_as_the_request_loses_nothing_of_the_new_protocol() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = Flux::with(&site(origin.local_addr().unwrap(), "")).start();
    // It was a matter of chance: each of these would be lost once in two times.
    for _ in 0..40 {
        let (mut client, mut server) = tunnel(&flux, &origin);
        client.write_all(b"ping.").unwrap();
        assert_eq!(read_past(&mut server, "."), "ping.");
        server.write_all(b"pong.").unwrap();
        assert_eq!(read_past(&mut client, "."), "pong.");
    }
}

#[test]
fn a_tunnel_lives_while_either_side_says_something() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let keys = "upgrade_idle_timeout = \"2s\"\nread_timeout = \"1s\"";
    let limits = "[limits]\nread_timeout = \"1s\"\n";
    let flux = Flux::with(&(site(origin.local_addr().unwrap(), keys) + limits)).start();
    let (mut client, mut server) = tunnel(&flux, &origin);
    let began = Instant::now();
    // Far beyond each timeout, one side silent and then the other.
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(500));
        client.write_all(b"c.").unwrap();
        assert_eq!(read_past(&mut server, "."), "c.");
    }
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(500));
        server.write_all(b"s.").unwrap();
        assert_eq!(read_past(&mut client, "."), "s.");
    }
    assert!(began.elapsed() > Duration::from_secs(7));
    let silent = Instant::now();
    assert!(ends(&mut client) && ends(&mut server));
    assert!(silent.elapsed() >= Duration::from_millis(1500), "after {:?}", silent.elapsed());
}

#[test]
fn what_was_sent_before_an_end_arrives_before_it() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = Flux::with(&site(origin.local_addr().unwrap(), "")).start();
    for of_client in [true, false] {
        let (client, server) = tunnel(&flux, &origin);
        let (mut from, mut to) = if of_client { (client, server) } else { (server, client) };
        let sent = vec![b'x'; 1 << 20];
        let writer = std::thread::spawn(move || {
            from.write_all(&sent).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
            from
        });
        let mut got = Vec::new();
        to.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), 1 << 20, "from the client: {of_client}");
        // As with nginx: with one side's end, the tunnel ends.
        assert!(ends(&mut writer.join().unwrap()));
    }
}

#[test]
fn an_answer_that_refuses_to_switch_is_an_ordinary_one() {
    let origin = Peer::start(Answer::Http1, None);
    let flux = Flux::with(&site(origin.address, "")).start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    for _ in 0..2 {
        client.write_all(UPGRADE.as_bytes()).unwrap();
        assert!(read_past(&mut client, "hello").starts_with("HTTP/1.1 200"));
    }
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(read_past(&mut client, "hello").starts_with("HTTP/1.1 200"));
}

#[test]
fn switches_protocols_over_tls_to_the_upstream() {
    let dir = crate::support::folder();
    certificate(dir.path(), "origin", &["app.test"]);
    let config = server_config(dir.path(), "origin", &[&TLS13, &TLS12], &[b"http/1.1"], None);
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let ca = dir.path().join("origin.pem");
    for protocol in ["http1", "auto"] {
        let keys = format!(
            "protocol = \"{protocol}\"\ntls = {{ ca = \"{}\", server_name = \"app.test\" }}",
            ca.display()
        );
        let flux = Flux::with(&site(origin.local_addr().unwrap(), &keys)).start();
        let mut client = TcpStream::connect(flux.http()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(UPGRADE.as_bytes()).unwrap();
        let (tcp, _) = origin.accept().unwrap();
        let mut server =
            rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), tcp);
        let mut head = [0; 4096];
        assert!(server.read(&mut head).unwrap() > 0);
        server.write_all(format!("{SWITCHING}hello.").as_bytes()).unwrap();
        assert!(read_past(&mut client, "hello.").starts_with("HTTP/1.1 101"));
        client.write_all(b"ping").unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
    }
}

#[test]
fn takes_http_2_without_tls_where_the_listener_says_so() {
    let origin = Peer::start(Answer::Http2, None);
    let rest = site(origin.address, "protocol = \"h2c\"");
    let flux = Flux::server("http = [{ address = \"127.0.0.1:0\", h2c = true }]", &rest).start();
    let (status, body, trailers) = H2Client::post(H2Client::plain(flux.http()), "/s/m", b"hi");
    assert_eq!((status, body.as_slice(), trailers["grpc-status"].to_str().unwrap()), (200, &b"hi"[..], "0"));
    // HTTP/1.1 beside it, however it begins.
    assert_eq!(request(flux.http(), "a.test", "/").status, 200);
    let mut client = TcpStream::connect(flux.http()).unwrap();
    for piece in ["P", "R", "I", "NT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"] {
        client.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 "), "{got}");
    // Elsewhere it is refused.
    let flux = Flux::with(&site(origin.address, "protocol = \"h2c\"")).start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut got = String::new();
    let _ = client.read_to_string(&mut got);
    assert!(got.starts_with("HTTP/1.1 505"), "{got}");
}

fn announced(trusted: &str, origin: SocketAddr) -> Flux {
    let server = format!(
        "http = [{{ address = \"127.0.0.1:0\", proxy_protocol = true, h2c = true }}]\n\
         https = [{{ address = \"127.0.0.1:0\", proxy_protocol = true }}]\ntrusted_proxies = [\"{trusted}\"]"
    );
    let names = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n[limits]\nheader_timeout = \"1s\"\n";
    let flux = Flux::server(&server, &format!("{names}{}", site(origin, "")));
    certificate(flux.dir.path(), "a", &["a.test"]);
    flux
}

/// What comes back to these bytes until the end.
fn sent(address: SocketAddr, bytes: &[u8]) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = client.write_all(bytes);
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    String::from_utf8_lossy(&got).into_owned()
}

const GET: &[u8] = b"GET /told HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

#[test]
fn believes_proxy_headers_of_trusted_proxies() {
    let origin = Peer::start(Answer::Http1, None);
    let flux = announced("127.0.0.0/8", origin.address).start();
    let v1 = [b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 8443\r\n", GET].concat();
    assert!(sent(flux.http(), &v1).starts_with("HTTP/1.1 200"));
    assert_eq!(flux.access_line("/told")["client_ip"], "192.0.2.7");
    let head = origin.requests()[0].clone();
    assert!(head.contains("x-forwarded-for: 192.0.2.7") && head.contains("x-forwarded-port: 8443"), "{head}");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\xc6\x33\x64\x01\x0f\xa0\x01\xbb";
    assert!(sent(flux.http(), &[v2, GET].concat()).starts_with("HTTP/1.1 200"));
    assert!(origin.requests()[1].contains("x-forwarded-for: 192.0.2.8"));
    // A health check of the proxy itself.
    assert!(
        sent(flux.http(), &[b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", GET].concat()).starts_with("HTTP/1.1 200")
    );
    assert!(origin.requests()[2].contains("x-forwarded-for: 127.0.0.1"));
}

#[test]
fn reads_proxy_headers_in_front_of_tls() {
    let origin = Peer::start(Answer::Http1, None);
    let flux = announced("127.0.0.0/8", origin.address).start();
    let ca = flux.dir.path().join("a.pem");
    let resolve = format!("a.test:{}:127.0.0.1", flux.https().port());
    let url = format!("https://a.test:{}/", flux.https().port());
    let curl = |protocol: &str| {
        curl(&["--haproxy-protocol", protocol, "--cacert", ca.to_str().unwrap(), "--resolve", &resolve, &url])
    };
    for protocol in ["--http1.1", "--http2"] {
        assert_eq!(curl(protocol), b"hello");
    }
}

#[test]
fn refuses_connections_that_begin_otherwise_and_those_of_others() {
    let origin = Peer::start(Answer::Http1, None);
    let flux = announced("127.0.0.0/8", origin.address).start();
    for bytes in [
        GET.to_vec(),
        [b"PROXY TCP4 192.0.2.7 198.51.100.1 04000 8443\r\n", GET].concat(),
        b"PROXY TCP4 192.0.2.7".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
    ] {
        for address in [flux.http(), flux.https()] {
            assert_eq!(sent(address, &bytes), "", "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
    let others = announced("192.0.2.0/24", origin.address).start();
    let told = [b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 8443\r\n", GET].concat();
    assert_eq!(sent(others.http(), &told), "");
    // Where no header is expected, it is no request.
    let plain = Flux::with(&site(origin.address, "")).start();
    assert!(sent(plain.http(), &told).starts_with("HTTP/1.1 400"));
    assert!(origin.requests().is_empty());
    let metrics = String::from_utf8(curl(&[&format!("http://{}/metrics", flux.metrics())])).unwrap();
    assert!(metrics.contains("fluxheim_connections_refused_total{reason=\"proxy_protocol\"} 8"), "{metrics}");
}

#[test]
fn counts_the_clients_that_a_proxy_tells_of() {
    let origin = Peer::start(Answer::Http1, None);
    let server = "http = [{ address = \"127.0.0.1:0\", proxy_protocol = true, max_connections_per_client = 1 }]\n\
                  trusted_proxies = [\"127.0.0.1\"]";
    let flux = Flux::server(server, &site(origin.address, "")).start();
    let held = |client: &str| {
        let mut stream = TcpStream::connect(flux.http()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "PROXY TCP4 {client} 198.51.100.1 4000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut got = [0; 15];
        let read = stream.read(&mut got).unwrap_or(0);
        (read > 0).then_some(stream)
    };
    let first = held("192.0.2.7").expect("the first is served");
    assert!(held("192.0.2.7").is_none(), "two of one client");
    assert!(held("192.0.2.8").is_some(), "another client");
    drop(first);
    assert!(wait(|| held("192.0.2.7")).is_some(), "the first has gone");
}
