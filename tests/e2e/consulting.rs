//! Another service that is asked whether a request may pass, on every path.

use std::net::{SocketAddr, TcpListener};

use crate::support::{Flux, Response, Running, Scripted, exchange};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn guarded(origin: SocketAddr, service: SocketAddr, more: &str) -> Running {
    Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[upstreams]]\nname = \"auth\"\n\
         servers = [\"{service}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         forward_auth = {{ upstream = \"auth\", path = \"/verify?rd=1\", response_headers = [\"remote-user\"], {more} }}\n\
         routes = [{{ path = \"/\", upstream = \"app\" }}, {{ path = \"/site/\", static = \"$DIR/files\" }}]\n"
    ))
    .file("files/site/a.txt", b"file")
    .start()
}

fn ask(at: SocketAddr, line: &str, fields: &str) -> Response {
    exchange(at, &format!("{line} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n"))
}

const LINES: [&str; 6] = ["GET /", "HEAD /", "OPTIONS /", "POST /x", "GET /site/a.txt", "GET /site/none"];

#[test]
fn the_service_is_told_what_it_needs_and_the_upstream_what_it_says() {
    let origin = Scripted::answering(OK);
    let service = Scripted::answering("HTTP/1.1 204 No Content\r\nRemote-User: ann\r\nX-Other: 1\r\n\r\n");
    let flux = guarded(origin.address, service.address, "");
    let fields = "Cookie: s=1\r\nRemote-User: root\r\nRemote_User: root\r\nX-Forwarded-For: 10.0.0.9\r\nX-Secret: x\r\n\
                  Content-Length: 3\r\n";
    let ask = format!("POST /in?a=%20b HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\nabc");
    assert_eq!(exchange(flux.http(), &ask).status, 200);
    let asked = service.last_head();
    assert!(asked.starts_with("get /verify?rd=1 http/1.1\r\n"), "{asked}");
    for field in [
        "host: a.test\r\n",
        "cookie: s=1\r\n",
        "x-forwarded-method: post\r\n",
        "x-forwarded-uri: /in?a=%20b\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: a.test\r\n",
    ] {
        assert_eq!(asked.matches(&format!("\r\n{field}")).count(), 1, "{field} in {asked}");
    }
    assert!(
        !asked.contains("remote") && !asked.contains("secret") && !asked.contains("content-length"),
        "{asked}"
    );
    let told = origin.last_head();
    assert_eq!(told.matches("remote-user: ann\r\n").count(), 1, "{told}");
    assert!(!told.contains("root") && !told.contains("x-other"), "{told}");
    assert_eq!(
        exchange(flux.http(), "GET /site/a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").body,
        b"file"
    );
}

#[test]
fn a_permit_without_a_name_takes_the_clients_own_away() {
    let origin = Scripted::answering(OK);
    let service = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let flux = guarded(origin.address, service.address, "");
    assert_eq!(ask(flux.http(), "GET /", "Remote-User: root\r\nREMOTE_USER: root\r\n").status, 200);
    assert!(!origin.last_head().contains("root"), "{}", origin.last_head());
}

#[test]
fn a_denial_reaches_the_client_with_the_fields_it_needs() {
    let origin = Scripted::answering(OK);
    for (status, field) in [
        ("302 Found", "Location: https://login.test/?rd=x\r\n"),
        ("401 Unauthorized", "WWW-Authenticate: Bearer\r\n"),
        ("403 Forbidden", "Set-Cookie: a=b\r\n"),
    ] {
        let service = Scripted::answering(&format!(
            "HTTP/1.1 {status}\r\n{field}Content-Type: text/plain\r\nContent-Length: 3\r\nServer: inside\r\nX-Debug: 1\r\n\r\nno\n"
        ));
        let flux = guarded(origin.address, service.address, "");
        for line in LINES {
            let response = ask(flux.http(), line, "");
            assert_eq!(response.status.to_string(), status[..3], "{line}");
            assert!(response.head.contains(&field.to_ascii_lowercase()), "{}", response.head);
            assert!(response.head.contains("cache-control: no-store\r\n"), "{}", response.head);
            assert!(
                !response.head.contains("inside") && !response.head.contains("x-debug"),
                "{}",
                response.head
            );
            let body: &[u8] = if line.starts_with("HEAD") { b"" } else { b"no\n" };
            assert_eq!(response.body, body, "{line}");
        }
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\
                       GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(flux.http(), upgrade).status.to_string(), status[..3]);
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn no_word_is_no_permit() {
    let origin = Scripted::answering(OK);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let endless = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "400\r\n".to_owned() + &"x".repeat(1024) + "\r\n"
    );
    let services = [
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "rubbish\r\n\r\n",
        large.as_str(),
    ];
    for answer in services {
        let service = Scripted::answering(answer);
        let flux = guarded(origin.address, service.address, "timeout = \"10s\"");
        for line in ["GET /", "GET /site/a.txt"] {
            let status = ask(flux.http(), line, "").status;
            assert_eq!(status, 502, "{line} {}", &answer[..answer.len().min(40)]);
        }
    }
    let flux = guarded(origin.address, dead, "");
    assert_eq!(ask(flux.http(), "GET /dead", "").status, 502);
    assert_eq!(flux.access_line("/dead")["error"], "auth_failed");
    // One that goes on for ever, or never begins, is given up.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for service in [silent.local_addr().unwrap(), Scripted::answering(&endless).address] {
        let flux = guarded(origin.address, service, "timeout = \"500ms\"");
        assert_eq!(ask(flux.http(), "GET /", "").status, 504);
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_permit_is_kept_for_one_user_and_a_denial_for_nobody() {
    let origin = Scripted::answering(OK);
    let cache = "cache = { ttl = \"1h\", by = [\"header:cookie\", \"target\"] }";
    let service = Scripted::answering("HTTP/1.1 200 OK\r\nRemote-User: ann\r\nContent-Length: 0\r\n\r\n");
    let flux = guarded(origin.address, service.address, cache);
    let asked = |line: &str, fields: &str| {
        assert_eq!(ask(flux.http(), line, fields).status, 200);
        service.requests()
    };
    assert_eq!(asked("GET /", "Cookie: s=ann\r\n"), 1);
    assert_eq!(asked("GET /", "Cookie: s=ann\r\nRemote-User: root\r\n"), 1);
    assert!(origin.last_head().contains("remote-user: ann\r\n"));
    assert_eq!(asked("GET /", "Cookie: s=bob\r\n"), 2);
    assert_eq!(asked("GET /?x", "Cookie: s=ann\r\n"), 3);
    assert_eq!(asked("GET /", ""), 4);
    assert_eq!(asked("GET /", ""), 5);
    let denying = Scripted::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let flux = guarded(origin.address, denying.address, cache);
    for number in 1..=2 {
        assert_eq!(ask(flux.http(), "GET /", "Cookie: s=eve\r\n").status, 403);
        assert_eq!(denying.requests(), number);
    }
}
