//! Bodies on their way: in both directions, slowly, and cut off.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Answer, Flux, H2Client, Nginx, Peer, Running, wait};

fn flux(server: SocketAddr) -> Running {
    with(server, "")
}

/// Takes HTTP/2 as well.
fn with(server: SocketAddr, keys: &str) -> Running {
    let listener = "http = [{ address = \"127.0.0.1:0\", h2c = true }]";
    let rest = &format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{server}\"]\n{keys}\n[[vhosts]]\nhosts = [\"*\"]\n\
         [vhosts.limits]\nmax_body_size = \"unlimited\"\n[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    );
    Flux::server(listener, rest).start()
}

/// A client and, once its request has come, the origin's end.
fn pair(request: &str) -> (Running, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = flux(listener.local_addr().unwrap());
    let (client, server) = over(&flux, &listener, request);
    (flux, client, server)
}

fn over(flux: &Running, listener: &TcpListener, request: &str) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    until(&mut server, "\r\n\r\n");
    (client, server)
}

fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let mut byte = [0; 1];
        assert!(stream.read(&mut byte).unwrap() > 0, "closed after {:?}", String::from_utf8_lossy(&got));
        got.push(byte[0]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// Everything until the end, and whether that was a reset.
fn rest(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut got = Vec::new();
    let outcome = stream.read_to_end(&mut got);
    (got, outcome.is_err())
}

const GET: &str = "GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Whether a client that reads by RFC 9112 would take that for a whole response.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    length.is_none_or(|length| body.len() >= length)
}

#[test]
fn a_response_that_is_cut_off_is_never_a_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = flux(listener.local_addr().unwrap());
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n",
    ] {
        // At each byte, with an end and with a reset.
        for cut in (0..response.len()).flat_map(|cut| [(cut, true), (cut, false)]) {
            let (at, reset) = cut;
            let (mut client, mut server) = over(&flux, &listener, GET);
            server.write_all(&response.as_bytes()[..at]).unwrap();
            if reset {
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                nix::sys::socket::setsockopt(&server, nix::sys::socket::sockopt::Linger, &linger).unwrap();
            }
            // A GET on a fresh connection is not tried again.
            drop(server);
            let (got, _) = rest(&mut client);
            let failed = got.starts_with(b"HTTP/1.1 502");
            let told = String::from_utf8_lossy(&got).into_owned();
            assert!(failed || !is_whole(&got), "{response:?} cut at {at}, reset: {reset}: {told:?}");
            // Or nothing at all, where the head had not left yet.
            assert!(failed || got.is_empty() || got.starts_with(b"HTTP/1.1 200"), "cut at {at}: {told:?}");
        }
    }
}

#[test]
fn a_response_without_a_length_is_cut_off_by_a_reset() {
    let (_flux, mut client, mut server) = pair(GET);
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
    assert!(until(&mut client, "hello\r\n").contains("chunked"));
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    nix::sys::socket::setsockopt(&server, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    drop(server);
    assert!(!rest(&mut client).0.ends_with(b"0\r\n\r\n"));
    // And a clean end is one.
    let (_flux, mut client, mut server) = pair(GET);
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
    until(&mut client, "hello\r\n");
    drop(server);
    until(&mut client, "0\r\n\r\n");
}

#[test]
fn interim_responses_pass_as_they_come() {
    let (_flux, mut client, mut server) =
        pair("POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    server.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 100"));
    client.write_all(b"body").unwrap();
    until(&mut server, "body");
    server.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").unwrap();
    let hints = until(&mut client, "\r\n\r\n").to_ascii_lowercase();
    assert!(hints.starts_with("http/1.1 103") && hints.contains("link: </a.css>"), "{hints}");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    assert!(until(&mut client, "ok").starts_with("HTTP/1.1 200"));
}

#[test]
fn both_directions_stream_at_the_same_time() {
    let (_flux, mut client, mut server) =
        pair("POST /b HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    until(&mut client, "\r\n\r\n");
    for number in 0..20 {
        let piece = format!("2\r\n{number:02}\r\n");
        client.write_all(piece.as_bytes()).unwrap();
        assert_eq!(until(&mut server, &piece), piece);
        server.write_all(piece.as_bytes()).unwrap();
        assert_eq!(until(&mut client, &piece), piece);
    }
    client.write_all(b"0\r\n\r\n").unwrap();
    until(&mut server, "0\r\n\r\n");
    server.write_all(b"0\r\n\r\n").unwrap();
    until(&mut client, "0\r\n\r\n");
}

/// Resident memory of the program in KiB (proc(5)).
fn resident(flux: &Running) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", flux.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Writes until nobody has taken anything for a second: how much that was.
fn fill(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let (piece, mut sent) = (vec![b'x'; 64 << 10], 0);
    while let Ok(written) = stream.write(&piece) {
        sent += written;
        assert!(sent < BIG, "nothing holds the sender back");
    }
    sent
}

const BIG: usize = 256 << 20;

#[test]
fn a_slow_reader_holds_the_sender_back_and_takes_no_memory() {
    let big = format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n");
    let (flux, mut client, mut server) = pair(GET);
    let before = resident(&flux);
    server.write_all(big.as_bytes()).unwrap();
    let sent = fill(&mut server);
    let grown = resident(&flux).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB for {sent} bytes that nobody reads");
    // All of it is there once it is read.
    drop(server);
    until(&mut client, "\r\n\r\n");
    assert_eq!(rest(&mut client).0.len(), sent);
}

#[test]
fn an_upstream_that_does_not_read_holds_the_client_back() {
    let post = format!("POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BIG}\r\n\r\n");
    let (flux, mut client, mut server) = pair(&post);
    let before = resident(&flux);
    let sent = fill(&mut client);
    let grown = resident(&flux).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB for {sent} bytes that nobody reads");
    // A client that gives up in the middle is no whole request either.
    drop(client);
    assert!(rest(&mut server).0.len() <= sent);
}

#[test]
fn a_client_that_has_ended_its_side_gets_no_half_answers() {
    // Whether it has gone or reads on can't be told; as with nginx's proxy_ignore_client_abort off, it
    // counts as gone.
    let (flux, client, mut server) = pair(GET);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut server).0.is_empty());
    let line = wait(|| Some(flux.access_line("/b"))).unwrap();
    assert_eq!(line["error"], "client_gone", "{line}");
}

/// Once nobody has taken anything for a second.
fn settled(origin: &Peer) -> usize {
    let mut last = origin.poured();
    wait(|| {
        std::thread::sleep(Duration::from_secs(1));
        let before = std::mem::replace(&mut last, origin.poured());
        (before == last).then_some(last)
    })
    .expect("the origin is never held back")
}

#[test]
fn a_slow_reader_holds_back_one_stream_of_a_shared_connection_and_no_other() {
    let origin = Peer::start(Answer::Flood(BIG), None);
    let flux = with(origin.address, "protocol = \"h2c\"");
    let before = resident(&flux);
    let mut slow: Vec<_> = (0..8).map(|_| TcpStream::connect(flux.http()).unwrap()).collect();
    for client in &mut slow {
        client.write_all(GET.as_bytes()).unwrap();
        until(client, "\r\n\r\n");
    }
    let taken = settled(&origin);
    // What the kernel has of it, in both sockets of each, is not the program's.
    let grown = resident(&flux).saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB, the origin sent {taken} bytes");
    assert_eq!(origin.connections(), 1);
    // Somebody who does read is not held up by those who don't.
    let mut quick = TcpStream::connect(flux.http()).unwrap();
    quick.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    quick.write_all(GET.as_bytes()).unwrap();
    let (mut got, mut buffer) = (0, vec![0; 64 << 10]);
    while got < 32 << 20 {
        let read = quick.read(&mut buffer).unwrap();
        assert!(read > 0);
        got += read;
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_response_that_is_cut_off_is_a_stream_that_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = flux(listener.local_addr().unwrap());
    for (response, whole) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\nhello", true),
    ] {
        let server = listener.try_clone().unwrap();
        let origin = std::thread::spawn(move || {
            let (mut server, _) = server.accept().unwrap();
            until(&mut server, "\r\n\r\n");
            server.write_all(response.as_bytes()).unwrap();
        });
        let (got, ended) = H2Client::get(H2Client::plain(flux.http()), "/b");
        origin.join().unwrap();
        assert_eq!(ended, whole, "{response:?}: {}", String::from_utf8_lossy(&got));
        assert!(!whole || got == b"hello", "{response:?}");
    }
}

#[test]
fn an_origin_that_is_killed_in_the_middle_is_no_end() {
    let big = vec![b'x'; 32 << 20];
    let nginx = Nginx::serving(&[("b", &big)]);
    let flux = flux(nginx.address);
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    let head = until(&mut client, "\r\n\r\n");
    assert!(head.to_ascii_lowercase().contains(&format!("content-length: {}", big.len())), "{head}");
    drop(nginx);
    assert!(rest(&mut client).0.len() < big.len());
    let line = flux.access_line("/b");
    assert!(["upstream_reset", "upstream_closed"].contains(&line["error"].as_str().unwrap()), "{line}");
}
