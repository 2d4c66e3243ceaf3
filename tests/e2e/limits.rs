//! Each documented limit, from the side of a client that tries to pass it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Flux, Scripted, certificate, exchange, request, tls};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn to(origin: SocketAddr) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    )
}

/// How long the server lets a connection stand that sends only `bytes`.
fn stands(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    began.elapsed()
}

#[test]
fn answers_exactly_keepalive_requests_on_a_connection() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!("{}[limits]\nkeepalive_requests = 3\n", to(origin.address))).start();
    let response = exchange(flux.http(), &"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
    let all = response.head + &String::from_utf8_lossy(&response.body);
    assert_eq!(all.to_ascii_lowercase().matches("http/1.1 200").count(), 3, "{all}");
}

#[test]
fn answers_pipelined_requests_in_order() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(origin.address)).start();
    let both = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let response = exchange(flux.http(), both);
    let all = response.head + &String::from_utf8_lossy(&response.body);
    assert_eq!(all.to_ascii_lowercase().matches("http/1.1 200").count(), 2, "{all}");
}

#[test]
fn ends_a_connection_that_never_begins() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!("{}[limits]\nread_timeout = \"1s\"\n", to(origin.address))).start();
    let stood = stands(flux.http(), b"");
    assert!(stood > Duration::from_millis(700) && stood < Duration::from_secs(5), "{stood:?}");
}

#[test]
fn ends_an_http2_connection_that_never_begins_and_does_not_wait_for_it_on_stop() {
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n{}[limits]\nread_timeout = \"2s\"\n",
        to(([127, 0, 0, 1], 9).into())
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let mut silent = tls(&flux, "a.test", &[b"h2"]);
    let began = Instant::now();
    silent.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = silent.read_to_end(&mut Vec::new());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn ends_a_handshake_that_never_begins() {
    let rest = format!(
        "[tls]\nhandshake_timeout = \"1s\"\n[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n{}",
        to(([127, 0, 0, 1], 9).into())
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let stood = stands(flux.https(), b"");
    assert!(stood > Duration::from_millis(700) && stood < Duration::from_secs(5), "{stood:?}");
}

#[test]
fn keeps_an_idle_connection_for_keepalive_timeout() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!("{}[limits]\nkeepalive_timeout = \"1s\"\n", to(origin.address))).start();
    let stood = stands(flux.http(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(stood > Duration::from_millis(700) && stood < Duration::from_secs(5), "{stood:?}");
}

#[test]
fn serves_every_listener_within_max_connections_and_queues_the_rest() {
    let origin = Scripted::answering(OK);
    let server = "http = [\"127.0.0.1:0\", \"127.0.0.2:0\"]";
    let flux =
        Flux::server(server, &format!("{}[limits]\nmax_connections = 1\n", to(origin.address))).start();
    let both = flux.addresses("http");
    assert_eq!(both.len(), 2);
    for address in &both {
        assert_eq!(request(*address, "a", "/").status, 200);
    }
    let held = TcpStream::connect(both[0]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let waiting = std::thread::spawn({
        let address = both[1];
        move || request(address, "a", "/").status
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "a second connection was served");
    drop(held);
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn answers_probes_beside_a_crowd_of_idle_connections() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(origin.address)).start();
    let metrics = flux.metrics();
    let _crowd: Vec<_> = (0..80).map(|_| TcpStream::connect(metrics).unwrap()).collect();
    let began = Instant::now();
    assert_eq!(request(metrics, "x", "/livez").status, 200);
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}
