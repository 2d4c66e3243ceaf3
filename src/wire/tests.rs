//! Every rule, and what holds for all bytes however they are cut.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const BOUNDS: Bounds = Bounds { size: 600, fields: 8 };

/// The requests that passed, and the violation that ended it, if one did.
type Outcome = (Vec<Vec<u8>>, Option<Violation>);

/// Feeds the pieces one after the other, as a stream would, and keeps what passed of each request whole.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut framing, mut held) = (Framing::new(BOUNDS), Vec::new());
    let (mut requests, mut current) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            let passed = match framing.advance(&held) {
                Ok(Step::More) => break,
                Ok(Step::Head { len, .. } | Step::Body(len)) => len,
                Err(violation) => return (requests, Some(violation)),
            };
            assert!(passed > 0 && passed <= held.len());
            current.extend(held.drain(..passed));
            if framing.awaits_head() {
                requests.push(std::mem::take(&mut current));
            }
        }
    }
    (requests, None)
}

fn whole(bytes: &[u8]) -> Outcome {
    feed([bytes])
}

/// The verdict on one request, which must be the same however it is cut in two, and byte by byte.
fn verdict(bytes: &[u8]) -> Option<Violation> {
    let outcome = whole(bytes);
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(feed([first, second]), outcome, "cut at {at}: {:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(feed(bytes.chunks(1)), outcome, "{:?}", String::from_utf8_lossy(bytes));
    outcome.1
}

/// That request passes, and no byte of it is left over.
fn passes(request: &str) {
    assert_eq!(verdict(request.as_bytes()), None, "{request:?}");
    assert_eq!(whole(request.as_bytes()).0, [request.as_bytes()], "{request:?}");
}

fn refused(request: &str, violation: Violation) {
    assert_eq!(verdict(request.as_bytes()), Some(violation), "{request:?}");
    assert!(whole(request.as_bytes()).0.is_empty(), "{request:?}");
}

/// A request with that line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a.test\r\n\r\n")
}

/// A request with those further field lines.
fn field(field: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n")
}

/// A request with that chunked body.
fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn passes_what_clients_send() {
    for request in [
        line("GET / HTTP/1.1"),
        line("GET /a/b?x=%20&y[]=1|2 HTTP/1.1"),
        line("OPTIONS * HTTP/1.1"),
        line("GET http://a.test HTTP/1.1"),
        line("GET HTTP://a.test/x?y=http://b.test HTTP/1.1"),
        line("PROPFIND / HTTP/1.1"),
        "\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost:a.test:8080\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: [::1]:80  \t\r\n\r\n".to_owned(),
        field("Content-Length: 0"),
        field("X-Empty:"),
        field("X_under-score.and~more: \t a\tb \u{e9}"),
        field("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0"),
        field("Content-Length: 3") + "abc",
        field("Content-Length:003 ") + "abc",
        chunked("0\r\n\r\n"),
        chunked("3\r\nabc\r\n0\r\n\r\n"),
        chunked("A\r\n0123456789\r\n0000000000000001\r\nx\r\n0\r\n\r\n"),
        chunked("1;a;b=c;d=\"e \\\" f\"\r\nx\r\n0;last\r\n\r\n"),
        chunked("0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n"),
    ] {
        passes(&request);
    }
}

#[test]
fn tells_what_follows_a_head() {
    let facts = |request: &str| match Framing::new(BOUNDS).advance(request.as_bytes()).unwrap() {
        Step::Head { facts, .. } => (facts.upgrade, facts.expects_continue, facts.body),
        other => panic!("{other:?}"),
    };
    assert_eq!(facts(&line("GET / HTTP/1.1")), (false, false, false));
    assert_eq!(facts(&field("Upgrade: websocket")), (true, false, false));
    assert_eq!(facts(&field("Expect: 100-Continue\r\nContent-Length: 1")), (false, true, true));
    assert_eq!(facts(&chunked("")), (false, false, true));
    assert_eq!(facts("GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n"), (false, false, false));
}

#[test]
fn refuses_malformed_request_lines() {
    for (request, violation) in [
        (line("GET /"), Violation::RequestLine),
        (line("GET"), Violation::RequestLine),
        (line("GET  / HTTP/1.1"), Violation::RequestLine),
        (line("GET /  HTTP/1.1"), Violation::RequestLine),
        (line("GET / HTTP/1.1 "), Violation::RequestLine),
        (line("GET\t/\tHTTP/1.1"), Violation::RequestLine),
        (line("GET /a b HTTP/1.1"), Violation::RequestLine),
        (line("GET / http/1.1"), Violation::RequestLine),
        (line("GET / HTTP/1.1x"), Violation::RequestLine),
        (line("GET / HTTP/2.0"), Violation::Version),
        (line("GET / HTTP/0.9"), Violation::Version),
        (line("GET / HTTP/1.2"), Violation::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), Violation::Version),
        (line(" GET / HTTP/1.1"), Violation::Method),
        (line("G(T / HTTP/1.1"), Violation::Method),
        (line("G\0T / HTTP/1.1"), Violation::Method),
        ("\x16\x03\x01".to_owned(), Violation::Method),
        (line("TRACE / HTTP/1.1"), Violation::MethodNotServed),
        (line("CONNECT a.test:443 HTTP/1.1"), Violation::MethodNotServed),
        (line("GET /a#b HTTP/1.1"), Violation::Target),
        (line("GET /\x01 HTTP/1.1"), Violation::Target),
        (line("GET /\x7f HTTP/1.1"), Violation::Target),
        (line("GET /\u{e9} HTTP/1.1"), Violation::Target),
        (line("GET a.test HTTP/1.1"), Violation::Target),
        (line("GET * HTTP/1.1"), Violation::Target),
        (line("GET ftp://a.test/ HTTP/1.1"), Violation::Target),
        (line("GET http:///x HTTP/1.1"), Violation::Target),
        (line("GET http://a.test\\@b.test/ HTTP/1.1"), Violation::Userinfo),
        (line("GET http://u:p@a.test/ HTTP/1.1"), Violation::Userinfo),
        (line("GET http://b.test/ HTTP/1.1"), Violation::HostDiffers),
        (line("GET http://A.test/ HTTP/1.1"), Violation::HostDiffers),
        (line(&format!("GET /{} HTTP/1.1", "a".repeat(600))), Violation::TargetTooLong),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(), Violation::RequestLine),
    ] {
        refused(&request, violation);
    }
}

#[test]
fn refuses_malformed_lines_and_fields() {
    for (request, violation) in [
        ("GET / HTTP/1.1\nHost: a.test\n\n".to_owned(), Violation::BareLf),
        ("\nGET / HTTP/1.1\r\n".to_owned(), Violation::BareLf),
        (field("X: a\nY: b"), Violation::BareLf),
        ("GET / HTTP/1.1\r\nHost: a.test\r\n\n".to_owned(), Violation::BareLf),
        (line("GET /\r HTTP/1.1"), Violation::BareCr),
        (field("X: a\rY: b"), Violation::BareCr),
        (field("X\r: a"), Violation::BareCr),
        (field("X: a\r\n b"), Violation::Fold),
        (field("X: a\r\n\tb"), Violation::Fold),
        ("GET / HTTP/1.1\r\n Host: a.test\r\n\r\n".to_owned(), Violation::Fold),
        (field("X: a\0b"), Violation::FieldValue),
        (field("X: a\x7fb"), Violation::FieldValue),
        (field("X : a"), Violation::SpaceBeforeColon),
        (field("X\t: a"), Violation::SpaceBeforeColon),
        (field(": a"), Violation::FieldName),
        (field("nothing"), Violation::FieldName),
        (field("X(y): a"), Violation::FieldName),
        (field("X y: a"), Violation::FieldName),
        (field("X\0: a"), Violation::FieldName),
        (field("\u{e9}: a"), Violation::FieldName),
        (field(&"X: a\r\n".repeat(8)), Violation::TooManyFields),
        (field(&format!("X: {}", "a".repeat(600))), Violation::HeadTooLarge),
    ] {
        refused(&request, violation);
    }
}

#[test]
fn refuses_a_host_that_is_not_one() {
    for (host, violation) in [
        ("", Violation::NoHost),
        ("Host: a.test\r\nHost: a.test\r\n", Violation::ManyHosts),
        ("Host:\r\n", Violation::BadHost),
        ("Host: a.test/b\r\n", Violation::BadHost),
        ("Host: a.test, b.test\r\n", Violation::BadHost),
        ("Host: a.test:+1\r\n", Violation::BadHost),
        ("Host: u@a.test\r\n", Violation::Userinfo),
    ] {
        refused(&format!("GET / HTTP/1.1\r\n{host}\r\n"), violation);
    }
    refused("GET http://a.test/ HTTP/1.1\r\n\r\n", Violation::NoHost);
}

#[test]
fn refuses_bodies_with_two_ends() {
    let coding = |value: &str| field(&format!("Transfer-Encoding: {value}"));
    for (request, violation) in [
        (field("Content-Length: 1\r\nTransfer-Encoding: chunked"), Violation::LengthAndCoding),
        (field("Transfer-Encoding: chunked\r\nContent-Length: 1"), Violation::LengthAndCoding),
        (field("Content-Length: 2\r\nContent-Length: 2"), Violation::ManyLengths),
        (field("Content-Length: 2, 2"), Violation::Length),
        (field("Content-Length: +2"), Violation::Length),
        (field("Content-Length: -2"), Violation::Length),
        (field("Content-Length: 0x2"), Violation::Length),
        (field("Content-Length: 2 2"), Violation::Length),
        (field("Content-Length:"), Violation::Length),
        (field("Content-Length: 9223372036854775808"), Violation::Length),
        (field("Content-Length: 99999999999999999999999"), Violation::Length),
        (field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Violation::Coding),
        (coding("chunked, chunked"), Violation::Coding),
        (coding("chunked, gzip"), Violation::Coding),
        (coding("\"chunked\""), Violation::Coding),
        (coding("chunked;q=1"), Violation::Coding),
        (coding(",chunked"), Violation::Coding),
        (coding(""), Violation::Coding),
        (coding("gzip, chunked"), Violation::UnknownCoding),
        (coding("identity"), Violation::UnknownCoding),
        (coding("xchunked"), Violation::UnknownCoding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), Violation::OldCoding),
        (field("Upgrade: websocket\r\nContent-Length: 1"), Violation::UpgradeBody),
        (field("Upgrade: h2c\r\nTransfer-Encoding: chunked"), Violation::UpgradeBody),
    ] {
        refused(&request, violation);
    }
}

#[test]
fn refuses_malformed_chunks_and_trailers() {
    for (body, violation) in [
        ("\r\n", Violation::ChunkSize),
        ("x\r\n", Violation::ChunkSize),
        ("-1\r\n", Violation::ChunkSize),
        ("+1\r\n", Violation::ChunkSize),
        ("0x1\r\n", Violation::ChunkSize),
        (" 1\r\n", Violation::ChunkSize),
        ("1 \r\n", Violation::ChunkSize),
        ("00000000000000001\r\n", Violation::ChunkSize),
        ("ffffffffffffffff\r\n", Violation::ChunkSize),
        ("1\nx\r\n", Violation::BareLf),
        ("1\rx\r\n", Violation::BareCr),
        ("1\r\nxy\r\n", Violation::ChunkEnd),
        ("1\r\nx\n", Violation::ChunkEnd),
        ("1\r\nx\ry", Violation::ChunkEnd),
        ("1;\r\n", Violation::ChunkExtension),
        ("1;a=\r\n", Violation::ChunkExtension),
        ("1; a\r\n", Violation::ChunkExtension),
        ("1;a=\"b\r\n", Violation::ChunkExtension),
        ("1;a=\"b\"c\r\n", Violation::ChunkExtension),
        ("1;a\n", Violation::BareLf),
        ("0\r\nX\r\n\r\n", Violation::Trailer),
        ("0\r\n X: a\r\n\r\n", Violation::Trailer),
        ("0\r\nX : a\r\n\r\n", Violation::Trailer),
        ("0\r\nX: a\0\r\n\r\n", Violation::Trailer),
        ("0\r\nX: a\n\r\n", Violation::BareLf),
        ("0\r\n\n", Violation::BareLf),
        ("0\r\nX: a\rb\r\n\r\n", Violation::BareCr),
        ("0\r\n\rx", Violation::BareCr),
        ("0\r\nContent-LENGTH: 1\r\n\r\n", Violation::Trailer),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", Violation::Trailer),
        ("0\r\nHost: b.test\r\n\r\n", Violation::Trailer),
    ] {
        refused(&chunked(body), violation);
    }
    refused(&chunked(&format!("1;{}\r\n", "a".repeat(1024))), Violation::ChunkExtension);
    refused(&chunked(&"1;aaaaaaaaaaaaaaa\r\nx\r\n".repeat(70)), Violation::ChunkExtension);
    refused(&chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(600))), Violation::Trailer);
    refused(&chunked(&format!("0\r\n{}\r\n", "X: a\r\n".repeat(9))), Violation::Trailer);
}

#[test]
fn finds_requests_behind_one_another() {
    let requests = [
        field("Content-Length: 3") + "abc",
        chunked("3\r\nabc\r\n0\r\n\r\n"),
        "\r\n".to_owned() + &line("GET / HTTP/1.1"),
    ];
    let good = requests.concat();
    assert_eq!(verdict(good.as_bytes()), None);
    assert_eq!(whole(good.as_bytes()).0, requests.map(String::into_bytes));
    let bad = good + "GET / HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n" + &line("GET /smuggled HTTP/1.1");
    assert_eq!(verdict(bad.as_bytes()), Some(Violation::SpaceBeforeColon));
    assert_eq!(whole(bad.as_bytes()).0.len(), 3);
}

#[test]
fn knows_method_and_target_once_the_request_line_is_good() {
    let held = b"GET /x HTTP/1.1\r\nX : y\r\n";
    let mut framing = Framing::new(BOUNDS);
    framing.advance(held).unwrap_err();
    assert_eq!(framing.request_line(held), Some((&b"GET"[..], &b"/x"[..])));
    let mut framing = Framing::new(BOUNDS);
    framing.advance(b"GET /x").unwrap();
    assert_eq!(framing.request_line(b"GET /x"), None);
}

#[test]
fn counts_a_stray_line_end_as_no_request() {
    assert!(is_filler(b"") && is_filler(b"\r") && is_filler(b"\r\n"));
    assert!(!is_filler(b"G") && !is_filler(b"\r\nG"));
}

#[test]
fn names_every_violation_once() {
    let mut names: Vec<_> = Violation::ALL.iter().map(|violation| violation.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Violation::ALL.len());
    for violation in Violation::ALL {
        assert!((400..=505).contains(&violation.status()) && violation.text().ends_with('\n'));
    }
}

/// Pieces that heads and bodies are made of, whole and broken.
const PIECES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"POST /x HTTP/1.1\r\n",
    b"GET http://a.test/ HTTP/1.0\r\n",
    b"GET / HTTP/1.1\n",
    b"Host: a.test\r\n",
    b"Host: a.test\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"content-length:5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Upgrade: x\r\n",
    b"X: y\r\n",
    b"X : y\r\n",
    b" y\r\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"3;a=b\r\nabc\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\xff",
    b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
];

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known = select(PIECES).prop_map(<[u8]>::to_vec);
    let any = vec(any::<u8>(), 0..4);
    vec(prop_oneof![9 => known, 1 => any], 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn what_passes_is_what_a_strict_reader_sees(bytes in pieces()) {
        property::holds(&bytes);
    }

    #[test]
    fn survives_any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        property::holds(&bytes);
    }

    #[test]
    fn cuts_change_nothing(bytes in pieces(), cuts in vec(1..40_usize, 1..20)) {
        let (mut rest, mut parts) = (bytes.as_slice(), Vec::new());
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);
        prop_assert_eq!(feed(parts), whole(&bytes));
    }
}

#[path = "../../tests/fuzz/properties/framing.rs"]
mod property;
