//! The framing gate, from the side of a client that sends exactly what it should not.
//!
//! Every vector is sent with a second request behind it. What is refused is refused once, the connection
//! closes, and the origin hears nothing of either. `docs/request-framing.md` has the same table.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fluxheim::wire::{Bounds, Framing, Step, Violation};

use crate::support::{Flux, Running, Scripted, Strict, certificate, curl, request, tls};
use vectors::{SMUGGLED, chunked, field, post, vectors, with_more_behind};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn to(origin: SocketAddr, limits: &str) -> String {
    format!(
        "[limits]\nmax_body_size = \"unlimited\"\n{limits}\n[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n\
         [[vhosts]]\nhosts = [\"a.test\"]\n[[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    )
}

/// What a connection answered until it was closed; fails if it is not.
fn answers(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(bytes).unwrap();
    until_closed(&mut stream)
}

fn until_closed(stream: &mut impl Read) -> String {
    let mut got = Vec::new();
    if let Err(error) = stream.read_to_end(&mut got) {
        let timed_out = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(!timed_out, "the connection stays open after {:?}", String::from_utf8_lossy(&got));
    }
    String::from_utf8_lossy(&got).to_ascii_lowercase()
}

/// The statuses of all responses in there; bodies of ours have no such text.
fn statuses(answers: &str) -> Vec<&str> {
    answers.match_indices("http/1.1 ").map(|(at, found)| &answers[at + found.len()..][..3]).collect()
}

/// How often each reason was counted.
fn refusals(flux: &Running) -> Vec<(String, u64)> {
    let text = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    let of = |line: &str| {
        let (reason, count) =
            line.strip_prefix("fluxheim_http_framing_refused_total{reason=\"")?.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse().unwrap()))
    };
    text.lines().filter_map(of).collect()
}

/// The reason that was counted since.
fn reason_since(flux: &Running, before: &[(String, u64)]) -> Option<String> {
    let mut now = refusals(flux);
    now.retain(|counted| !before.contains(counted));
    assert!(now.len() <= 1, "{now:?}");
    now.pop().map(|(reason, _)| reason)
}

/// The answer and the reason that the document has for a vector.
fn documented(name: &str) -> (String, String) {
    let rows = rows();
    let row =
        rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name:?} is not in the table"));
    (row[1].clone(), row[2].clone())
}

fn rows() -> Vec<[String; 3]> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/request-framing.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| vector |")).skip(2);
    let cells = |line: &str| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        [cells[1].clone(), cells[2].clone(), cells[3].clone()]
    };
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn answers_every_vector_as_documented() {
    let mut wrong = Vec::new();
    let mut known = vec!["header trickle, 1 byte a time", "body trickle, 1 byte a time"];
    let origin = Strict::answering(OK);
    let flux = Flux::with(&to(origin.address, "")).start();
    let vectors = vectors();
    for (name, vector) in &vectors {
        known.push(name);
        let (saw, before) = (origin.requests().len(), refusals(&flux));
        let got = answers(flux.http(), with_more_behind(vector).as_bytes());
        let statuses = statuses(&got);
        let reason =
            reason_since(&flux, &before).map_or_else(|| "-".to_owned(), |reason| format!("`{reason}`"));
        let answer = match (&statuses[..], origin.requests().len() - saw) {
            (["200", "200"], 2) => "forwarded".to_owned(),
            ([refused], 0) if got.contains("connection: close") => (*refused).to_owned(),
            (statuses, saw) => format!("{statuses:?} with {saw} requests at the origin"),
        };
        if (answer.clone(), reason.clone()) != documented(name) {
            wrong.push(format!("| {name} | {answer} | {reason} |"));
        }
    }
    assert!(wrong.is_empty(), "not so in the table:\n{}", wrong.join("\n"));
    let rows = rows();
    let stale: Vec<_> = rows.iter().filter(|row| !known.contains(&row[0].as_str())).collect();
    assert!(stale.is_empty() && rows.len() == known.len(), "{stale:?}");
    for request in origin.requests() {
        assert!(!request.contains("/smuggled") && !request.contains("6.6.6.6"), "{request}");
    }
}

#[test]
fn answers_the_good_request_before_it_refuses_the_next() {
    let origin = Strict::answering(OK);
    let flux = Flux::with(&to(origin.address, "")).start();
    let got = answers(flux.http(), format!("{}{}{SMUGGLED}", field("X: y"), field("X : y")).as_bytes());
    assert_eq!(statuses(&got), ["200", "400"], "{got}");
    assert_eq!(origin.requests().len(), 1);
    let line = flux.access_line("/");
    assert_eq!(line["status"], 200);
}

#[test]
fn logs_and_counts_what_never_became_a_request() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(origin.address, "")).start();
    answers(flux.http(), b"POST /x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1, 1\r\n\r\n");
    let line = flux.access_line("/x?***");
    assert_eq!(
        (&line["status"], &line["method"], &line["vhost"]),
        (&400.into(), &"POST".into(), &"-".into())
    );
    assert_eq!(line["error"], "content_length");
    assert!(line["error_detail"].as_str().unwrap().contains("Content-Length"), "{line}");
    let metrics = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(metrics.contains("fluxheim_http_requests_total{vhost=\"-\",code=\"400\"} 1"), "{metrics}");
    assert!(
        metrics.contains("fluxheim_http_framing_refused_total{reason=\"content_length\"} 1"),
        "{metrics}"
    );
}

#[test]
fn ends_a_body_that_goes_wrong_after_its_head_was_forwarded() {
    let origin = Scripted::answering("");
    let flux = Flux::with(&to(origin.address, "")).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(chunked("3\r\nabc\r\n").as_bytes()).unwrap();
    assert!(origin.last_head().contains("transfer-encoding: chunked"));
    stream.write_all(format!("1\nx\r\n0\r\n\r\n{SMUGGLED}").as_bytes()).unwrap();
    let got = until_closed(&mut stream);
    assert_eq!(statuses(&got), ["400"], "{got}");
    assert!(got.contains("connection: close") && got.ends_with("bad request\n"), "{got}");
    assert_eq!(origin.requests(), 1);
    assert_eq!(refusals(&flux), [("bare_lf".to_owned(), 1)]);
    assert_eq!(flux.access_line("/")["status"], 400);
}

#[test]
fn refuses_over_tls_as_well() {
    let origin = Scripted::answering(OK);
    let rest = format!(
        "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n{}",
        to(origin.address, "")
    );
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let mut stream = tls(&flux, "a.test", &[b"http/1.1"]);
    stream.sock.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(format!("{}{}", field("X: y"), field("X : y")).as_bytes()).unwrap();
    let got = until_closed(&mut stream);
    assert_eq!(statuses(&got), ["200", "400"], "{got}");
    assert_eq!(origin.requests(), 1);
}

/// Sends a byte of `rest` every 200 ms until the connection is closed.
fn trickles(flux: &Running, start: &str, rest: u8) -> (String, Duration) {
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(start.as_bytes()).unwrap();
    let (began, mut got, mut buffer) = (Instant::now(), Vec::new(), [0; 1024]);
    while began.elapsed() < Duration::from_secs(30) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => got.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // Once it is refused, nobody has to take it.
                let _ = stream.write_all(&[rest]);
            }
            Err(_) => break,
        }
    }
    (String::from_utf8_lossy(&got).to_ascii_lowercase(), began.elapsed())
}

#[test]
fn cuts_a_head_that_trickles() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(origin.address, "header_timeout = \"2s\"")).start();
    let (got, took) = trickles(&flux, "GET / HTTP/1.1\r\nHost: a.test\r\nX: ", b'x');
    assert_eq!(statuses(&got), ["408"], "{got}");
    assert!(got.contains("connection: close") && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(origin.requests(), 0);
    assert_eq!(refusals(&flux), [("slow_header".to_owned(), 1)]);
    assert_eq!(documented("header trickle, 1 byte a time"), ("408".to_owned(), "`slow_header`".to_owned()));
}

#[test]
fn cuts_a_body_that_trickles() {
    let origin = Scripted::answering("");
    let flux = Flux::with(&to(origin.address, "min_body_rate = \"100B\"")).start();
    let (got, took) = trickles(&flux, &post("Content-Length: 1000000", "x"), b'x');
    assert_eq!(statuses(&got), ["408"], "{got}");
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(refusals(&flux), [("slow_body".to_owned(), 1)]);
    assert_eq!(documented("body trickle, 1 byte a time"), ("408".to_owned(), "`slow_body`".to_owned()));
}

#[test]
fn lets_a_slow_body_be_where_that_is_configured() {
    let origin = Scripted::answering("");
    let flux = Flux::with(&to(origin.address, "min_body_rate = \"off\"")).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.write_all(post("Content-Length: 2", "a").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(11));
    stream.write_all(b"b").unwrap();
    assert!(origin.piped(2));
}

#[test]
fn passes_a_100_continue_and_the_body_that_waited_for_it() {
    let origin = Scripted::answering("HTTP/1.1 100 Continue\r\n\r\n");
    let flux = Flux::with(&to(origin.address, "")).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(post("Expect: 100-continue\r\nContent-Length: 5", "").as_bytes()).unwrap();
    let mut interim = [0; 12];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100");
    assert_eq!(origin.piped_bytes(), 0);
    stream.write_all(b"hello").unwrap();
    assert!(origin.piped(5));
}

#[test]
fn keeps_a_connection_whose_client_waited_for_a_100() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = Flux::with(&to(origin.local_addr().unwrap(), "")).start();
    let served = std::thread::spawn(move || {
        let (mut upstream, _) = origin.accept().unwrap();
        let until = |upstream: &mut TcpStream, end: &[u8]| {
            let mut got = Vec::new();
            while !got.ends_with(end) {
                let mut byte = [0];
                upstream.read_exact(&mut byte).unwrap();
                got.extend(byte);
            }
        };
        until(&mut upstream, b"\r\n\r\n");
        upstream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        until(&mut upstream, b"hello");
        upstream.write_all(OK.as_bytes()).unwrap();
        until(&mut upstream, b"\r\n\r\n");
        upstream.write_all(OK.as_bytes()).unwrap();
    });
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut answered = |bytes: &[u8]| {
        stream.write_all(bytes).unwrap();
        let mut got = [0; 4096];
        let read = stream.read(&mut got).unwrap();
        String::from_utf8_lossy(&got[..read]).to_ascii_lowercase()
    };
    let interim = answered(post("Expect: 100-continue\r\nContent-Length: 5", "").as_bytes());
    assert!(interim.starts_with("http/1.1 100"), "{interim}");
    let first = answered(b"hello");
    assert!(first.starts_with("http/1.1 200") && first.contains("connection: keep-alive"), "{first}");
    let second = answered(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(second.starts_with("http/1.1 200"), "{second}");
    served.join().unwrap();
}

#[test]
fn holds_a_client_back_while_its_upstream_does_not_read() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = Flux::with(&to(origin.local_addr().unwrap(), "")).start();
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(1500))).unwrap();
    let total = 64_usize << 20;
    stream.write_all(post(&format!("Content-Length: {total}"), "").as_bytes()).unwrap();
    let (mut upstream, _) = origin.accept().unwrap();
    let (block, mut sent) = (vec![b'x'; 1 << 16], 0);
    while sent < total {
        match stream.write(&block[..block.len().min(total - sent)]) {
            Ok(written) => sent += written,
            Err(_) => break,
        }
    }
    assert!(sent < total / 2, "{sent} bytes went somewhere");
    let reader = std::thread::spawn(move || {
        let (mut seen, mut buffer) = (0, vec![0; 1 << 16]);
        while seen < total {
            seen += upstream.read(&mut buffer).unwrap();
        }
        upstream.write_all(OK.as_bytes()).unwrap();
        upstream
    });
    while sent < total {
        sent += stream.write(&block[..block.len().min(total - sent)]).unwrap();
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    reader.join().unwrap();
}

#[test]
fn serves_real_clients_as_before() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(origin.address, "")).start();
    let url = format!("http://{}/", flux.http());
    for more in
        [&["-d", "x=y"][..], &["-H", "Transfer-Encoding: chunked", "-d", "x=y"], &["--http1.0"], &["-I"]]
    {
        let args = [&["-H", "Host: a.test", "-w", "%{http_code}", "-o", "/dev/null", &url], more].concat();
        assert_eq!(curl(&args), b"200", "{more:?}");
    }
}

/// The seeds of the fuzz target: seeds that nobody runs would rot. A seed's name says what becomes of it.
#[test]
fn seeds_of_the_fuzz_target_are_what_their_names_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/framing");
    let (mut valid, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let (requests, violation) = property::holds(&bytes);
        match path.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().0 {
            "valid" => {
                assert_eq!((requests.concat(), violation), (bytes, None), "{}", path.display());
                valid += 1;
            }
            "refused" => {
                assert!(violation.is_some(), "{}", path.display());
                refused += 1;
            }
            other => panic!("{other}: valid-... or refused-...?"),
        }
    }
    assert!(valid > 4 && refused > 4);
}

#[path = "../fuzz/properties/framing.rs"]
mod property;
#[path = "../vectors.rs"]
mod vectors;
