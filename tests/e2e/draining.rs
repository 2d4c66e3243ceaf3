//! SIGTERM: nothing in flight is lost, and the end comes as soon as it can.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Callers, Flux, Scripted, certificate, handshake, request, tls, wait};

fn slow_origin() -> (std::net::SocketAddr, std::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (release, held) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).unwrap();
        let _ = held.recv();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").unwrap();
        let _ = stream.read(&mut buffer);
    });
    (address, release)
}

fn to(origin: std::net::SocketAddr) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    )
}

#[test]
fn finishes_a_request_in_flight_then_ends_at_once() {
    let (origin, release) = slow_origin();
    let mut flux = Flux::with(&to(origin)).start();
    let (address, metrics) = (flux.http(), flux.metrics());
    let client = std::thread::spawn(move || request(address, "a.test", "/slow"));
    while !String::from_utf8(request(metrics, "x", "/metrics").body)
        .unwrap()
        .contains("requests_in_flight 1\n")
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    std::thread::sleep(Duration::from_millis(500));
    assert!(flux.is_running(), "ended with a request in flight");
    assert_eq!(request(metrics, "x", "/readyz").status, 503);
    assert!(TcpStream::connect(address).is_err(), "still accepting");
    release.send(()).unwrap();
    let response = client.join().unwrap();
    let finished = Instant::now();
    assert_eq!((response.status, response.body.as_slice()), (200, &b"slow"[..]));
    assert_eq!(flux.wait().code(), Some(0));
    assert!(
        finished.elapsed() < Duration::from_secs(1),
        "took {:?} after the last request",
        finished.elapsed()
    );
}

#[test]
fn ends_within_a_second_with_only_idle_connections() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut flux = Flux::with(&to(origin.address)).start();
    let mut idle = TcpStream::connect(flux.http()).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    assert!(idle.read(&mut buffer).unwrap() > 0);
    let _silent = TcpStream::connect(flux.http()).unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGTERM] {
        flux.signal(signal);
    }
    let asked = Instant::now();
    assert_eq!(flux.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(1), "took {:?}", asked.elapsed());
    assert_eq!(idle.read(&mut buffer).unwrap(), 0, "the idle connection was not closed");
}

#[test]
fn serves_requests_whose_heads_have_come_in_part_at_the_stop() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut flux = Flux::with(&to(origin.address)).start();
    let connect = || {
        let stream = TcpStream::connect(flux.http()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let (mut first, mut kept, mut buffer) = (connect(), connect(), [0; 4096]);
    kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(kept.read(&mut buffer).unwrap() > 0);
    for stream in [&mut first, &mut kept] {
        stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    }
    std::thread::sleep(Duration::from_millis(100));
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    std::thread::sleep(Duration::from_secs(1));
    for stream in [&mut first, &mut kept] {
        stream.write_all(b"st: a\r\n\r\n").unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).unwrap();
        assert!(
            got.starts_with("HTTP/1.1 200 ") && got.to_lowercase().contains("connection: close"),
            "{got}"
        );
    }
    assert_eq!(flux.wait().code(), Some(0));
}

#[test]
fn gives_up_at_drain_timeout() {
    let (origin, _release) = slow_origin();
    let server = "http = [\"127.0.0.1:0\"]\ndrain_timeout = \"1s\"";
    let mut flux = Flux::server(server, &to(origin)).start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    flux.signal(Signal::SIGINT);
    assert_eq!(flux.wait().code(), Some(0));
    assert!(
        flux.wait_for("stopped at drain_timeout with connections still open")["cut"].as_u64().unwrap() >= 1
    );
}

#[test]
fn accepts_during_drain_delay_while_not_ready() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let server = "http = [\"127.0.0.1:0\"]\ndrain_delay = \"1s\"";
    let mut flux = Flux::server(server, &to(origin.address)).start();
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    assert_eq!(request(flux.metrics(), "x", "/readyz").status, 503);
    let response = request(flux.http(), "a.test", "/");
    assert_eq!(response.status, 200);
    assert!(response.head.contains("connection: close"), "{}", response.head);
    assert_eq!(flux.wait().code(), Some(0));
}

fn with_tls() -> (Flux, Scripted) {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n{}",
        to(origin.address)
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    (flux, origin)
}

#[test]
fn serves_a_client_that_was_shaking_hands_at_the_stop() {
    let (flux, _origin) = with_tls();
    let mut flux = flux.start();
    let mut client = handshake(&flux, "a.test", &[b"http/1.1"]);
    // The accept loop has it before the stop; its handshake ends after.
    std::thread::sleep(Duration::from_millis(50));
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    std::thread::sleep(Duration::from_millis(200));
    client.conn.complete_io(&mut client.sock).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(flux.wait().code(), Some(0));
}

#[test]
fn ends_within_a_second_with_an_idle_http2_connection() {
    let (flux, _origin) = with_tls();
    let mut flux = flux.start();
    let mut client = tls(&flux, "a.test", &[b"h2"]);
    // The preface and an empty SETTINGS frame: a connection that asks for nothing.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut buffer = [0; 1024];
    assert!(client.read(&mut buffer).unwrap() > 0);
    flux.signal(Signal::SIGTERM);
    let asked = Instant::now();
    // A client that answers the PING of the two-step GOAWAY (RFC 9113 section 6.8), as real ones do.
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        if let Some(at) = buffer[..read].windows(5).position(|frame| frame == [0, 0, 8, 6, 0]) {
            let mut pong = buffer[at..at + 17].to_vec();
            pong[4] = 1;
            client.write_all(&pong).unwrap();
        }
    }
    assert_eq!(flux.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(1), "took {:?}", asked.elapsed());
}

#[test]
fn waits_until_a_slow_client_has_taken_the_last_byte() {
    let rest = "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n";
    let mut flux = Flux::with(rest).file("site/big", &vec![b'x'; 2 << 20]).start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    // All of it is in the kernel's hands by now, or waits for the client to read.
    std::thread::sleep(Duration::from_millis(300));
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    std::thread::sleep(Duration::from_millis(700));
    assert!(flux.is_running(), "ended before the client had read anything");
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got.len() > 2 << 20, "{} bytes", got.len());
    let read = Instant::now();
    assert_eq!(flux.wait().code(), Some(0));
    assert!(read.elapsed() < Duration::from_secs(1), "took {:?}", read.elapsed());
}

/// Each response of a drain says `close`, so all of them are back at once: while the listeners close.
#[test]
fn loses_no_request_of_clients_that_come_back_at_once() {
    let rest = "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n";
    for stop in 0..8 {
        let mut flux = Flux::with(rest).file("site/small", b"small").start();
        let callers = Callers::start(16, flux.http());
        wait(|| (callers.answered() > 500).then_some(())).expect("the load does not start");
        flux.signal(Signal::SIGTERM);
        let (_, lost) = callers.finish();
        assert!(lost.is_empty(), "stop {stop}: {lost:#?}");
        assert_eq!(flux.wait().code(), Some(0));
    }
}

#[test]
fn serves_a_client_that_had_said_nothing_at_the_stop() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut flux = Flux::with(&to(origin.address)).start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    std::thread::sleep(Duration::from_millis(200));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(flux.wait().code(), Some(0));
}

/// Two clients more than there are slots: one that the proxy has in hand, one that the kernel has.
#[test]
fn serves_those_who_waited_for_a_slot_at_the_stop() {
    let (origin, release) = slow_origin();
    let to_origin = to(origin).replace("\"*\"", "\"a.test\"");
    let rest = format!("[limits]\nmax_connections = 1\n{to_origin}");
    let mut flux = Flux::with(&rest).start();
    let (address, metrics) = (flux.http(), flux.metrics());
    let first = std::thread::spawn(move || request(address, "a.test", "/slow"));
    let busy = || String::from_utf8(request(metrics, "x", "/metrics").body).unwrap();
    wait(|| busy().contains("requests_in_flight 1\n").then_some(())).expect("the first is not in flight");
    let mut waiting: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    for client in &mut waiting {
        // Misdirected: answered without the origin, which has but one answer.
        client.write_all(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n").unwrap();
    }
    std::thread::sleep(Duration::from_millis(100));
    flux.signal(Signal::SIGTERM);
    flux.wait_for("draining");
    // Past every wait of the drain but the last.
    std::thread::sleep(Duration::from_millis(800));
    release.send(()).unwrap();
    assert_eq!(first.join().unwrap().status, 200);
    for mut client in waiting {
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 421"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(flux.wait().code(), Some(0));
}
