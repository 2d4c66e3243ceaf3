//! Which route takes a request, and what redirects, fixed answers, rewrites and edits make of it.

use std::net::SocketAddr;

use crate::support::{Flux, Nginx, Response, Running, Scripted, certificate, exchange, request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Origin: 1\r\nServer: x\r\n\r\nok";

/// One vhost for every host whose routes, without their brackets, lead to the upstream `app`.
fn vhost(origin: SocketAddr, settings: &str, routes: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\n{settings}\n\
         routes = [\n{routes}\n]\n"
    )
}

/// The request line that the origin got for `target`.
fn asked(flux: &Running, origin: &Scripted, target: &str) -> String {
    assert_eq!(request(flux.http(), "a.test", target).status, 200, "{target}");
    origin.last_head().lines().next().unwrap().to_owned()
}

fn sent(flux: &Running, method: &str, target: &str, fields: &str) -> Response {
    exchange(
        flux.http(),
        &format!("{method} {target} HTTP/1.1\r\nHost: A.test:80\r\nConnection: close\r\n{fields}\r\n"),
    )
}

#[test]
fn routes_by_pattern_method_header_and_query() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&vhost(
        origin.address,
        "",
        r#"{ path = "/", respond = { status = 200, body = "rest" } },
           { path = "~ ^/u/(?<id>\\d+)$", respond = { status = 200, body = "pattern" } },
           { path = "/api", methods = ["GET"], headers = { X-Canary = "1" }, respond = { status = 200, body = "canary" } },
           { path = "/api", methods = ["GET", "POST"], respond = { status = 200, body = "api" } },
           { path = "/api", query = { debug = "*" }, respond = { status = 200, body = "debug" } },
           { path = "= /api", methods = ["PUT"], headers = { X-Put = "~ ^y" }, respond = { status = 200, body = "put" } }"#,
    ))
    .start();
    let body = |method: &str, target: &str, fields: &str| {
        let response = sent(&flux, method, target, fields);
        assert_eq!(response.status, 200, "{method} {target}");
        String::from_utf8(response.body).unwrap()
    };
    assert_eq!(body("GET", "/u/12", ""), "pattern");
    assert_eq!(body("GET", "/u/x", ""), "rest");
    assert_eq!(body("GET", "/api/x", "x-canary: 1\r\n"), "canary");
    assert_eq!(body("GET", "/api/x", "X-Canary: 2\r\n"), "api");
    assert_eq!(body("POST", "/api", ""), "api");
    assert_eq!(body("PUT", "/api", "X-Put: yes\r\n"), "put");
    assert_eq!(body("DELETE", "/api?a=1&debug", ""), "debug");
    assert_eq!(body("HEAD", "/api", ""), "");
    let refused = sent(&flux, "DELETE", "/api", "");
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("\r\nallow: get, head, post\r\n"), "{}", refused.head);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn answers_unknown_hosts_in_the_default_vhost() {
    let flux = Flux::with(
        "[[vhosts]]\nhosts = [\"a.test\"]\nroutes = [{ path = \"/\", respond = { status = 200 } }]\n\
         [[vhosts]]\ndefault = true\nroutes = [{ path = \"/\", respond = { status = 404, body = \"nobody\" } }]\n",
    )
    .start();
    assert_eq!(request(flux.http(), "A.TEST", "/").status, 200);
    let response = request(flux.http(), "b.test", "/");
    assert_eq!((response.status, &response.body[..]), (404, &b"nobody"[..]));
}

#[test]
fn redirects_lead_where_the_configuration_says_and_nowhere_else() {
    let flux = Flux::with(&vhost(
        ([127, 0, 0, 1], 9).into(),
        "",
        r#"{ path = "/", redirect = "https://b.test{path}{query}" },
           { path = "/local", rewrite = { strip_prefix = "/local" }, redirect = { to = "{path}", status = 302 } },
           { path = "~ ^/p/(.*)$", redirect = { to = "/$1", status = 301 } }"#,
    ))
    .start();
    for (target, status, location) in [
        ("/x/y?a=%0d%0aX:1", 308, "https://b.test/x/y?a=%0d%0ax:1"),
        ("//evil.test/", 308, "https://b.test/evil.test/"),
        ("/@evil.test", 308, "https://b.test/@evil.test"),
        ("/local/evil.test", 302, "/evil.test"),
        ("/local//evil.test", 302, "/evil.test"),
        ("/p//evil.test", 301, "/evil.test"),
        ("/p/%2e.evil.test", 301, "/..evil.test"),
        ("/p/%0d%0aSet-Cookie:x", 301, "/%0d%0aset-cookie:x"),
    ] {
        let response = request(flux.http(), "a.test", target);
        assert_eq!(response.status, status, "{target}");
        assert!(
            response.head.contains(&format!("\r\nlocation: {location}\r\n")),
            "{target}: {}",
            response.head
        );
        assert!(!response.head.contains("\r\nset-cookie") && !response.head.contains("\r\nx:"));
    }
    assert_eq!(request(flux.http(), "a.test", "/p/%5cevil.test").status, 400);
}

#[test]
fn sends_plain_http_to_https_unless_the_client_is_there_already() {
    let config = "[[tls.certificates]]\nname = \"a\"\ncert = \"a.pem\"\nkey = \"a.key\"\n\
                  [[vhosts]]\nhosts = [\"a.test\"]\nredirect = \"https\"\n\
                  routes = [{ path = \"/only\", methods = [\"GET\"], respond = { status = 200, body = \"tls\" } }]\n";
    let server = "http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]";
    let flux = Flux::server(server, config);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    for target in ["/only?x=1", "/elsewhere"] {
        let response = sent(&flux, "POST", target, "");
        assert_eq!(response.status, 308);
        assert!(
            response.head.contains(&format!("location: https://a.test{target}\r\n")),
            "{}",
            response.head
        );
    }
    assert_eq!(sent(&flux, "GET", "/only", "X-Forwarded-Proto: https\r\n").status, 200);
    assert_eq!(request(flux.http(), "b.test", "/only").status, 421);
}

#[test]
fn rewrites_paths_by_whole_segments_and_never_out_of_them() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&vhost(
        origin.address,
        "",
        r#"{ path = "/", upstream = "app", rewrite = { add_prefix = "/site" } },
           { path = "/api", upstream = "app", rewrite = { strip_prefix = "/api" }, encoded_slash = "pass" },
           { path = "/v1/", upstream = "app", rewrite = { replace_prefix = "/legacy" } },
           { path = "~ ^/u/([^/]+)/(.*)$", upstream = "app", rewrite = { path = "/users/$1/$2" } },
           { path = "~ ^/dot/(.*)$", upstream = "app", rewrite = { path = "/a/.$1" } }"#,
    ))
    .start();
    for (target, path) in [
        ("/x?q=/../1", "/site/x?q=/../1"),
        ("/api", "/"),
        ("/%61pi//x/?q", "/x/?q"),
        ("/api../admin", "/site/api../admin"),
        ("/apis", "/site/apis"),
        ("/api/a%2fb", "/a%2fb"),
        ("/v1/x", "/legacy/x"),
        ("/u/7//x%3fy", "/users/7/x%3fy"),
        ("/dot/x", "/a/.x"),
    ] {
        assert_eq!(asked(&flux, &origin, target), format!("get {path} http/1.1"), "{target}");
    }
    let before = origin.requests();
    for target in
        ["/dot/.", "/dot/./x", "/dot/.%2fx", "/dot/", "/api%2f..%2fx", "/api%2fx", "/x%2fy", "/%2fapi/x"]
    {
        assert_eq!(request(flux.http(), "a.test", target).status, 400, "{target}");
    }
    assert_eq!(origin.requests(), before);
}

#[test]
fn serves_files_below_a_stripped_prefix_and_redirects_within_what_was_asked_for() {
    let config = "[[vhosts]]\nhosts = [\"*\"]\nroutes = [\n\
                  { path = \"/docs\", static = \"$DIR/site\", rewrite = { strip_prefix = \"/docs\" } } ]\n";
    let flux = Flux::with(config).file("site/a.txt", b"a").file("site/sub/index.html", b"sub").start();
    assert_eq!(request(flux.http(), "a.test", "/docs/a.txt").body, b"a");
    assert_eq!(request(flux.http(), "a.test", "/docs/sub/").body, b"sub");
    let response = request(flux.http(), "a.test", "/docs/sub");
    assert!(response.head.contains("location: /docs/sub/\r\n"), "{}", response.head);
    assert_eq!(request(flux.http(), "a.test", "/a.txt").status, 404);
}

#[test]
fn edits_header_fields_of_requests_and_of_every_response() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&vhost(
        origin.address,
        r#"request_headers = { set = { X-Client = "{client_ip} {host} {method}", X-TLS = "{tls_version}", X-Kept = "vhost" }, remove = ["X-Debug"] }
           response_headers = { set = { X-All = "{vhost}", X-Origin = "2" }, remove = ["Server"] }
           upstream_host = "inner.test:81"
           underscores_in_headers = "pass""#,
        r#"{ path = "~ ^/u/(.+)$", upstream = "app", request_headers = { set = { X-Kept = "$1" }, add = { X-More = "2" } }, response_headers = { add = { X-Origin = "3" } } },
           { path = "/files", static = "$DIR/none" },
           { path = "/r", redirect = "/x" }"#,
    ))
    .file("none/a.txt", b"a")
    .start();
    let fields = "X-Client: spoofed\r\nX_Client: spoofed\r\nX-TLS: spoofed\r\nX_Debug: 1\r\nX-Debug: 1\r\n\
                  X-More: 1\r\nX_Other: 1\r\nX-Kept: c\r\n";
    let response = sent(&flux, "GET", "/u/7", fields);
    let head = origin.last_head();
    for has in [
        "x-client: 127.0.0.1 a.test get\r\n",
        "x-kept: 7\r\n",
        "x-more: 1\r\n",
        "x-more: 2\r\n",
        "x_other: 1\r\n",
        "host: inner.test:81\r\n",
        "x-forwarded-host: a.test\r\n",
    ] {
        assert!(head.contains(has), "{has:?} not in {head}");
    }
    for gone in ["spoofed", "x-tls", "debug"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(
        response.head.contains("x-all: *\r\n") && !response.head.contains("server:"),
        "{}",
        response.head
    );
    assert!(response.head.contains("x-origin: 1\r\n") && response.head.contains("x-origin: 3\r\n"));
    for target in ["/files/a.txt", "/files/none", "/r", "/nowhere", "/u/%FF"] {
        let response = request(flux.http(), "a.test", target);
        assert!(response.head.contains("x-all: *\r\n"), "{target}: {}", response.head);
        assert!(response.head.contains("x-origin: 2\r\n") || target.starts_with("/u/"), "{target}");
    }
}

#[test]
fn drops_or_refuses_fields_with_underscores() {
    let origin = Scripted::answering(OK);
    let flux = Flux::with(&vhost(
        origin.address,
        "",
        r#"{ path = "/", upstream = "app" },
           { path = "/strict", upstream = "app", underscores_in_headers = "refuse" },
           { path = "/pass", upstream = "app", underscores_in_headers = "pass" }"#,
    ))
    .start();
    let fields = "X_Key: 1\r\nX_Real_Ip: 6.6.6.6\r\n";
    assert_eq!(sent(&flux, "GET", "/", fields).status, 200);
    assert!(!origin.last_head().contains("x_key") && !origin.last_head().contains("6.6.6.6"));
    assert_eq!(sent(&flux, "GET", "/strict", fields).status, 400);
    assert_eq!(flux.access_line("/strict")["error"], "header_underscore");
    assert_eq!(sent(&flux, "GET", "/pass", fields).status, 200);
    assert!(origin.last_head().contains("x_key: 1\r\n") && !origin.last_head().contains("6.6.6.6"));
    assert_eq!(origin.requests(), 2);
}

#[test]
fn takes_paths_that_are_no_utf8_where_a_route_wants_them() {
    let origin = Scripted::answering(OK);
    let routes =
        r#"{ path = "/", upstream = "app" }, { path = "/old", upstream = "app", non_utf8_path = "pass" }"#;
    let flux = Flux::with(&vhost(origin.address, "", routes)).start();
    assert_eq!(request(flux.http(), "a.test", "/caf%e9").status, 400);
    assert_eq!(request(flux.http(), "a.test", "/%c0%af").status, 400);
    assert_eq!(request(flux.http(), "a.test", "/caf%c3%a9").status, 200);
    assert_eq!(asked(&flux, &origin, "/old/caf%e9"), "get /old/caf%e9 http/1.1");
}

#[test]
fn an_origin_finds_the_file_that_a_rewrite_names() {
    let nginx = Nginx::serving(&[("a b.txt", b"found")]);
    let flux = Flux::with(&vhost(
        nginx.address,
        "",
        r#"{ path = "~ ^/get/(.+)$", upstream = "app", rewrite = { path = "/$1.txt" } }"#,
    ))
    .start();
    let response = request(flux.http(), "a.test", "/get/a%20b");
    assert_eq!((response.status, &response.body[..]), (200, &b"found"[..]));
}

#[test]
fn answers_with_a_file_that_was_read_at_the_start() {
    let config = "[[vhosts]]\nhosts = [\"*\"]\nroutes = [\n\
                  { path = \"/down\", respond = { status = 503, body_file = \"down.html\" } },\n\
                  { path = \"/odd\", respond = { status = 200, body_file = \"down.html\", content_type = \"text/odd\" } } ]\n";
    let flux = Flux::with(config).file("down.html", b"<p>back soon</p>").start();
    std::fs::write(flux.dir.path().join("down.html"), "changed").unwrap();
    let response = request(flux.http(), "a.test", "/down");
    assert_eq!((response.status, &response.body[..]), (503, &b"<p>back soon</p>"[..]));
    assert!(response.head.contains("content-type: text/html"), "{}", response.head);
    assert!(request(flux.http(), "a.test", "/odd").head.contains("content-type: text/odd\r\n"));
    flux.signal(nix::sys::signal::Signal::SIGHUP);
    flux.wait_for("configuration reloaded");
    assert_eq!(request(flux.http(), "a.test", "/down").body, b"changed");
    std::fs::remove_file(flux.dir.path().join("down.html")).unwrap();
    flux.signal(nix::sys::signal::Signal::SIGHUP);
    let refused = flux.wait_for_start_of("reload refused");
    assert!(refused["mistakes"].as_str().unwrap().contains("down.html"), "{refused}");
    assert_eq!(request(flux.http(), "a.test", "/down").body, b"changed");
    assert_eq!(Flux::with(config).run_to_end().status.code(), Some(78));
}

#[test]
fn a_client_is_sent_to_no_server_of_the_upstream() {
    for (how, at, tail, expected) in [
        ("", "/api/x", "login?a=b", "/login?a=b"),
        ("upstream_location = \"prefix\"", "/api/x", "login", "/api/login"),
        ("upstream_location = \"pass\"", "/api/x", "login", "http://ORIGIN/login"),
        ("upstream_host = \"inner.test\"", "/", "x", "/x"),
    ] {
        // The origin names itself, in all three fields.
        let origin = naming_itself(tail);
        let flux = Flux::with(&vhost(
            origin,
            how,
            r#"{ path = "/", upstream = "app" }, { path = "/api", upstream = "app", rewrite = { strip_prefix = "/api" } }"#,
        ))
        .start();
        let expected = expected.replace("ORIGIN", &origin.to_string());
        let response = request(flux.http(), "a.test", at);
        for field in ["location", "content-location"] {
            assert!(
                response.head.contains(&format!("\r\n{field}: {expected}\r\n")),
                "{how}: {}",
                response.head
            );
        }
        assert!(
            response.head.contains(&format!("\r\nrefresh: 1; url={expected}\r\n")),
            "{how}: {}",
            response.head
        );
        assert!(response.head.contains("\r\nlink: <http://other.test/>"), "{}", response.head);
    }
}

/// An origin that sends its clients to its own address, or to `inner.test` if it is asked for that.
fn naming_itself(tail: &'static str) -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase();
            let name = if asked.contains("host: inner.test") {
                "inner.test".to_owned()
            } else {
                address.to_string()
            };
            let url = format!("http://{name}/{tail}");
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Location: {url}\r\nRefresh: 1; url={url}\r\n\
                 Link: <http://other.test/>\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}
