//! Connections to upstreams: what they begin with, and for how long they are kept.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::{Answer, Flux, Peer, Running, Scripted, curl};

fn flux(server: &std::net::SocketAddr, keys: &str) -> Running {
    Flux::server(
        "http = [\"127.0.0.1:0\"]\nthreads = 1\ntrusted_proxies = [\"127.0.0.0/8\"]",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{server}\"]\n{keys}\n[[vhosts]]\nhosts = [\"*\"]\n\
             [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
        ),
    )
    .start()
}

/// So many requests over one client connection.
fn requests(flux: &Running, number: usize) {
    let url = format!("http://{}/", flux.http());
    let urls: Vec<_> = std::iter::repeat_n(url.as_str(), number).collect();
    assert_eq!(curl(&urls), "hello".repeat(number).as_bytes());
}

#[test]
fn a_connection_ends_after_its_last_request() {
    let origin = Peer::start(Answer::Http1, None);
    let flux = flux(&origin.address, "keepalive_requests = 2");
    requests(&flux, 5);
    assert_eq!(origin.connections(), 3);
    let last: Vec<_> = origin.requests().iter().map(|head| head.contains("connection: close")).collect();
    assert_eq!(last, [false, true, false, true, false]);
}

#[test]
fn a_connection_ends_after_its_time() {
    let origin = Peer::start(Answer::Http1, None);
    let flux = flux(&origin.address, "keepalive_time = \"1ms\"");
    requests(&flux, 1);
    std::thread::sleep(std::time::Duration::from_millis(10));
    requests(&flux, 2);
    assert_eq!(origin.connections(), 2, "{:?}", origin.requests());
}

#[test]
fn a_connection_begins_with_a_line_that_tells_the_client() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let flux = flux(&origin.address, "proxy_protocol = \"v1\"");
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    let (from, to) = (stream.local_addr().unwrap(), flux.http());
    for number in 1..=2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"hello") {
            let mut buffer = [0; 512];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0);
            got.extend_from_slice(&buffer[..read]);
        }
        assert_eq!((origin.requests(), origin.connections()), (number, 1));
    }
    // Only the first request has it in front: both are on one connection.
    let head = origin.head(0);
    let line = format!("proxy tcp4 127.0.0.1 127.0.0.1 {} {}\r\nget / ", from.port(), to.port());
    assert!(head.starts_with(&line), "{head}");
    assert!(origin.head(1).starts_with("get / "));
    // Another client's requests never go on it.
    let other = curl(&["-H", "X-Forwarded-For: 192.0.2.7", &format!("http://{}/", flux.http())]);
    assert_eq!((other.as_slice(), origin.connections()), (&b"hello"[..], 2));
    let told = origin.head(2);
    assert!(told.starts_with(&format!("proxy tcp4 192.0.2.7 127.0.0.1 0 {}\r\n", to.port())), "{told}");
}

#[test]
fn a_connection_begins_with_a_binary_header_that_tells_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = flux(&listener.local_addr().unwrap(), "proxy_protocol = \"v2\"");
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut got = [0; 28 + 4];
    server.read_exact(&mut got).unwrap();
    let mut wanted = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    wanted.extend_from_slice(&client.local_addr().unwrap().port().to_be_bytes());
    wanted.extend_from_slice(&flux.http().port().to_be_bytes());
    wanted.extend_from_slice(b"GET ");
    assert_eq!(got.as_slice(), wanted);
}

#[test]
fn a_request_goes_out_again_where_a_kept_connection_was_closing() {
    // Answers one request on each connection and then closes it, without a word, when the next comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = flux(&listener.local_addr().unwrap(), "");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
                let _ = stream.read(&mut buffer);
            });
        }
    });
    requests(&flux, 6);
    // What may have been acted on twice is not sent twice.
    let url = format!("http://{}/post", flux.http());
    let get = format!("http://{}/", flux.http());
    let out = curl(&["-w", "%{http_code} ", &get, "--next", "-sS", "-w", "%{http_code}", "-d", "x", &url]);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("hello200 ") && out.ends_with("502"), "{out}");
}
