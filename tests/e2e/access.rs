//! Who may come in by address, what browsers are told, and whose pages may ask: on every path alike.

use std::net::SocketAddr;

use crate::support::{Flux, Nginx, Running, Scripted, certificate, curl, exchange, request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// `policy` on a vhost with an upstream and a folder of files.
fn guarded(origin: SocketAddr, policy: &str) -> Running {
    Flux::server(
        "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n{policy}\n\
             routes = [{{ path = \"/\", upstream = \"app\" }}, {{ path = \"/site/\", static = \"$DIR/files\" }}]\n"
        ),
    )
    .file("files/site/a.txt", b"file")
    .start()
}

/// A head as a proxy that is trusted would send it for `client`.
fn from(client: &str, request: &str) -> String {
    format!("{request}Host: a.test\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_denied_address_gets_in_by_no_method_and_to_no_target() {
    let origin = Scripted::answering(OK);
    let flux = guarded(origin.address, "access = { allow = [\"10.0.0.0/8\"], deny = [\"10.9.0.0/16\"] }");
    let upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n";
    for ask in [
        "GET / HTTP/1.1\r\n",
        "HEAD / HTTP/1.1\r\n",
        "OPTIONS / HTTP/1.1\r\n",
        "DELETE /x HTTP/1.1\r\n",
        "GET /site/a.txt HTTP/1.1\r\n",
        "GET /site/none HTTP/1.1\r\n",
    ] {
        for client in ["10.9.0.1", "192.0.2.1", "::ffff:10.9.0.1", "2001:db8::1"] {
            assert_eq!(exchange(flux.http(), &from(client, ask)).status, 403, "{ask} {client}");
        }
    }
    let response = exchange(
        flux.http(),
        &format!(
            "{upgrade}Host: a.test\r\nX-Forwarded-For: 10.9.0.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ),
    );
    assert_eq!(response.status, 403);
    assert_eq!(origin.requests(), 0);
    assert_eq!(exchange(flux.http(), &from("10.1.2.3", "GET / HTTP/1.1\r\n")).status, 200);
    assert_eq!(exchange(flux.http(), &from("::ffff:10.1.2.3", "GET /site/a.txt HTTP/1.1\r\n")).body, b"file");
}

#[test]
fn who_is_not_trusted_can_not_choose_an_address() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\n\
         access = {{ allow = [\"10.0.0.0/8\"] }}\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
        origin.address
    ))
    .start();
    assert_eq!(exchange(flux.http(), &from("10.1.2.3", "GET / HTTP/1.1\r\n")).status, 403);
}

#[test]
fn every_kind_of_response_tells_browsers_the_same() {
    let origin = Nginx::serving(&[("index.html", b"hello")]);
    let flux = guarded(
        origin.address,
        "security_headers = { profile = \"strict\", content_security_policy = \"default-src 'self'\" }",
    );
    let gone = guarded(
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
        "security_headers = \"strict\"",
    );
    let (at, gone) = (flux.http(), gone.http());
    for (address, ask, status) in [
        (at, "GET / HTTP/1.1\r\n", 200),
        (at, "HEAD / HTTP/1.1\r\n", 200),
        (at, "GET /none HTTP/1.1\r\n", 404),
        (at, "GET /site/a.txt HTTP/1.1\r\n", 200),
        (at, "GET /site/none HTTP/1.1\r\n", 404),
        (at, "GET /site HTTP/1.1\r\n", 404),
        (at, "POST /site/a.txt HTTP/1.1\r\nContent-Length: 0\r\n", 405),
        (at, "POST / HTTP/1.1\r\nContent-Length: 9999999\r\n", 413),
        (gone, "GET / HTTP/1.1\r\n", 502),
    ] {
        let response = exchange(address, &from("10.0.0.1", ask));
        assert_eq!(response.status, status, "{ask}");
        for field in [
            "x-frame-options: deny",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert_eq!(response.head.matches(field).count(), 1, "{field} for {ask}: {}", response.head);
        }
        assert!(!response.head.contains("strict-transport-security"), "{}", response.head);
    }
    let page = request(at, "a.test", "/");
    assert!(
        page.head.contains("content-security-policy: default-src 'self'; frame-ancestors 'none'\r\n"),
        "{}",
        page.head
    );
}

#[test]
fn strict_transport_security_is_for_tls_and_the_origins_own_fields_stand() {
    let origin = Scripted::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Frame-Options: ALLOWALL\r\nStrict-Transport-Security: max-age=1\r\n\r\nok",
    );
    let rest = |replace: bool| {
        format!(
            "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n[defaults]\n\
             security_headers = {{ profile = \"basic\", replace = {replace} }}\n[[upstreams]]\nname = \"app\"\n\
             servers = [\"{}\"]\n[[vhosts]]\nhosts = [\"a.test\"]\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
            origin.address
        )
    };
    let head = |replace: bool, host: &str| {
        let flux = Flux::server("https = [\"127.0.0.1:0\"]", &rest(replace));
        certificate(flux.dir.path(), "a", &["a.test"]);
        let flux = flux.start();
        let resolve = format!("{host}:{}:127.0.0.1", flux.https().port());
        let url = format!("https://{host}:{}/", flux.https().port());
        let head = curl(&["-k", "-D", "-", "-o", "/dev/null", "--resolve", &resolve, &url]);
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    };
    let kept = head(false, "a.test");
    assert!(
        kept.contains("x-frame-options: allowall\r\n") && kept.contains("security: max-age=1\r\n"),
        "{kept}"
    );
    assert_eq!(kept.matches("strict-transport-security").count(), 1, "{kept}");
    let replaced = head(true, "a.test");
    assert!(replaced.contains("x-frame-options: sameorigin\r\n"), "{replaced}");
    assert!(replaced.contains("strict-transport-security: max-age=2592000\r\n"), "{replaced}");
    let unknown = head(false, "b.test");
    assert!(unknown.starts_with("http/2 421") && unknown.contains("strict-transport-security"), "{unknown}");
}

const CORS: &str = "cors = { origins = [\"https://app.example\", \"https://*.example.com\"], methods = [\"GET\", \"PUT\"], \
                    headers = [\"x-token\"], expose = [\"etag\"], credentials = true }";

/// What a browser sends before a page of `origin` may PUT.
fn preflight(at: SocketAddr, origin: &str, path: &str) -> crate::support::Response {
    exchange(
        at,
        &format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Headers: x-token\r\nConnection: close\r\n\r\n"
        ),
    )
}

#[test]
fn a_preflight_is_answered_at_the_edge() {
    let origin = Scripted::answering(OK);
    let flux = guarded(origin.address, CORS);
    for path in ["/", "/site/a.txt"] {
        let response = preflight(flux.http(), "https://x.example.com", path);
        assert_eq!(response.status, 204, "{}", response.head);
        for field in [
            "access-control-allow-origin: https://x.example.com\r\n",
            "access-control-allow-credentials: true\r\n",
            "access-control-allow-methods: get, put\r\n",
            "access-control-allow-headers: x-token\r\n",
            "access-control-max-age: 600\r\n",
            "vary: origin\r\n",
        ] {
            assert!(response.head.contains(field), "{field} in {}", response.head);
        }
        let stranger = preflight(flux.http(), "https://evil.test", path);
        assert_eq!(stranger.status, 403);
        assert!(!stranger.head.contains("access-control-") && stranger.head.contains("vary: origin\r\n"));
    }
    assert_eq!(origin.requests(), 0);
    let plain = exchange(flux.http(), "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!((plain.status, origin.requests()), (200, 1));
}

#[test]
fn responses_name_the_origin_whatever_the_upstream_says_and_errors_do_too() {
    let origin = Scripted::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\n\r\nok",
    );
    let flux = guarded(origin.address, CORS);
    let get = |origin: &str, path: &str| {
        exchange(
            flux.http(),
            &format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{origin}Connection: close\r\n\r\n"),
        )
    };
    for path in ["/", "/site/a.txt", "/site/none"] {
        let ours = get("Origin: https://app.example\r\n", path).head;
        assert_eq!(ours.matches("access-control-allow-origin: https://app.example\r\n").count(), 1, "{ours}");
        assert!(ours.contains("access-control-expose-headers: etag\r\n"), "{ours}");
        for stranger in ["Origin: https://evil.test\r\n", ""] {
            let head = get(stranger, path).head;
            assert!(!head.contains("access-control-") && head.contains("vary: origin\r\n"), "{head}");
        }
    }
    assert!(get("", "/").head.contains("vary: accept\r\n"));
}

#[test]
fn a_preflight_of_a_denied_address_is_denied() {
    let origin = Scripted::answering(OK);
    let flux = guarded(origin.address, &format!("access = {{ deny = [\"127.0.0.1\"] }}\n{CORS}"));
    assert_eq!(preflight(flux.http(), "https://app.example", "/").status, 403);
}

#[test]
fn a_denied_address_learns_nothing_of_routes_and_hosts() {
    let origin = Scripted::answering(OK);
    let flux = Flux::server(
        "http = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]",
        &format!(
            "[defaults]\naccess = {{ deny = [\"10.9.0.0/16\"] }}\n[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n\
             [[vhosts]]\nhosts = [\"a.test\"]\n\
             routes = [{{ path = \"/get\", upstream = \"app\", methods = [\"GET\"] }}]\n\
             [[vhosts]]\nhosts = [\"tls.test\"]\nredirect = \"https\"\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n",
            origin.address
        ),
    )
    .start();
    let ask = |client: &str, host: &str, line: &str| {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
        );
        exchange(flux.http(), &head).status
    };
    for (host, line, welcome) in [
        ("a.test", "GET /get", 200),
        ("a.test", "GET /nowhere", 404),
        ("a.test", "POST /get", 405),
        ("b.test", "GET /", 421),
        ("tls.test", "GET /", 308),
    ] {
        assert_eq!(ask("192.0.2.1", host, line), welcome, "{host} {line}");
        assert_eq!(ask("10.9.0.1", host, line), 403, "{host} {line}");
    }
    assert_eq!(origin.requests(), 1);
}

#[test]
fn an_escape_does_not_pass_by_the_rules_of_a_route() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"a.test\"]\n\
         routes = [{{ path = \"/\", upstream = \"app\" }},\n\
                   {{ path = \"/@admin\", upstream = \"app\", access = {{ deny = [\"0.0.0.0/0\"] }} }}]\n",
        origin.address
    ))
    .start();
    assert_eq!(request(flux.http(), "a.test", "/@admin/x").status, 403);
    assert_eq!(request(flux.http(), "a.test", "/%40admin/x").status, 400);
    assert_eq!(origin.requests(), 0);
    assert_eq!(request(flux.http(), "a.test", "/a%40b").status, 200);
    assert!(origin.last_head().starts_with("get /a%40b "));
}

#[test]
fn a_preflight_finds_the_route_of_the_method_that_it_asks_about() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"a.test\"]\n\
         routes = [{{ path = \"/open\", upstream = \"app\", methods = [\"PUT\"],\n\
                     cors = {{ origins = [\"https://app.example\"], methods = [\"PUT\"] }} }},\n\
                   {{ path = \"/closed\", upstream = \"app\", methods = [\"PUT\"] }}]\n",
        origin.address
    ))
    .start();
    let ask = |path: &str, method: &str| {
        let page = "Origin: https://app.example\r\nConnection: close\r\n";
        let head = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: a.test\r\n{page}Access-Control-Request-Method: {method}\r\n\r\n"
        );
        exchange(flux.http(), &head)
    };
    let answer = ask("/open", "PUT");
    assert_eq!(answer.status, 204);
    assert!(answer.head.contains("access-control-allow-methods: put\r\n"), "{}", answer.head);
    assert_eq!(ask("/open", "DELETE").status, 405);
    // Without `cors` it is a request like others, of a method that the route does not take.
    assert_eq!(ask("/closed", "PUT").status, 405);
    assert_eq!(origin.requests(), 0);
}
