//! What reaches the origin and what comes back.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Flux, Nginx, Scripted, curl, exchange, request};

fn to(origin: &std::net::SocketAddr) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n[limits]\nmax_body_size = \"unlimited\"\n"
    )
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SPOOFED: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\n\
                       X-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n";

#[test]
fn carries_ten_mebibytes_unchanged() {
    let body: Vec<u8> =
        (0..10 * 1024 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let nginx = Nginx::serving(&[("big", &body)]);
    let flux = Flux::with(&to(&nginx.address)).start();
    assert!(curl(&[&format!("http://{}/big", flux.http())]) == body);
}

#[test]
fn replaces_forwarding_claims_of_an_untrusted_client() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(&origin.address)).start();
    assert_eq!(exchange(flux.http(), SPOOFED).status, 200);
    let head = origin.last_head();
    assert!(!head.contains("6.6.6.6"), "{head}");
    for field in [
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: a.test\r\n",
        "x-real-ip: 127.0.0.1\r\n",
        "host: a.test\r\n",
        "via: 1.1 fluxheim\r\n",
    ] {
        assert!(head.contains(field), "{field:?} not in {head}");
    }
}

#[test]
fn believes_a_trusted_proxy_and_logs_the_client_it_names() {
    let origin = Scripted::answering(OK);
    let server = "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let flux = Flux::server(server, &to(&origin.address)).start();
    assert_eq!(exchange(flux.http(), SPOOFED).status, 200);
    let head = origin.last_head();
    for field in [
        "x-forwarded-for: 6.6.6.6, 127.0.0.1\r\n",
        "x-forwarded-proto: https\r\n",
        "x-real-ip: 6.6.6.6\r\n",
        "forwarded: for=6.6.6.6, for=127.0.0.1;",
    ] {
        assert!(head.contains(field), "{field:?} not in {head}");
    }
    let line = flux.access_line("/");
    assert_eq!((line["client_ip"].as_str(), line["peer_ip"].as_str()), (Some("6.6.6.6"), Some("127.0.0.1")));
}

#[test]
fn passes_no_hop_by_hop_fields_either_way() {
    let origin = Scripted::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=9\r\nX-Kept: 1\r\n\r\nok",
    );
    let flux = Flux::with(&to(&origin.address)).start();
    let response = exchange(
        flux.http(),
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: x\r\nTE: trailers\r\nX-End: 1\r\n\r\n",
    );
    let head = origin.last_head();
    for gone in ["x-hop", "keep-alive:", "proxy-connection", "te:"] {
        assert!(!head.contains(&format!("\r\n{gone}")), "{gone} in {head}");
    }
    assert!(head.contains("x-end: 1"), "{head}");
    for gone in ["x-inner", "keep-alive"] {
        assert!(!response.head.contains(gone), "{gone} in {}", response.head);
    }
    assert!(response.head.contains("x-kept: 1"), "{}", response.head);
    assert_eq!(response.body, b"ok");
}

#[test]
fn refuses_to_let_a_client_strip_what_the_origin_relies_on() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(&origin.address)).start();
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Forwarded-For\r\n\r\n";
    assert_eq!(exchange(flux.http(), request).status, 400);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn keeps_client_and_upstream_connections() {
    let origin = Scripted::answering(OK);
    let flux = Flux::server("http = [\"127.0.0.1:0\"]\nthreads = 1", &to(&origin.address)).start();
    let url = format!("http://{}/", flux.http());
    let out = curl(&["-w", " %{num_connects}", &url, &url, &url]);
    assert_eq!(String::from_utf8(out).unwrap(), "ok 1ok 0ok 0");
    assert_eq!((origin.requests(), origin.connections()), (3, 1));
}

#[test]
fn lets_a_websocket_upgrade_through_and_pipes_bytes() {
    let origin = Scripted::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello",
    );
    let limited = to(&origin.address).replace("\"unlimited\"", "\"1KiB\"");
    let flux = Flux::with(&limited).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .unwrap();
    let (mut got, mut buffer) = (String::new(), [0; 1024]);
    while !got.ends_with("hello") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {got:?}");
        got.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(got.starts_with("HTTP/1.1 101"), "{got}");
    assert!(got.to_ascii_lowercase().contains("upgrade: websocket"), "{got}");
    // Bytes of the tunnel are no request body: the limit of those does not end it.
    let sent = vec![b'w'; 3000];
    stream.write_all(&sent).unwrap();
    assert!(origin.piped(3000), "the origin got {} bytes", origin.piped_bytes());
}

#[test]
fn answers_502_when_the_origin_breaks_off_before_its_head() {
    let origin = Scripted::answering("not http at all\r\n\r\n");
    let flux = Flux::with(&to(&origin.address)).start();
    let response = request(flux.http(), "a.test", "/broken");
    assert_eq!(response.status, 502);
    assert_eq!(flux.access_line("/broken")["error"], "upstream_protocol");
}

#[test]
fn answers_and_logs_a_failure_that_follows_an_interim_response() {
    let origin = Scripted::answering("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nnot http\r\n\r\n");
    let flux = Flux::with(&to(&origin.address)).start();
    let response = request(flux.http(), "a.test", "/hinted");
    let all = response.head + &String::from_utf8_lossy(&response.body);
    assert!(all.to_ascii_lowercase().contains("http/1.1 502"), "{all}");
    assert_eq!(flux.access_line("/hinted")["status"], 502);
}

#[test]
fn sends_no_chunks_to_an_http_1_0_client() {
    let origin =
        Scripted::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let flux = Flux::with(&to(&origin.address)).start();
    let response = exchange(flux.http(), "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert!(!response.head.contains("transfer-encoding"), "{}", response.head);
    assert_eq!(response.body, b"hello");
}

#[test]
fn routes_and_forwards_one_and_the_same_path() {
    let (wall, open) = (Scripted::answering(OK), Scripted::answering(OK));
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"wall\"\nservers = [\"{}\"]\n[[upstreams]]\nname = \"open\"\nservers = [\"{}\"]\n\
         [[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/admin\"\nupstream = \"wall\"\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"open\"\n",
        wall.address, open.address
    ))
    .start();
    for path in ["/%61dmin/x?q=%2F", "//admin/x?q=%2F", "/admin//x?q=%2F"] {
        assert_eq!(request(flux.http(), "a.test", path).status, 200, "{path}");
        assert!(wall.last_head().starts_with("get /admin/x?q=%2f http/1.1"), "{}", wall.last_head());
    }
    assert_eq!(request(flux.http(), "a.test", "/admin%2Fx").status, 400);
    assert_eq!((wall.requests(), open.requests()), (3, 0));
}

#[test]
fn keeps_no_upstream_connection_when_told_to_keep_none() {
    let origin = Scripted::answering(OK);
    let rest = to(&origin.address).replace("[[vhosts]]", "keepalive_timeout = \"0s\"\n[[vhosts]]");
    let flux = Flux::with(&rest).start();
    for _ in 0..3 {
        assert_eq!(request(flux.http(), "a.test", "/").status, 200);
    }
    assert_eq!((origin.requests(), origin.connections()), (3, 3));
    assert!(origin.last_head().contains("connection: close"));
}
