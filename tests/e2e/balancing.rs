//! Which of several servers gets a request, while some are killed, slowed, failing, and revived.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Flux, Grpc, Mood, Moody, Running, exchange, request, set_mode, wait};

/// A proxy before `origins`, with these keys in the upstream.
fn before(origins: &[&Moody], keys: &str) -> Flux {
    let servers: Vec<_> = origins.iter().map(|origin| format!("\"{}\"", origin.address)).collect();
    with_servers(&servers.join(", "), keys)
}

fn with_servers(servers: &str, keys: &str) -> Flux {
    Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [{servers}]\n{keys}\n[[vhosts]]\nhosts = [\"*\"]\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n"
    ))
}

/// A port that nothing listens on.
fn dead() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// How many of so many requests each origin answers.
fn shares(flux: &Running, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let response = request(flux.http(), "x.test", "/");
        assert_eq!(response.status, 200);
        *shares.entry(String::from_utf8(response.body).unwrap()).or_insert(0) += 1;
    }
    shares
}

fn metrics(flux: &Running) -> String {
    String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap()
}

/// Waits for a line of the metrics that ends so.
fn wait_for_metric(flux: &Running, name: &str, server: SocketAddr, value: u32) {
    let line = format!(
        "fluxheim_upstream_server_{name}{{upstream=\"app\",server=\"{server}\",address=\"{server}\"}} {value}"
    );
    assert!(
        wait(|| metrics(flux).contains(&line).then_some(())).is_some(),
        "{line} not in\n{}",
        metrics(flux)
    );
}

#[test]
fn every_way_of_balancing_uses_every_server() {
    let (a, b, c) = (Moody::named("a"), Moody::named("b"), Moody::named("c"));
    for balance in ["round_robin", "random", "least_conn", "p2c"] {
        let flux = before(&[&a, &b, &c], &format!("balance = \"{balance}\"")).start();
        let seen = shares(&flux, 60);
        assert_eq!(seen.len(), 3, "{balance}: {seen:?}");
    }
}

#[test]
fn sends_a_key_to_one_server_whichever_instance_it_comes_to() {
    let origins = [Moody::named("a"), Moody::named("b"), Moody::named("c")];
    for kind in ["ketama", "maglev"] {
        let keys = format!("hash = {{ by = \"header:x-user\", kind = \"{kind}\" }}");
        let [one, other] = [(); 2].map(|()| before(&origins.each_ref(), &keys).start());
        let ask = |flux: &Running, user: usize| {
            let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-User: u{user}\r\nConnection: close\r\n\r\n");
            exchange(flux.http(), &head).body
        };
        let owners: Vec<_> = (0..30).map(|user| ask(&one, user)).collect();
        assert_eq!(owners, (0..30).map(|user| ask(&other, user)).collect::<Vec<_>>(), "{kind}");
        assert!(origins.iter().all(|origin| origin.requests() > 0));
    }
}

#[test]
fn keeps_a_client_with_its_server_by_a_cookie_that_it_can_not_make() {
    let (a, b) = (Moody::named("a"), Moody::named("b"));
    let keys =
        "sticky = { cookie = \"srv\", secret_file = \"$DIR/key\", ttl = \"1h\", same_site = \"strict\" }";
    let flux = before(&[&a, &b], keys).file("key", &[b'k'; 40]);
    set_mode(&flux.dir.path().join("key"), 0o600);
    let flux = flux.start();
    let first = request(flux.http(), "x", "/");
    let cookie = first.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.ends_with("; path=/; max-age=3600; httponly; secure; samesite=strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let ask = |pair: &str| {
        exchange(
            flux.http(),
            &format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: z=1; {pair}\r\nConnection: close\r\n\r\n"),
        )
    };
    for _ in 0..6 {
        let again = ask(pair);
        assert_eq!(again.body, first.body);
        assert!(!again.head.contains("set-cookie"), "{}", again.head);
    }
    let forged: Vec<_> = (0..6).map(|_| ask("srv=00000000000000000000000000000000")).collect();
    assert!(forged.iter().all(|response| response.head.contains("set-cookie: srv=")));
    assert!(forged.iter().any(|response| response.body != first.body));
}

#[test]
fn refuses_to_start_with_a_key_that_others_can_read_or_guess() {
    let a = Moody::named("a");
    let keys = "sticky = { cookie = \"srv\", secret_file = \"$DIR/key\" }";
    for (content, mode, said) in [(&[b'k'; 40][..], 0o644, "0644"), (b"short\n", 0o600, "at least 32")] {
        let flux = before(&[&a], keys).file("key", content);
        set_mode(&flux.dir.path().join("key"), mode);
        let output = flux.run_to_end();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains(said), "{told}");
    }
    let output = before(&[&a], keys).run_to_end();
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn checks_servers_and_leaves_out_those_that_are_not_well() {
    let (a, b) = (Moody::named("a"), Moody::named("b"));
    let keys = "health = { path = \"/health\", interval = \"1s\", unhealthy_after = 2, healthy_after = 2 }";
    let flux = before(&[&a, &b], keys).start();
    assert!(wait(|| (a.checks() > 1 && b.checks() > 1).then_some(())).is_some());
    assert_eq!(shares(&flux, 10).len(), 2);
    b.be(Mood::Status(500));
    let line = flux.wait_for("server is unhealthy");
    assert_eq!(
        (line["server"].as_str(), line["reason"].as_str()),
        (Some(&*b.address.to_string()), Some("status 500"))
    );
    wait_for_metric(&flux, "healthy", b.address, 0);
    assert_eq!(shares(&flux, 10), BTreeMap::from([("a".to_owned(), 10)]));
    // Nothing is forgotten in a reload.
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(shares(&flux, 10), BTreeMap::from([("a".to_owned(), 10)]));
    b.be(Mood::Status(200));
    flux.wait_for("server is healthy again");
    wait_for_metric(&flux, "healthy", b.address, 1);
    assert_eq!(shares(&flux, 10).len(), 2);
}

#[test]
fn checks_by_tcp_and_uses_a_backup_when_all_others_are_gone() {
    let (gone, backup) = (dead(), Moody::named("backup"));
    let servers = format!("\"{gone}\", {{ address = \"{}\", backup = true }}", backup.address);
    let flux =
        with_servers(&servers, "health = { tcp = true, interval = \"1s\" }\nretry = { on = [] }").start();
    let line = flux.wait_for("server is unhealthy");
    assert_eq!(line["server"].as_str(), Some(&*gone.to_string()));
    assert_eq!(shares(&flux, 5), BTreeMap::from([("backup".to_owned(), 5)]));
}

#[test]
fn checks_by_grpc_what_the_service_says_of_itself() {
    let (a, b) = (Moody::named("a"), Moody::named("b"));
    let health = Grpc::serving("shop.Cart");
    let keys = format!(
        "health = {{ grpc = \"shop.Cart\", port = {}, interval = \"1s\", unhealthy_after = 1, healthy_after = 1 }}\n\
         panic_threshold = 0",
        health.address.port()
    );
    let flux = before(&[&a, &b], &keys).start();
    assert!(wait(|| (health.checks() > 3).then_some(())).is_some());
    assert_eq!(request(flux.http(), "x", "/").status, 200);
    health.serves(false);
    assert_eq!(flux.wait_for("server is unhealthy")["reason"], "its service says NOT_SERVING");
    assert!(wait(|| (request(flux.http(), "x", "/down").status == 503).then_some(())).is_some());
    health.serves(true);
    flux.wait_for("server is healthy again");
    assert_eq!(request(flux.http(), "x", "/").status, 200);
}

#[test]
fn ejects_a_server_that_fails_and_takes_it_back_when_it_serves() {
    let (a, b) = (Moody::named("a"), Moody::named("b"));
    let keys = "outlier = { consecutive_failures = 3, base_ejection = \"1s\" }\nretry = { on = [\"503\"] }";
    let flux = before(&[&a, &b], keys).start();
    b.be(Mood::Status(503));
    // Clients see none of it: the other server is asked.
    assert_eq!(shares(&flux, 10), BTreeMap::from([("a".to_owned(), 10)]));
    flux.wait_for_start_of("server ejected for 1s");
    assert!(b.requests() >= 3);
    // It is tried once a while, and stays out longer each time.
    assert!(wait(|| (shares(&flux, 1).len() == 1 && b.requests() >= 4).then_some(())).is_some());
    flux.wait_for_start_of("server ejected for 2s");
    wait_for_metric(&flux, "ejected", b.address, 1);
    b.be(Mood::Status(200));
    assert!(wait(|| shares(&flux, 1).contains_key("b").then_some(())).is_some());
    flux.wait_for("ejected server is back");
    assert_eq!(shares(&flux, 10)["b"], 5);
    wait_for_metric(&flux, "ejected", b.address, 0);
}

#[test]
fn sends_again_only_what_is_safe_and_wanted() {
    let (a, b) = (Moody::named("a"), Moody::named("b"));
    let flux = before(&[&a, &b], "retry = { on = [\"connect\", \"reset\", \"502\"] }").start();
    let post = || {
        exchange(
            flux.http(),
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        )
    };
    let put = || {
        exchange(
            flux.http(),
            "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        )
    };
    a.be(Mood::HangsUp);
    assert!((0..4).all(|_| put().status == 200));
    let statuses: Vec<_> = (0..4).map(|_| post().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    a.be(Mood::Status(502));
    assert_eq!(shares(&flux, 4), BTreeMap::from([("b".to_owned(), 4)]));
    a.be(Mood::Status(503));
    let statuses: Vec<_> = (0..4).map(|_| request(flux.http(), "x", "/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 2, "{statuses:?}");
    // With nobody left to ask, the client gets what there is.
    a.be(Mood::Status(502));
    b.be(Mood::Status(502));
    let response = request(flux.http(), "x", "/both");
    assert_eq!((response.status, response.body.len()), (502, 1));
}

#[test]
fn never_counts_a_body_twice_against_its_limit() {
    let (a, b) = (Moody::named("a"), Moody::named("b"));
    let keys = "retry = { on = [\"503\"] }\n[limits]\nmax_body_size = \"10B\"";
    let flux = before(&[&a, &b], keys).start();
    a.be(Mood::Status(503));
    for _ in 0..4 {
        let response = exchange(
            flux.http(),
            "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\n12345678",
        );
        assert_eq!(response.status, 200);
    }
}

/// Sends a request and leaves the response for later.
fn begin(flux: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(flux.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn queues_what_is_too_much_and_refuses_what_is_more() {
    let a = Moody::named("a");
    a.be(Mood::Slow(Duration::from_secs(3)));
    let flux = before(&[&a], "max_in_flight = 1\nqueue = { size = 1, timeout = \"15s\" }").start();
    let first = begin(&flux);
    assert!(wait(|| (a.requests() == 1).then_some(())).is_some());
    let second = begin(&flux);
    assert!(
        wait(|| metrics(&flux).contains("fluxheim_upstream_queued{upstream=\"app\"} 1").then_some(()))
            .is_some()
    );
    let refused = request(flux.http(), "x", "/over");
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    assert_eq!(flux.access_line("/over")["error"], "upstream_busy");
    assert!(end(first).starts_with("HTTP/1.1 200") && end(second).starts_with("HTTP/1.1 200"));
    assert_eq!(a.requests(), 2);
    wait_for_metric(&flux, "in_flight", a.address, 0);
}

#[test]
fn counts_out_clients_that_leave() {
    let a = Moody::named("a");
    a.be(Mood::Slow(Duration::from_secs(30)));
    let servers = format!("{{ address = \"{}\", max_in_flight = 3 }}", a.address);
    let flux = with_servers(&servers, "").start();
    let held: Vec<_> = (0..3).map(|_| begin(&flux)).collect();
    wait_for_metric(&flux, "in_flight", a.address, 3);
    assert_eq!(request(flux.http(), "x", "/over").status, 503);
    drop(held);
    wait_for_metric(&flux, "in_flight", a.address, 0);
    a.be(Mood::Status(200));
    assert_eq!(request(flux.http(), "x", "/").status, 200);
}

#[test]
fn p2c_leaves_a_slow_server_alone() {
    let (fast, slow) = (Moody::named("fast"), Moody::named("slow"));
    slow.be(Mood::Slow(Duration::from_millis(400)));
    let flux = before(&[&fast, &slow], "balance = \"p2c\"").start();
    let began = Instant::now();
    let seen = shares(&flux, 40);
    assert!(seen["fast"] >= 30, "{seen:?} in {:?}", began.elapsed());
}

#[test]
fn says_where_a_connection_failed_and_asks_no_more_than_it_may() {
    let (one, other) = (dead(), dead());
    let flux = with_servers(&format!("\"{one}\", \"{other}\""), "retry = { attempts = 1 }").start();
    assert_eq!(request(flux.http(), "x", "/gone").status, 502);
    let line = flux.access_line("/gone");
    assert_eq!(line["error"], "upstream_connect_refused", "{line}");
    let address = line["upstream_address"].as_str().unwrap();
    assert!([one, other].map(|at| at.to_string()).contains(&address.to_owned()), "{line}");
    assert!(
        metrics(&flux)
            .contains("fluxheim_upstream_attempts_total{upstream=\"app\",result=\"connect_failed\"} 1")
    );
}

#[test]
fn a_client_that_owes_its_body_has_no_server_ejected() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tired = listener.local_addr().unwrap();
    // It waits for no body and answers nothing: it closes once it has a head.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
        }
    });
    let other = Moody::named("other");
    let keys = "outlier = { consecutive_failures = 1, base_ejection = \"1m\", max_ejected = 100 }";
    let servers = format!("\"{tired}\", {{ address = \"{}\", backup = true }}", other.address);
    let flux = with_servers(&servers, keys).start();
    let owing = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\nx";
    for _ in 0..3 {
        assert_eq!(exchange(flux.http(), owing).status, 502);
    }
    wait_for_metric(&flux, "ejected", tired, 0);
    assert_eq!(request(flux.http(), "x", "/").status, 502);
    wait_for_metric(&flux, "ejected", tired, 1);
    assert_eq!(request(flux.http(), "x", "/").body, b"other");
}
