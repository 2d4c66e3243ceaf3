//! Which server of an upstream a request goes to, and what happens when it is not there.

use std::net::TcpListener;

use crate::support::{Flux, Scripted, exchange, request};

fn answering(name: &str) -> Scripted {
    Scripted::answering(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
}

fn with_servers(servers: &str) -> Flux {
    Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [{servers}]\nconnect_timeout = \"2s\"\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    ))
}

/// A port that nothing listens on.
fn dead() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn takes_turns_by_weight() {
    let (a, b) = (answering("a"), answering("b"));
    let flux =
        with_servers(&format!("\"{}\", {{ address = \"{}\", weight = 2 }}", a.address, b.address)).start();
    let order: Vec<u8> = (0..6).flat_map(|_| request(flux.http(), "x.test", "/").body).collect();
    assert_eq!((a.requests(), b.requests()), (2, 4), "{}", String::from_utf8_lossy(&order));
}

#[test]
fn goes_on_to_the_next_server_when_one_is_dead() {
    let alive = answering("alive");
    let flux = with_servers(&format!("\"{}\", \"{}\"", dead(), alive.address)).start();
    for _ in 0..4 {
        let response = request(flux.http(), "x.test", "/");
        assert_eq!((response.status, response.body.as_slice()), (200, &b"alive"[..]));
    }
}

#[test]
fn answers_502_when_every_server_is_dead() {
    let flux = with_servers(&format!("\"{}\", \"{}\"", dead(), dead())).start();
    assert_eq!(request(flux.http(), "x.test", "/gone").status, 502);
    let line = flux.access_line("/gone");
    assert_eq!(line["error"], "upstream_connect_refused");
    assert!(line["upstream_address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
}

#[test]
fn resolves_names_without_the_c_library() {
    let origin = answering("by name");
    let flux = with_servers(&format!("\"localhost:{}\"", origin.address.port())).start();
    assert_eq!(request(flux.http(), "x.test", "/").body, b"by name");
}

#[test]
fn answers_502_while_a_name_does_not_resolve() {
    let flux = with_servers("\"no-such-host.invalid:80\"").start();
    let response = request(flux.http(), "x.test", "/lost");
    assert_eq!(response.status, 502);
    assert_eq!(flux.access_line("/lost")["error"], "upstream_no_address");
}

#[test]
fn an_upgrade_that_is_not_passed_on_does_not_cost_a_connection() {
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        origin.address
    ))
    .start();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n".repeat(5);
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(flux.http(), &format!("{ask}{last}")).status, 200);
    assert_eq!((origin.requests(), origin.connections()), (6, 1));
    assert!(!origin.last_head().contains("upgrade"));
}
