//! What went wrong in other proxies, and must not here: one test for each class of bug, with the advisory that
//! tells of it and what would have come of it.
//!
//! Owns the classes that no other file tests by name; where one does, the test here is the shortest that
//! fails for the same reason.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use nix::sys::signal::Signal;

use crate::support::{
    Flux, H2Client, Response, Running, Scripted, Strict, certificate, exchange, handshake, hashed, request,
    set_mode,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One upstream `app` at `origin`, and whatever else.
fn flux(origin: SocketAddr, rest: &str) -> Flux {
    Flux::with(&format!("[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n{rest}"))
}

fn sent(flux: &Running, target: &str, fields: &str) -> Response {
    exchange(
        flux.http(),
        &format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n"),
    )
}

/// CVE-2026-27588 (Caddy): above a hundred hosts a matcher forgot to fold case, so `ADMIN.test` passed by
/// the vhost that asks for leave.
#[test]
fn hosts_are_one_whatever_their_case_and_number() {
    let origin = Scripted::answering(OK);
    let many: Vec<_> = (0..300).map(|n| format!("\"h{n}.test\"")).collect();
    let flux = flux(
        origin.address,
        &format!(
            "[[vhosts]]\nhosts = [\"Admin.test\", \"*.Inner.test\", {}]\naccess = {{ deny = [\"127.0.0.0/8\"] }}\n\
             routes = [{{ path = \"/\", upstream = \"app\" }}]\n\
             [[vhosts]]\nhosts = [\"*\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
            many.join(", ")
        ),
    )
    .start();
    for host in
        ["admin.test", "ADMIN.TEST", "aDMIN.test:80", "h299.test", "H299.Test", "x.INNER.test", "ADMIN.test."]
    {
        let status = request(flux.http(), host, "/").status;
        assert!(matches!(status, 400 | 403), "{host}: {status}");
    }
    assert_eq!(request(flux.http(), "other.test", "/").status, 200);
    assert_eq!(origin.requests(), 1);
}

/// CVE-2026-27587 (Caddy): a path with an escape in it was compared without folding its case, so
/// `/%41DMIN` was not `/admin` to the matcher and was to the application.
#[test]
fn an_escape_in_a_path_hides_nothing_from_a_route() {
    let origin = Scripted::answering(OK);
    let denied = "access = { deny = [\"127.0.0.0/8\"] }";
    let flux = flux(
        origin.address,
        &format!(
            "[[vhosts]]\nhosts = [\"*\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }},\n\
             {{ path = \"~* ^/admin\", upstream = \"app\", {denied} }}, {{ path = \"/secret\", upstream = \"app\", {denied} }}]\n"
        ),
    )
    .start();
    for target in [
        "/admin",
        "/ADMIN",
        "/%41DMIN",
        "/%61dmin",
        "/aDm%49n/x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/ADMIN",
        "/secret",
        "/%73ecret",
        "/s%65cret/x",
        "/secret%2fx",
        "/%2fsecret",
        "/secret%00",
    ] {
        let status = request(flux.http(), "a.test", target).status;
        assert!(matches!(status, 400 | 403), "{target}: {status}");
    }
    assert_eq!(origin.requests(), 0);
}

/// CVE-2026-40912, CVE-2026-48020, CVE-2026-65600 (Traefik): a prefix was taken off the raw path after
/// the decoded one had chosen the route, so `/api/..%2fadmin` or `/api../admin` arrived as `/admin`.
#[test]
fn a_prefix_is_taken_off_the_path_that_chose_the_route() {
    let origin = Scripted::answering(OK);
    let flux = flux(
        origin.address,
        "[[vhosts]]\nhosts = [\"*\"]\nroutes = [\n\
         { path = \"/api\", upstream = \"app\", rewrite = { strip_prefix = \"/api\" } },\n\
         { path = \"/old\", upstream = \"app\", rewrite = { replace_prefix = \"/new\" } },\n\
         { path = \"~ ^/re(.*)$\", upstream = \"app\", rewrite = { path = \"/base$1\" } },\n\
         { path = \"/admin\", upstream = \"app\", access = { deny = [\"127.0.0.0/8\"] } } ]\n",
    )
    .start();
    let mut passed = 0;
    for tail in [
        "../admin",
        "/../admin",
        "/%2e%2e/admin",
        "/..%2fadmin",
        "%2f..%2fadmin",
        "//admin",
        "/;/../admin",
        "..;/admin",
        "%2fadmin",
    ] {
        for prefix in ["/api", "/old", "/re"] {
            let target = format!("{prefix}{tail}");
            if request(flux.http(), "a.test", &target).status != 200 {
                continue;
            }
            passed += 1;
            let head = origin.last_head();
            let path = head.split(' ').nth(1).unwrap();
            let dots = path.split('/').any(|segment| matches!(segment, ".." | "." | "%2e%2e"));
            let moved = prefix == "/old" && !path.starts_with("/new");
            let seen_as_admin = path.trim_start_matches('/').starts_with("admin") && prefix != "/api";
            assert!(
                !dots && !moved && !seen_as_admin && !path.starts_with("//"),
                "{target} arrived as {path}"
            );
        }
    }
    assert!(passed > 0, "none of the paths got through: nothing was tested");
    assert_eq!(request(flux.http(), "a.test", "/admin").status, 403);
}

/// CVE-2026-30851, CVE-2026-52845 (Caddy), GHSA-x677-9fxg-v5c5 (Traefik): `forward_auth` set the fields that
/// the service sent and left alone those it did not, and their aliases: `X_User`, and `X.User` for PHP.
#[test]
fn a_client_can_not_say_who_it_is_by_any_spelling() {
    let origin = Scripted::answering(OK);
    let service = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let flux = flux(
        origin.address,
        &format!(
            "[[upstreams]]\nname = \"auth\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
             underscores_in_headers = \"pass\"\n\
             routes = [{{ path = \"/\", upstream = \"app\", forward_auth = {{ upstream = \"auth\", path = \"/\", \
             response_headers = [\"remote-user\", \"x-groups\"] }} }}, {{ path = \"/open\", upstream = \"app\" }},\n\
             {{ path = \"/own\", upstream = \"app\", request_headers = {{ set = {{ X-Tenant = \"blue\" }}, remove = [\"X-Debug\"] }} }}]\n",
            service.address
        ),
    )
    .start();
    let forged = "Remote-User: evil\r\nREMOTE-USER: evil\r\nRemote_User: evil\r\nRemote.User: evil\r\nX_Groups: evil\r\n\
                  X.Groups: evil\r\nX.Forwarded.For: evil\r\nX_Forwarded_For: evil\r\nX.Real-IP: evil\r\n";
    for target in ["/", "/open"] {
        assert_eq!(sent(&flux, target, forged).status, 200);
        assert!(!origin.last_head().contains("evil"), "{target}: {}", origin.last_head());
        assert!(!service.last_head().contains("evil"), "{}", service.last_head());
    }
    sent(&flux, "/own", "X.Tenant: evil\r\nX_Tenant: evil\r\nX-Tenant: evil\r\nX.Debug: evil\r\n");
    let head = origin.last_head();
    assert!(head.contains("x-tenant: blue\r\n") && !head.contains("evil"), "{head}");
}

/// CVE-2026-30852 (Caddy): what a request said was put in for one placeholder and then expanded once more,
/// which gave away environment variables and files.
#[test]
fn what_a_request_says_is_expanded_once() {
    let origin = Scripted::answering(OK);
    let flux = flux(
        origin.address,
        "[[vhosts]]\nhosts = [\"*\"]\nroutes = [\n\
         { path = \"~ ^/re/(.*)$\", upstream = \"app\", request_headers = { set = { X-Q = \"{query}\", X-P = \"{path}\", X-C = \"$1\" } },\n\
           response_headers = { set = { X-Echo = \"$1{query}\" } } },\n\
         { path = \"/go\", redirect = \"https://b.test{path}{query}\" } ]\n",
    )
    .start();
    let said = "$1{client_ip}{vhost}{env.HOME}${HOME}$HOME{file./etc/passwd}{{status}}";
    let quoted = said.replace('{', "%7B").replace('}', "%7D");
    for said in [said, quoted.as_str()] {
        let response = request(flux.http(), "a.test", &format!("/re/x?{said}"));
        let known = ["/root", "/home", "127.0.0.1"];
        if response.status == 200 {
            let head = origin.last_head();
            let field = head.lines().find(|line| line.starts_with("x-q: ")).unwrap();
            assert_eq!(field, format!("x-q: ?{said}").to_ascii_lowercase());
            let echo = response.head.lines().find(|line| line.starts_with("x-echo: ")).unwrap();
            assert_eq!(echo, format!("x-echo: x?{said}").to_ascii_lowercase());
        }
        let response = request(flux.http(), "a.test", &format!("/go?{said}"));
        if response.status == 308 {
            let location = response.head.lines().find(|line| line.starts_with("location: ")).unwrap();
            let expected = format!("location: https://b.test/go?{quoted}").to_ascii_lowercase();
            assert_eq!(location, expected, "braces are not for URLs");
        }
        assert!(!known.iter().any(|text| response.head.contains(text)), "{}", response.head);
    }
    let response = request(flux.http(), "a.test", "/re/$1%24%7Bpath%7D");
    assert_eq!(response.status, 200);
    assert!(origin.last_head().contains("x-c: $1%24%7bpath%7d\r\n"), "{}", origin.last_head());
}

/// GHSA-92mv-8f8w-wq52 (Traefik): tokens of `Connection` were compared with the names of its own fields in
/// one case and removed in any, so `connection: x-real-ip` took away what the application relies on.
#[test]
fn connection_takes_away_no_field_that_the_proxy_sets() {
    let origin = Scripted::answering(OK);
    let service = Scripted::answering("HTTP/1.1 200 OK\r\nRemote-User: ann\r\nContent-Length: 0\r\n\r\n");
    let flux = flux(
        origin.address,
        &format!(
            "[[upstreams]]\nname = \"auth\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
             forward_auth = {{ upstream = \"auth\", path = \"/\", response_headers = [\"Remote-User\"] }}\n\
             request_headers = {{ set = {{ X-Tenant = \"blue\" }} }}\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
            service.address
        ),
    )
    .start();
    let mut served = 0;
    for name in [
        "remote-user",
        "Remote-User",
        "x-tenant",
        "X-TENANT",
        "x-forwarded-for",
        "x-real-ip",
        "X-Real-Ip",
        "host",
        "via",
    ] {
        let response = exchange(
            flux.http(),
            &format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, {name}\r\n{name}: x\r\n\r\n")
                .replace("host: x\r\n", ""),
        );
        if response.status == 200 {
            served += 1;
            let head = origin.last_head();
            for field in [
                "remote-user: ann",
                "x-tenant: blue",
                "x-forwarded-for: 127.0.0.1",
                "x-real-ip: 127.0.0.1",
                "host: a.test",
            ] {
                assert!(head.contains(&format!("\r\n{field}\r\n")), "{name}: no {field} in {head}");
            }
        } else {
            assert_eq!(response.status, 400, "{name}");
        }
    }
    assert_eq!(served, origin.requests());
    assert!(served > 0, "every one was refused: nothing was tested");
}

/// CVE-2026-26998 (Traefik): the answer of an authentication server was read without end, into memory.
#[test]
fn an_authentication_server_can_not_fill_the_memory() {
    let origin = Scripted::answering(OK);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (service, written) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&written);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n");
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                while stream.write_all(chunk.as_bytes()).is_ok() {
                    count.fetch_add(chunk.len(), Ordering::SeqCst);
                }
            });
        }
    });
    let flux = flux(
        origin.address,
        &format!(
            "[[upstreams]]\nname = \"auth\"\nservers = [\"{service}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
             forward_auth = {{ upstream = \"auth\", path = \"/\", timeout = \"20s\" }}\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n"
        ),
    )
    .start();
    assert_eq!(request(flux.http(), "a.test", "/").status, 502);
    let taken = written.load(Ordering::SeqCst);
    assert!(taken < 32 << 20, "{taken} bytes were taken of it, the kernel's buffers among them");
    assert_eq!(origin.requests(), 0);
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// A site of users, each with a password.
fn with_users(origin: SocketAddr, users: &[(&str, &str)]) -> Flux {
    let lines: String =
        users.iter().map(|(user, password)| format!("{user}:{}\n", hashed(password))).collect();
    let flux = flux(
        origin,
        "[[vhosts]]\nhosts = [\"*\"]\nbasic_auth = { users_file = \"users\", user_header = \"x-user\" }\n\
         routes = [{ path = \"/\", upstream = \"app\" }]\n",
    )
    .file("users", lines.as_bytes());
    set_mode(&flux.dir.path().join("users"), 0o600);
    flux
}

/// CVE-2026-41263 (Traefik): an unknown user was refused without the work of a hash, so the time told which
/// users there are.
#[test]
fn a_refusal_takes_as_long_whether_there_is_such_a_user_or_not() {
    let origin = Scripted::answering(OK);
    let flux = with_users(origin.address, &[("ann", "open sesame")]).start();
    // By the clock of the program's own work, which other work of the machine does not move.
    let work = |user: &str| {
        let before = worked(&flux);
        for n in 0..16 {
            assert_eq!(sent(&flux, "/", &basic(user, &format!("wrong {n}"))).status, 401);
        }
        worked(&flux) - before
    };
    let (known, unknown) = (work("ann"), work("nobody"));
    assert!(unknown * 2 > known && known * 2 > unknown && known > 5, "known {known}, unknown {unknown}");
    assert_eq!(origin.requests(), 0);
}

/// Ticks for which the program has run so far, of which there are a hundred in a second (proc(5), utime and stime).
fn worked(flux: &Running) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", flux.pid())).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// CVE-2026-71326 (Traefik): what was kept of a verified password was found by a text in which user and
/// password run together, so one user became another.
#[test]
fn two_users_whose_names_and_passwords_run_together_stay_apart() {
    let origin = Scripted::answering(OK);
    let flux = with_users(origin.address, &[("ann", "ab"), ("anna", "b"), ("a", "nn:ab")]).start();
    // Twice: as verified anew, and as it was kept.
    for _ in 0..2 {
        for (user, password) in [("ann", "ab"), ("anna", "b"), ("a", "nn:ab")] {
            assert_eq!(sent(&flux, "/", &basic(user, password)).status, 200);
            assert!(
                origin.last_head().contains(&format!("\r\nx-user: {user}\r\n")),
                "{}",
                origin.last_head()
            );
        }
        for (user, password) in [("an", "nab"), ("annab", ""), ("anna", "ab"), ("ann", "b"), ("", "annab")] {
            assert_eq!(sent(&flux, "/", &basic(user, password)).status, 401, "{user}:{password}");
        }
    }
    assert_eq!(origin.requests(), 6);
}

/// CVE-2026-54762 (Traefik): where the secret of an authentication was missing, requests passed without it.
#[test]
fn nothing_is_open_because_a_secret_is_missing() {
    let origin = Scripted::answering(OK);
    let policies = [
        "basic_auth = { users_file = \"none\" }",
        "basic_auth = { users_file = \"empty\" }",
        "jwt = { issuer = \"https://i.test\", audience = \"a\", jwks_file = \"none\" }",
        "jwt = { issuer = \"https://i.test\", audience = \"a\", jwks_file = \"empty\" }",
    ];
    let vhost = |policy: &str| {
        format!("[[vhosts]]\nhosts = [\"*\"]\n{policy}\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n")
    };
    for policy in policies {
        let flux = flux(origin.address, &vhost(policy)).file("empty", b"");
        set_mode(&flux.dir.path().join("empty"), 0o600);
        let output = flux.run_to_end();
        assert_eq!(output.status.code(), Some(78), "{policy}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = format!("[[upstreams]]\nname = \"auth\"\nservers = [\"{nobody}\"]\n");
    for (policy, status) in [
        ("forward_auth = { upstream = \"auth\", path = \"/\" }", 502),
        (
            "jwt = { issuer = \"https://i.test\", audience = \"a\", jwks = { upstream = \"auth\", path = \"/keys\" } }",
            503,
        ),
    ] {
        let running = flux(origin.address, &(service.clone() + &vhost(policy))).start();
        for fields in ["", "Authorization: Bearer e30.e30.\r\n"] {
            let refused = sent(&running, "/", fields).status;
            assert!(refused == status || refused == 401, "{policy}: {refused}");
        }
    }
    assert_eq!(origin.requests(), 0);
}

/// CVE-2026-27586 (Caddy), as far as it goes today: an error while a CA was loaded was swallowed, and what it
/// should have verified no longer was. Here that CA verifies an upstream.
#[test]
fn a_ca_that_can_not_be_read_does_not_end_verification() {
    let flux = flux(
        "127.0.0.1:9".parse().unwrap(),
        "tls = { ca = \"ca.pem\", server_name = \"a.test\" }\n\
         [[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", upstream = \"app\" }]\n",
    );
    let ca = flux.dir.path().join("ca.pem");
    for content in [&b""[..], b"no pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&ca, content).unwrap();
        assert_eq!(flux.run_to_end().status.code(), Some(78), "{}", String::from_utf8_lossy(content));
    }
    certificate(flux.dir.path(), "ca", &["a.test"]);
    let running = flux.start();
    std::fs::write(&ca, b"no pem").unwrap();
    running.signal(Signal::SIGHUP);
    running.wait_for_start_of("reload refused");
}

/// CVE-2026-32305 (Traefik): the name in a `ClientHello` that came in pieces was not seen, so the connection got
/// the rules of no name.
#[test]
fn a_client_hello_in_pieces_gets_the_certificate_of_its_name() {
    let rest = "[[tls.certificates]]\nname = \"b\"\ncert = \"b.pem\"\nkey = \"b.key\"\n\
                [[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
                [[vhosts]]\nhosts = [\"a.test\"]\nroutes = [{ path = \"/\", respond = { status = 200, body = \"mine\" } }]\n";
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    certificate(flux.dir.path(), "b", &["b.test"]);
    let flux = flux.start();
    // Records of 40 bytes each, and each of these in a segment of its own.
    let mut client = handshake(&flux, "a.test", &[b"http/1.1"]);
    let mut hello = Vec::new();
    client.conn.write_tls(&mut hello).unwrap();
    let (head, payload) = hello.split_at(5);
    assert_eq!(usize::from(u16::from_be_bytes([head[3], head[4]])), payload.len(), "one record");
    client.sock.set_nodelay(true).unwrap();
    for piece in payload.chunks(40) {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        client.sock.write_all(&[&head[..3], &length, piece].concat()).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    client.conn.complete_io(&mut client.sock).expect("the certificate of another name");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    assert!(got.ends_with(b"mine"), "{}", String::from_utf8_lossy(&got));
}

/// CVE-2026-22045 (Traefik): handshakes that asked for `acme-tls/1` went another way, which had no timeout.
#[test]
fn a_handshake_for_acme_has_the_timeout_of_all() {
    let rest = "[tls]\nhandshake_timeout = \"500ms\"\n[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
                [[vhosts]]\nhosts = [\"a.test\"]\nroutes = [{ path = \"/\", respond = { status = 200 } }]\n";
    let flux = Flux::server("https = [\"127.0.0.1:0\"]", rest);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    let mut client = handshake(&flux, "a.test", &[b"acme-tls/1"]);
    client.conn.write_tls(&mut client.sock).unwrap();
    client.sock.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let (began, mut got) = (Instant::now(), Vec::new());
    // Answered or not, the client says nothing more.
    match client.sock.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(began.elapsed() < Duration::from_secs(10), "it stayed for {:?}", began.elapsed());
}

/// CVE-2026-71324 (Traefik): the connection of a CONNECT went back to the pool, and what was left on it answered
/// the next client. The same for whatever an upstream says beyond its response.
#[test]
fn what_an_upstream_says_too_much_answers_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for first in [
        format!("{OK}{evil}"),
        format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"),
        format!("HTTP/1.1 304 Not Modified\r\n\r\n{evil}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{evil}"),
        format!("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nok{evil}"),
    ] {
        let origin = Scripted::answering(&first);
        let flux = flux(
            origin.address,
            "[[vhosts]]\nhosts = [\"*\"]\nroutes = [{ path = \"/\", upstream = \"app\" }]\n",
        )
        .start();
        for line in ["GET /", "HEAD /", "CONNECT a.test:80", "GET /", "OPTIONS /", "GET /"] {
            let upgrade = if line == "OPTIONS /" {
                "Upgrade: websocket\r\nConnection: upgrade\r\n"
            } else {
                "Connection: close\r\n"
            };
            let mut stream = TcpStream::connect(flux.http()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            stream.write_all(format!("{line} HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n").as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got);
            let got = String::from_utf8_lossy(&got);
            assert!(!got.contains("evil"), "{line}: {got}");
        }
    }
}

/// CVE-2026-33555 (HAProxy): an HTTP/3 stream that ended before its Content-Length left a connection in the pool
/// on which the server still waited for the rest, which the next client's request then was. The same of HTTP/2
/// and HTTP/1.1.
#[test]
fn a_body_that_ends_too_soon_leaves_no_connection_behind() {
    let origin = Strict::answering(OK);
    let flux = Flux::server(
        "http = [{ address = \"127.0.0.1:0\", h2c = true }]",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
            origin.address
        ),
    )
    .start();
    for round in 0..3 {
        let at = flux.http();
        tokio::runtime::Runtime::new().unwrap().block_on(async move {
            let (mut send, connection) = h2::client::handshake(H2Client::plain(at).await).await.unwrap();
            tokio::spawn(connection);
            let request =
                Request::post("http://a.test/short").header("content-length", "40").body(()).unwrap();
            let (response, mut body) = send.send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"abc"), true).unwrap();
            let response = tokio::time::timeout(Duration::from_secs(10), response).await.expect("no end");
            assert!(response.is_err() || response.unwrap().status().is_client_error());
        });
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"POST /short HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\nabc").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        let response = request(at, "a.test", &format!("/next{round}"));
        assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests.iter().all(|request| request.starts_with("get /next")), "{requests:?}");
}
