//! Why requests fail: the status, the word in the access log, and the metric tell the causes apart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use nix::sys::signal::Signal;

use crate::support::{Flux, Running, Scripted, exchange, request, wait};

fn to(origin: SocketAddr, timeouts: &str) -> Flux {
    Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n{timeouts}\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    ))
}

/// An origin that does `act` with each connection once it has read from it.
fn origin(act: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            act(stream);
        }
    });
    address
}

/// Closes with a reset instead of the usual end.
fn reset(stream: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
}

fn fails(flux: &Running, path: &str, status: u16, error: &str) {
    assert_eq!(request(flux.http(), "a.test", path).status, status);
    let line = flux.access_line(path);
    assert_eq!((&line["status"], &line["error"]), (&status.into(), &error.into()), "{line}");
    assert!(line["error_detail"].as_str().unwrap().len() > 10, "{line}");
    assert!(line["upstream_address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    let said = flux.wait_for("request failed");
    assert_eq!((&said["error"], &said["upstream"]), (&error.into(), &"app".into()), "{said}");
    let metrics = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    let counted = format!("fluxheim_http_errors_total{{vhost=\"*\",reason=\"{error}\"}} 1\n");
    assert!(metrics.contains(&counted), "{counted} not in\n{metrics}");
}

#[test]
fn tells_a_server_that_resets_from_one_that_closes() {
    let flux = to(origin(|stream| reset(&stream)), "").start();
    fails(&flux, "/reset", 502, "upstream_reset");
    let flux = to(origin(drop), "").start();
    fails(&flux, "/closed", 502, "upstream_closed");
}

#[test]
fn tells_a_server_that_is_too_slow_from_one_that_speaks_no_http() {
    let held = std::sync::Mutex::new(Vec::new());
    let flux =
        to(origin(move |stream| held.lock().unwrap().push(stream)), "read_timeout = \"300ms\"").start();
    fails(&flux, "/slow", 504, "upstream_read_timeout");
    let speaks = origin(|mut stream| {
        let _ = stream.write_all(b"220 mail.test ESMTP\r\n\r\n");
    });
    let flux = to(speaks, "").start();
    fails(&flux, "/smtp", 502, "upstream_protocol");
}

#[test]
fn tells_a_response_that_breaks_off_by_its_status_and_cause() {
    let breaks = origin(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    });
    let flux = to(breaks, "").start();
    assert_eq!(request(flux.http(), "a.test", "/half").status, 200);
    let line = flux.access_line("/half");
    assert_eq!((&line["status"], &line["error"]), (&200.into(), &"upstream_closed".into()), "{line}");
}

#[test]
fn tells_what_a_client_does_wrong() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let flux = to(origin.address, "").start();
    let large = "POST /large HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999\r\n\r\n";
    assert_eq!(exchange(flux.http(), large).status, 413);
    assert_eq!(flux.access_line("/large")["error"], "body_too_large");
}

#[test]
fn logs_a_request_that_drain_timeout_cuts_off() {
    let held = std::sync::Mutex::new(Vec::new());
    let address = origin(move |stream| held.lock().unwrap().push(stream));
    let flux = Flux::server(
        "http = [\"127.0.0.1:0\"]\ndrain_timeout = \"200ms\"",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{address}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
             [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
        ),
    );
    let mut flux = flux.start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(b"PUT /cut HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").unwrap();
    let metrics = flux.metrics();
    let under_way = || {
        let text = String::from_utf8(request(metrics, "x", "/metrics").body).unwrap();
        text.contains("requests_in_flight 1\n").then_some(())
    };
    wait(under_way).expect("the request never began");
    flux.signal(Signal::SIGTERM);
    let line = flux.access_line("/cut");
    assert_eq!((&line["error"], &line["status"]), (&"drain_timeout".into(), &499.into()), "{line}");
    assert_eq!(
        (&line["method"], &line["vhost"], &line["host"]),
        (&"PUT".into(), &"*".into(), &"a.test".into())
    );
    assert!(line.get("bytes").is_none() && line["duration"].as_f64().unwrap() > 0.1, "{line}");
    flux.wait();
}
