//! SIGTERM: nothing in flight is lost, and the end comes as soon as it can.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Flux, Scripted, request};

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
