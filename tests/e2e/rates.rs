//! How many requests, how many at once, and for how long: what clients are told, and that no kind of
//! request gets around it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Flux, H2Client, Running, Scripted, exchange, request, wait};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn to(origin: SocketAddr, vhost: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n{vhost}\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n[[vhosts.routes]]\npath = \"/files\"\nstatic = \"$DIR\"\n"
    )
}

fn metric(flux: &Running, line: &str) -> bool {
    let text = || String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    wait(|| text().contains(line).then_some(())).is_some()
}

#[test]
fn answers_429_over_the_rate_and_tells_what_is_left() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&to(origin.address, "rate_limit = { requests = 3, per = \"1h\" }")).start();
    let first = request(flux.http(), "a", "/");
    assert_eq!(first.status, 200);
    assert!(first.head.contains("\r\nratelimit-policy: \"client_ip\";q=3;w=3600\r\n"), "{}", first.head);
    assert!(first.head.contains("\r\nratelimit: \"client_ip\";r=2;t=1"), "{}", first.head);
    assert_eq!(request(flux.http(), "a", "/").status, 200);
    assert_eq!(request(flux.http(), "a", "/").status, 200);
    let over = request(flux.http(), "a", "/over");
    assert_eq!((over.status, over.body.as_slice()), (429, &b"too many requests\n"[..]));
    assert!(
        over.head.contains("\r\nretry-after: 1") && over.head.contains("\"client_ip\";r=0;t=1"),
        "{}",
        over.head
    );
    assert_eq!(flux.access_line("/over")["error_detail"], "over the rate limit client_ip");
    assert!(metric(
        &flux,
        "fluxheim_rate_limited_total{vhost=\"*\",rule=\"client_ip\",mode=\"enforce\"} 1\n"
    ));
    assert_eq!(origin.requests(), 3);
}

#[test]
fn counts_every_kind_of_request() {
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    for (method, path, fields) in [
        ("HEAD", "/", ""),
        ("OPTIONS", "/", ""),
        ("GET", "/", upgrade),
        ("GET", "/files/none", ""),
        ("POST", "/", "Content-Length: 1\r\n"),
    ] {
        let origin = Scripted::answering(OK);
        let flux = Flux::with(&to(origin.address, "rate_limit = { requests = 1, per = \"1h\" }")).start();
        assert!(matches!(request(flux.http(), "a", path).status, 200 | 404));
        let close = if fields == upgrade { "" } else { "Connection: close\r\n" };
        let body = if method == "POST" { "x" } else { "" };
        let response = exchange(
            flux.http(),
            &format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{close}{fields}\r\n{body}"),
        );
        assert_eq!(response.status, 429, "{method} {path} {fields:?}");
    }
}

#[test]
fn counts_requests_that_no_route_takes() {
    let rest = "[[vhosts]]\nhosts = [\"a\"]\nrate_limit = { requests = 1, per = \"1h\" }\n\
                routes = [{ path = \"/files\", static = \"$DIR\" }]\n";
    let flux = Flux::with(rest).start();
    assert_eq!(request(flux.http(), "a", "/wp-admin").status, 404);
    assert_eq!(request(flux.http(), "a", "/.env").status, 429);
    assert_eq!(request(flux.http(), "b", "/.env").status, 421);
}

#[test]
fn counts_by_what_a_trusted_proxy_says_and_by_header() {
    let origin = Scripted::answering(OK);
    let rules = "rate_limit = [{ requests = 1, per = \"1h\" }, { requests = 2, per = \"1h\", by = \"header:X-Key\" }]";
    let server = "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]";
    let flux = Flux::server(server, &to(origin.address, rules)).start();
    let status = |client: &str, key: &str| {
        exchange(
            flux.http(),
            &format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {client}\r\nX-Key: {key}\r\n\r\n"
            ),
        )
        .status
    };
    assert_eq!((status("192.0.2.1", "k"), status("192.0.2.1", "k")), (200, 429));
    assert_eq!((status("2001:db8::1", "k"), status("2001:db8::2", "other")), (200, 429));
    assert_eq!((status("192.0.2.2", "k"), status("192.0.2.3", "l")), (429, 200));
}

#[test]
fn observes_without_a_word_to_the_client_and_keeps_counts_over_a_reload() {
    let origin = Scripted::answering(OK);
    let rules = "rate_limit = [{ requests = 2, per = \"1h\" }, { name = \"trial\", requests = 1, per = \"1h\", mode = \"observe\" }]";
    let flux = Flux::with(&to(origin.address, rules)).start();
    assert_eq!(request(flux.http(), "a", "/").status, 200);
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    let second = request(flux.http(), "a", "/");
    assert!(second.status == 200 && !second.head.contains("trial"), "{}", second.head);
    assert!(metric(&flux, "fluxheim_rate_limited_total{vhost=\"*\",rule=\"trial\",mode=\"observe\"} 1\n"));
    assert_eq!(request(flux.http(), "a", "/").status, 429);
}

/// Tells of each request as it comes, and answers it when it is told to.
fn held_origin() -> (SocketAddr, Receiver<Sender<&'static str>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let (release, released) = channel::<&'static str>();
                    let _ = tell.send(release);
                    while let Ok(bytes) = released.recv() {
                        let _ = stream.write_all(bytes.as_bytes());
                    }
                }
            });
        }
    });
    (address, told)
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn serves_so_many_at_once_queues_so_many_and_refuses_the_rest() {
    let (origin, requests) = held_origin();
    let limits = "limits = { max_concurrent = 1, max_queue = 1, queue_timeout = \"60s\" }";
    let flux = Flux::with(&to(origin, limits)).start();
    let address = flux.http();
    let ask = || std::thread::spawn(move || request(address, "a", "/").status);
    let first = ask();
    let release = requests.recv_timeout(LONG).unwrap();
    // Of three more one waits, whichever comes first.
    let (tell, told) = channel();
    for _ in 0..3 {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send(request(address, "a", "/")));
    }
    let refused = told.recv_timeout(LONG).unwrap();
    assert_eq!((refused.status, told.recv_timeout(LONG).unwrap().status), (503, 503));
    assert!(refused.head.contains("\r\nretry-after: 1\r\n") && refused.body == b"busy\n", "{}", refused.head);
    assert!(metric(&flux, "fluxheim_http_errors_total{vhost=\"*\",reason=\"queue_full\"} 2"));
    assert!(requests.try_recv().is_err(), "more than one at once");
    release.send(OK).unwrap();
    drop(release);
    assert_eq!(first.join().unwrap(), 200);
    let release = requests.recv_timeout(LONG).unwrap();
    release.send(OK).unwrap();
    drop(release);
    assert_eq!(told.recv_timeout(LONG).unwrap().status, 200);
}

#[test]
fn a_client_has_so_many_requests_at_once_over_all_of_its_connections() {
    let (origin, requests) = held_origin();
    let server = "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.2\"]";
    let flux =
        Flux::server(server, &format!("{}[limits]\nmax_requests_per_client = 2\n", to(origin, ""))).start();
    let address = flux.http();
    let begin = || std::thread::spawn(move || request(address, "a", "/").status);
    let held = [begin(), begin()];
    let releases = [0, 1].map(|_| requests.recv_timeout(LONG).unwrap());
    let over = request(address, "a", "/over");
    assert_eq!((over.status, over.body.as_slice()), (429, &b""[..]));
    assert_eq!(flux.access_line("/over")["error"], "too_many_at_once");
    // A page would wait for a window that the client may never open.
    for accept in ["text/html", "application/problem+json"] {
        let head = format!("GET /page HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        let over = exchange(address, &head);
        assert_eq!((over.status, over.body.as_slice()), (429, &b""[..]), "{accept}");
    }
    releases.into_iter().for_each(|release| release.send(OK).unwrap());
    assert_eq!(held.map(|thread| thread.join().unwrap()), [200, 200]);
    assert!(metric(&flux, "fluxheim_http_requests_in_flight 0\n"));
    assert_eq!(request(address, "a", "/files/none").status, 404);
}

#[test]
fn gives_places_back_however_requests_end() {
    let (origin, requests) = held_origin();
    let flux = Flux::with(&to(origin, "limits = { max_concurrent_per_client = 1 }")).start();
    let begin = |fields: &str| {
        // The request before may have its answer and still hold its place.
        assert!(metric(&flux, "fluxheim_http_requests_in_flight 0\n"));
        let mut stream = TcpStream::connect(flux.http()).unwrap();
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
        (stream, requests.recv_timeout(LONG).expect("a place was not given back"))
    };
    let free_again = || {
        wait(|| {
            let taken = request(flux.http(), "a", "/files/none").status;
            (taken != 429).then_some(taken)
        })
    };
    // The client leaves.
    let (client, release) = begin("");
    assert_eq!(request(flux.http(), "a", "/files/none").status, 429);
    drop(client);
    assert_eq!(free_again(), Some(404));
    drop(release);
    // The origin answers with nonsense.
    let (client, release) = begin("");
    release.send("nonsense\r\n\r\n").unwrap();
    drop(release);
    assert_eq!(free_again(), Some(404));
    drop(client);
    // The connection is upgraded, and ends.
    let (mut client, release) = begin("Connection: upgrade\r\nUpgrade: websocket\r\n");
    release
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    client.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(request(flux.http(), "a", "/files/none").status, 429);
    drop((client, release));
    assert_eq!(free_again(), Some(404));
}

#[test]
fn ends_a_request_at_its_timeout_whoever_trickles() {
    let (origin, requests) = held_origin();
    let flux = Flux::with(&to(origin, "limits = { request_timeout = \"2s\" }")).start();
    let began = Instant::now();
    assert_eq!(request(flux.http(), "a", "/silent").status, 504);
    assert!(began.elapsed() > Duration::from_millis(1500) && began.elapsed() < LONG, "{:?}", began.elapsed());
    drop(requests.recv_timeout(LONG).unwrap());
    let address = flux.http();
    let began = Instant::now();
    let client = std::thread::spawn(move || request(address, "a", "/trickle"));
    let release = requests.recv_timeout(LONG).unwrap();
    release.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    while release.send("1\r\nx\r\n").is_ok() && !client.is_finished() && began.elapsed() < LONG {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(client.is_finished(), "it goes on for ever");
    assert_eq!(client.join().unwrap().status, 200);
    let line = flux.access_line("/trickle");
    assert_eq!((&line["error"], &line["status"]), (&"request_timeout".into(), &200.into()), "{line}");
}

#[test]
fn an_upgraded_connection_has_no_timeout_as_a_request() {
    let (origin, requests) = held_origin();
    let flux = Flux::with(&to(origin, "limits = { request_timeout = \"1s\" }")).start();
    let mut client = TcpStream::connect(flux.http()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let release = requests.recv_timeout(LONG).unwrap();
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    release.send(answer).unwrap();
    client.read_exact(&mut [0; 12]).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    release.send("still here").unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 256];
    while !seen.ends_with(b"still here") {
        let read = client.read(&mut buffer).unwrap();
        assert!(read > 0, "cut: {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
}

#[test]
fn refuses_a_target_over_its_limit_with_414() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!("{}[limits]\nmax_uri_size = \"1KiB\"\n", to(origin.address, ""))).start();
    assert_eq!(request(flux.http(), "a", &format!("/{}", "x".repeat(1023))).status, 200);
    assert_eq!(request(flux.http(), "a", &format!("/?{}", "x".repeat(1023))).status, 414);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn routes_of_one_path_count_for_themselves_over_reloads_too() {
    let (origin, requests) = held_origin();
    let limits = "rate_limit = { requests = 2, per = \"1h\" }, limits = { max_concurrent = 1 }";
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         routes = [{{ path = \"/\", upstream = \"app\", methods = [\"GET\"], {limits} }},\n\
                   {{ path = \"/\", upstream = \"app\", methods = [\"POST\"], {limits} }}]\n"
    ))
    .start();
    let address = flux.http();
    let both_at_once = || {
        let begin = |method: &'static str| {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            std::thread::spawn(move || exchange(address, &head).status)
        };
        let asked = [begin("GET"), begin("POST")];
        let releases = [0, 1].map(|_| requests.recv_timeout(LONG).expect("one waits for the other"));
        releases.into_iter().for_each(|release| release.send(OK).unwrap());
        assert_eq!(asked.map(|thread| thread.join().unwrap()), [200, 200]);
        assert!(metric(&flux, "fluxheim_http_requests_in_flight 0\n"));
    };
    both_at_once();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    both_at_once();
}

#[test]
fn counts_what_is_sent_to_tls_what_has_no_vhost_and_preflights() {
    let flux = Flux::server(
        "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.2\"]",
        "[defaults]\nrate_limit = { requests = 1, per = \"1h\" }\n\
         cors = { origins = [\"https://app.example\"] }\n\
         [[vhosts]]\nhosts = [\"tls.test\"]\nredirect = \"https\"\nroutes = [{ path = \"/\", static = \"$DIR\" }]\n\
         [[vhosts]]\nhosts = [\"page.test\"]\nroutes = [{ path = \"/\", static = \"$DIR\" }]\n",
    )
    .start();
    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n";
    for (host, line, fields, first) in [
        ("tls.test", "GET /", "", 308),
        ("nobody.test", "GET /", "", 421),
        ("page.test", "OPTIONS /", preflight, 204),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        let seen = [0, 1].map(|_| exchange(flux.http(), &head).status);
        assert_eq!(seen, [first, 429], "{host}");
    }
}

#[test]
fn counts_by_several_keys_together() {
    let origin = Scripted::answering(OK);
    let limit = "rate_limit = { requests = 1, per = \"1h\", by = [\"client_ip\", \"header:x-key\"] }";
    let flux = Flux::server(
        "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.0/8\"]",
        &to(origin.address, limit),
    )
    .start();
    let ask = |client: &str, key: &str| {
        let fields = format!("X-Forwarded-For: {client}\r\nX-Key: {key}\r\n");
        exchange(flux.http(), &format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"))
    };
    for (client, key) in [("192.0.2.1", "a"), ("192.0.2.1", "b"), ("192.0.2.2", "a")] {
        assert_eq!(ask(client, key).status, 200, "{client} {key}");
    }
    let over = ask("192.0.2.1", "a");
    assert_eq!(over.status, 429);
    assert!(
        over.head.contains("ratelimit-policy: \"client_ip-header-x-key\";q=1;w=3600\r\n"),
        "{}",
        over.head
    );
    let series =
        "fluxheim_rate_limited_total{vhost=\"*\",rule=\"client_ip-header-x-key\",mode=\"enforce\"} 1\n";
    assert!(metric(&flux, series));
    // A rule that is gone leaves no series.
    let text = std::fs::read_to_string(&flux.config).unwrap();
    std::fs::write(&flux.config, text.replace(limit, "")).unwrap();
    flux.signal(Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(ask("192.0.2.1", "a").status, 200);
    let all = String::from_utf8(request(flux.metrics(), "x", "/metrics").body).unwrap();
    assert!(!all.contains("fluxheim_rate_limited_total{"), "{all}");
}

/// Requests that wait, whose clients then leave: over HTTP/1.1 with and without a body that is still owed, and over
/// HTTP/2.
fn leave_after(flux: &Running, waiting: impl Fn(usize) -> bool) {
    let plain = |head: &str| {
        let mut stream = TcpStream::connect(flux.http()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let get = plain("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(waiting(1));
    let post = plain("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert!(waiting(2));
    let at = flux.http();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = runtime.block_on(async {
        let (mut send, connection) = h2::client::handshake(H2Client::plain(at).await).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://a/gone").body(()).unwrap();
        (send.send_request(request, true).unwrap(), send)
    });
    assert!(waiting(3));
    drop((get, post));
    assert!(waiting(1), "those of HTTP/1.1 still wait");
    // The stream is reset; its connection stays.
    let ((response, body), _send) = stream;
    drop((response, body));
    assert!(waiting(0), "that of HTTP/2 still waits");
}

#[test]
fn a_queue_is_one_of_clients_who_are_still_there() {
    let (origin, requests) = held_origin();
    let limits = "limits = { max_concurrent = 1, max_queue = 3, queue_timeout = \"60s\" }";
    let flux =
        Flux::server("http = [{ address = \"127.0.0.1:0\", h2c = true }]", &to(origin, limits)).start();
    let address = flux.http();
    let first = std::thread::spawn(move || request(address, "a", "/").status);
    let release = requests.recv_timeout(LONG).unwrap();
    let waiting = |n: usize| {
        let line = format!("fluxheim_http_requests_in_flight {}\n", n + 1);
        metric(&flux, &line)
    };
    for _ in 0..2 {
        leave_after(&flux, waiting);
    }
    assert_eq!(flux.access_line("/gone")["error"], "client_gone");
    // Who comes now waits for the one before it and for nobody else.
    let last = std::thread::spawn(move || request(address, "a", "/").status);
    assert!(waiting(1));
    release.send(OK_CLOSE).unwrap();
    drop(release);
    requests.recv_timeout(LONG).expect("the live client waits for dead ones").send(OK_CLOSE).unwrap();
    assert_eq!((first.join().unwrap(), last.join().unwrap()), (200, 200));
}

#[test]
fn the_line_of_an_upstream_is_one_of_clients_who_are_still_there() {
    let (origin, requests) = held_origin();
    let flux = Flux::server(
        "http = [{ address = \"127.0.0.1:0\", h2c = true }]",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\nmax_in_flight = 1\n\
             queue = {{ size = 3, timeout = \"60s\" }}\n[[vhosts]]\nhosts = [\"*\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n"
        ),
    )
    .start();
    let address = flux.http();
    let first = std::thread::spawn(move || request(address, "a", "/").status);
    let release = requests.recv_timeout(LONG).unwrap();
    let waiting = |n: usize| metric(&flux, &format!("fluxheim_upstream_queued{{upstream=\"app\"}} {n}\n"));
    for _ in 0..2 {
        leave_after(&flux, waiting);
    }
    let last = std::thread::spawn(move || request(address, "a", "/").status);
    assert!(waiting(1));
    release.send(OK_CLOSE).unwrap();
    drop(release);
    requests.recv_timeout(LONG).expect("the live client waits for dead ones").send(OK_CLOSE).unwrap();
    assert_eq!((first.join().unwrap(), last.join().unwrap()), (200, 200));
}

#[test]
fn nobody_is_asked_on_behalf_of_a_client_who_left() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let flux = Flux::server(
        "http = [{ address = \"127.0.0.1:0\", h2c = true }]",
        &format!(
            "[[upstreams]]\nname = \"auth\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
             forward_auth = {{ upstream = \"auth\", path = \"/\", timeout = \"60s\" }}\nroutes = [{{ path = \"/\", respond = {{ status = 200 }} }}]\n",
            silent.local_addr().unwrap()
        ),
    )
    .start();
    leave_after(&flux, |n| metric(&flux, &format!("fluxheim_http_requests_in_flight {n}\n")));
}

const OK_CLOSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
