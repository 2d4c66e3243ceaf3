//! What is refused at the door, and that the origin never hears of it.

use fluxheim::edge::admit::{Admitted, admit};
use fluxheim::types::{Host, Path};

use crate::support::{Flux, Scripted, exchange, request};

fn proxied(origin: &Scripted, limits: &str) -> Flux {
    Flux::with(&format!(
        "[limits]\n{limits}\n[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"a.test\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n",
        origin.address
    ))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn refuses_ambiguous_requests_before_the_origin_sees_them() {
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "").start();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400),
        ("GET /../etc/passwd HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("GET /a%00b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n", 421),
        ("this is not http\r\n\r\n", 400),
    ] {
        assert_eq!(exchange(flux.http(), request).status, status, "{request:?}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn closes_the_connection_after_a_request_it_refused() {
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "").start();
    let smuggled = "GET /a%00 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let response = exchange(flux.http(), smuggled);
    assert_eq!(response.status, 400);
    assert!(response.head.contains("connection: close"), "{}", response.head);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn limits_head_and_body_sizes() {
    let origin = Scripted::answering(OK);
    let flux =
        proxied(&origin, "max_header_size = \"2KiB\"\nmax_header_count = 10\nmax_body_size = \"1KiB\"")
            .start();
    let long = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(3000));
    assert_eq!(exchange(flux.http(), &long).status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(12));
    assert_eq!(exchange(flux.http(), &many).status, 431);
    let declared = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2000\r\n\r\n";
    assert_eq!(exchange(flux.http(), declared).status, 413);
    assert_eq!(origin.requests(), 0);
    let body = "x".repeat(2000);
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{body}\r\n0\r\n\r\n"
    );
    assert_eq!(exchange(flux.http(), &chunked).status, 413);
    assert_eq!(request(flux.http(), "a.test", "/").status, 200);
}

#[test]
fn logs_why_a_request_was_refused() {
    let origin = Scripted::answering(OK);
    let flux = proxied(&origin, "").start();
    exchange(flux.http(), "GET /x%00 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let line = flux.access_line("/x%00");
    assert_eq!(line["status"], 400);
    assert_eq!(line["error"], "target");
    assert!(line["error_detail"].as_str().unwrap().contains("NUL"), "{line}");
}

#[test]
fn a_route_may_take_larger_bodies_than_its_vhost_and_that_than_the_rest() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!(
        "[limits]\nmax_body_size = \"10B\"\n[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n\
         [[vhosts]]\nhosts = [\"a.test\"]\nlimits = {{ max_body_size = \"20B\" }}\n\
         routes = [{{ path = \"/\", upstream = \"app\" }},\n\
                   {{ path = \"/up/\", upstream = \"app\", limits = {{ max_body_size = \"30B\" }} }}]\n\
         [[vhosts]]\nhosts = [\"b.test\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        origin.address
    ))
    .start();
    let post = |host: &str, path: &str, length: usize| {
        let body = "x".repeat(length);
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        exchange(flux.http(), &format!("{head}Content-Length: {length}\r\n\r\n{body}")).status
    };
    assert_eq!((post("b.test", "/", 10), post("b.test", "/", 11)), (200, 413));
    assert_eq!((post("a.test", "/", 20), post("a.test", "/", 21)), (200, 413));
    assert_eq!((post("a.test", "/up/", 30), post("a.test", "/up/", 31)), (200, 413));
}

/// The seeds of the fuzz target: seeds that nobody runs would rot. A seed's name says what becomes of it.
#[test]
fn seeds_of_the_fuzz_target_are_what_their_names_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/admit");
    let (mut admitted, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let outcome = property::holds(&std::fs::read(&path).unwrap());
        match path.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().0 {
            "valid" => {
                assert_eq!(outcome, Some(true), "{}", path.display());
                admitted += 1;
            }
            "refused" => {
                assert_eq!(outcome, Some(false), "{}", path.display());
                refused += 1;
            }
            other => panic!("{other}: valid-... or refused-...?"),
        }
    }
    assert!(admitted > 4 && refused > 10);
}

#[path = "../fuzz/properties/admit.rs"]
mod property;
