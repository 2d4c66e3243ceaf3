//! Each documented limit, from the side of a client that tries to pass it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

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

/// One listener asks for a body to come quickly, the other lets it be; after a reload it is the other way round.
#[test]
fn each_listener_has_its_own_pace_and_a_reload_changes_it() {
    let origin = Scripted::answering(OK);
    let server = "http = [{ address = \"127.0.0.2:0\", min_body_rate = \"1KiB\", header_timeout = \"2s\" },\n\
                  { address = \"127.0.0.3:0\", min_body_rate = \"off\", header_timeout = \"8s\" }]";
    let flux = Flux::server(server, &to(origin.address)).start();
    let body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1";
    let stood = |bytes: &[u8]| {
        std::thread::scope(|scope| {
            let [one, other] = flux.addresses("http").try_into().unwrap();
            let both = [one, other].map(|address| scope.spawn(move || stands(address, bytes)));
            both.map(|one| one.join().unwrap())
        })
    };
    let [strict, lax] = stood(body);
    assert!(
        strict > Duration::from_secs(9) && strict < Duration::from_secs(15) && lax > strict,
        "{strict:?} {lax:?}"
    );
    let [strict, lax] = stood(b"GET");
    assert!(strict < Duration::from_secs(5) && lax > Duration::from_secs(6), "{strict:?} {lax:?}");
    let text = std::fs::read_to_string(&flux.config).unwrap();
    let turned = text.replace("\"8s\"", "\"?\"").replace("\"2s\"", "\"8s\"").replace("\"?\"", "\"2s\"");
    std::fs::write(&flux.config, turned).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    let [lax, strict] = stood(b"GET");
    assert!(strict < Duration::from_secs(5) && lax > Duration::from_secs(6), "{strict:?} {lax:?}");
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

/// From its first byte on, a head has `header_timeout`, on a kept connection too.
#[test]
fn gives_a_head_on_a_kept_connection_its_own_time() {
    let origin = Scripted::answering(OK);
    let limits = "[limits]\nkeepalive_timeout = \"1s\"\nheader_timeout = \"4s\"\n";
    let flux = Flux::with(&format!("{}{limits}", to(origin.address))).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 4096];
    for parts in [["GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"], ["GET / HT", "TP/1.1\r\nHost: a\r\n\r\n"]] {
        stream.write_all(parts[0].as_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        stream.write_all(parts[1].as_bytes()).unwrap();
        let read = stream.read(&mut buffer).unwrap();
        assert!(
            buffer[..read].starts_with(b"HTTP/1.1 200 "),
            "{:?}",
            String::from_utf8_lossy(&buffer[..read])
        );
    }
    let began = Instant::now();
    stream.write_all(b"GET").unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 408 ") && began.elapsed() > Duration::from_secs(3), "{got}");
}

/// Else it could not tell an end from an attack (RFC 8446 section 6.1).
#[test]
fn tells_a_tls_client_that_a_kept_connection_ends() {
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n{}[limits]\nkeepalive_timeout = \"1s\"\n",
        to(Scripted::answering(OK).address)
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let mut stream = tls(&flux, "a.test", &[b"http/1.1"]);
    stream.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    // An error is what an end without a close_notify would be.
    stream.read_to_end(&mut Vec::new()).unwrap();
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

/// A connection that stands: it was asked for something and answers.
fn stands_open(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Some(stream)
}

#[test]
fn closes_what_a_client_has_too_many_of_and_serves_others() {
    let origin = Scripted::answering(OK);
    let config = format!("{}[limits]\nmax_connections_per_client = 2\n", to(origin.address));
    let flux = Flux::server("http = [\"127.0.0.1:0\", \"127.0.0.2:0\"]", &config).start();
    let both = flux.addresses("http");
    let mut held = [stands_open(both[0]).unwrap(), stands_open(both[1]).unwrap()];
    for address in &both {
        assert!(stands_open(*address).is_none(), "one too many");
    }
    let other = std::net::TcpStream::connect(both[0]).unwrap();
    drop(other);
    let said = flux.wait_for_start_of("a client has as many connections as it may");
    assert_eq!(said["peer"], "127.0.0.1");
    let metrics = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(metrics.contains("fluxheim_connections_refused_total{reason=\"client_limit\"} "), "{metrics}");
    // A place is free again however a connection ends: closed, reset, or cut by us.
    held[0].write_all(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").unwrap();
    held[0].read_to_end(&mut Vec::new()).unwrap();
    let [cut, closed] = held;
    drop((cut, closed));
    let again = crate::support::wait(|| Some([stands_open(both[0])?, stands_open(both[1])?]));
    assert!(again.is_some(), "places were not given back");
}

#[test]
fn counts_no_connections_of_trusted_proxies() {
    let origin = Scripted::answering(OK);
    let config = format!("{}[limits]\nmax_connections_per_client = 1\n", to(origin.address));
    let server = "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let flux = Flux::server(server, &config).start();
    let _held: Vec<_> = (0..3).map(|_| stands_open(flux.http()).unwrap()).collect();
}

#[test]
fn gives_a_listener_limits_of_its_own() {
    let origin = Scripted::answering(OK);
    let server = "http = [\"127.0.0.1:0\", { address = \"127.0.0.2:0\", max_connections = 1 }, \
                  { address = \"127.0.0.3:0\", max_connections_per_client = 1 }]";
    let flux = Flux::server(server, &to(origin.address)).start();
    let [free, one, one_each] = flux.addresses("http").try_into().unwrap();
    let _many: Vec<_> = (0..4).map(|_| stands_open(free).unwrap()).collect();
    let only = stands_open(one).unwrap();
    let waiting = std::thread::spawn(move || request(one, "a", "/").status);
    let _own = stands_open(one_each).unwrap();
    assert!(stands_open(one_each).is_none());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "a second connection was served");
    drop(only);
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn a_reload_changes_what_it_can_and_names_the_rest() {
    let origin = Scripted::answering(OK);
    let limits = |uri: &str, streams: u32| {
        format!("{}[limits]\nmax_uri_size = \"{uri}\"\nmax_h2_streams = {streams}\n", to(origin.address))
    };
    let flux = Flux::with(&limits("8KiB", 100)).start();
    let long = format!("/{}", "x".repeat(2000));
    assert_eq!(request(flux.http(), "a", &long).status, 200);
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace("8KiB", "1KiB")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(request(flux.http(), "a", &long).status, 414);
    assert!(!flux.said().contains("until a restart"));
    std::fs::write(&flux.config, text.replace("= 100", "= 50")).unwrap();
    flux.signal(Signal::SIGHUP);
    assert_eq!(flux.wait_for("changed, and as before until a restart")["keys"], "limits.max_h2_streams");
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
