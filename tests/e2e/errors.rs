//! Failures as clients are told them.

use serde_json::Value;

use crate::support::{Flux, Response, Running, Scripted, curl, exchange};

const SITE: &str = "[[upstreams]]\nname = \"gone\"\nservers = [\"127.0.0.1:1\"]\n\
                    [[vhosts]]\nhosts = [\"a.test\"]\n\
                    [[vhosts.routes]]\npath = \"/site/\"\nstatic = \"$DIR\"\n\
                    [[vhosts.routes]]\npath = \"/gone/\"\nupstream = \"gone\"\n";

fn ask(flux: &Running, method: &str, host: &str, path: &str, fields: &str) -> Response {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    exchange(flux.http(), &head)
}

fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    let mut fields = response.head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| *field == name).map(|(_, value)| value)
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[test]
fn tells_a_failure_in_the_form_the_client_takes() {
    let flux = Flux::with(SITE).file("site/x", b"x").start();
    for (method, host, path, status, words) in [
        ("GET", "a.test", "/site/nothing", 404, "not found"),
        ("GET", "a.test", "/nothing", 404, "not found"),
        ("GET", "b.test", "/", 421, "unknown host"),
        ("POST", "a.test", "/site/x", 405, "method not allowed"),
        ("GET", "a.test", "/gone/", 502, "upstream failed"),
    ] {
        let ask = |accept: &str| ask(&flux, method, host, path, &format!("{accept}Content-Length: 0\r\n"));
        let plain = ask("");
        assert_eq!((plain.status, text(&plain)), (status, format!("{words}\n")), "{path}");
        assert_eq!(field(&plain, "vary"), Some("accept"));
        let page = ask("Accept: text/html, */*;q=0.8\r\n");
        assert_eq!((page.status, field(&page, "content-type")), (status, Some("text/html; charset=utf-8")));
        assert!(text(&page).contains(words) && text(&page).contains("Request ID: <code>"), "{}", text(&page));
        let problem = ask("Accept: application/json\r\n");
        assert_eq!(field(&problem, "content-type"), Some("application/problem+json"));
        let value: Value = serde_json::from_slice(&problem.body).unwrap();
        assert_eq!((value["status"].as_u64(), value["detail"].as_str()), (Some(status.into()), Some(words)));
        assert_eq!(value["type"], "about:blank");
        let id = value["request_id"].as_str().unwrap();
        assert_eq!(
            field(&problem, "x-request-id"),
            Some(id.to_ascii_lowercase().as_str()),
            "{}",
            problem.head
        );
    }
    let head = ask(&flux, "HEAD", "a.test", "/nothing", "Accept: application/problem+json\r\n");
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert_ne!(field(&head, "content-length"), Some("0"));
}

#[test]
fn sends_the_operators_pages_as_routes_and_vhosts_inherit_them() {
    let config =
        "[defaults.errors]\npages = { \"404\" = \"$DIR/p/404.html\", \"5xx\" = \"$DIR/p/sorry.txt\" }\n";
    let closer = "errors = { pages = { \"404\" = \"$DIR/p/site.html\" } }\n";
    let site = SITE.replacen("static = \"$DIR\"\n", &format!("static = \"$DIR\"\n{closer}"), 1);
    let flux = Flux::with(&format!("{config}{site}"))
        .file("p/404.html", b"<p>{{status}}: not here. {{request_id}}</p>")
        .file("p/site.html", b"<p>no such file</p>")
        .file("p/sorry.txt", b"sorry")
        .start();
    let page = ask(&flux, "GET", "a.test", "/nothing", "");
    assert_eq!((page.status, field(&page, "content-type")), (404, Some("text/html; charset=utf-8")));
    let words = text(&page);
    assert!(words.starts_with("<p>404: not here. ") && !words.contains("{{"), "{words}");
    let id = words.trim_start_matches("<p>404: not here. ").trim_end_matches("</p>");
    assert_eq!(field(&page, "x-request-id"), Some(id.to_ascii_lowercase().as_str()));
    assert_eq!(text(&ask(&flux, "GET", "a.test", "/site/nothing", "")), "<p>no such file</p>");
    let sorry = ask(&flux, "GET", "a.test", "/gone/", "Accept: text/html\r\n");
    assert_eq!((sorry.status, text(&sorry).as_str()), (502, "sorry"));
    assert_eq!(field(&sorry, "content-type"), Some("text/plain; charset=utf-8"));
    // A program that asks for JSON gets no page.
    let problem = ask(&flux, "GET", "a.test", "/nothing", "Accept: application/json\r\n");
    assert_eq!(field(&problem, "content-type"), Some("application/problem+json"));
    // No page for this status: words.
    assert_eq!(text(&ask(&flux, "GET", "b.test", "/", "")), "unknown host\n");
}

#[test]
fn one_form_for_all_where_so_configured() {
    let flux = Flux::with(&format!("[defaults]\nerrors = {{ format = \"problem+json\" }}\n{SITE}")).start();
    let problem = ask(&flux, "GET", "b.test", "/", "Accept: text/html\r\n");
    assert_eq!(field(&problem, "content-type"), Some("application/problem+json"));
    assert_eq!(field(&problem, "vary"), None);
}

#[test]
fn a_page_that_cannot_be_used_refuses_the_start() {
    for (name, content, said) in [
        ("p/none.html", None, "not found"),
        ("p/large.html", Some(vec![b'x'; (256 << 10) + 1]), "larger than 256 KiB"),
        ("p/odd.html", Some(b"\xff{{status}}".to_vec()), "not UTF-8"),
    ] {
        let mut flux =
            Flux::with(&format!("[defaults.errors]\npages = {{ \"404\" = \"$DIR/{name}\" }}\n{SITE}"));
        flux = flux.file("p/there", b"");
        if let Some(content) = &content {
            flux = flux.file(name, content);
        }
        let output = flux.run_to_end();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains("error page") && told.contains(name) && told.contains(said), "{told}");
    }
}

/// An upstream that answers `response`, with `errors` on the vhost and JSON or text whichever is liked.
fn intercepting(response: &str, errors: &str) -> (Running, Scripted) {
    let origin = Scripted::answering(response);
    let flux = Flux::server(
        "http = [{ address = \"127.0.0.1:0\", h2c = true }]\nthreads = 1",
        &format!(
            "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[vhosts]]\nhosts = [\"*\"]\nerrors = {errors}\n\
             compression = {{ min_size = \"64B\" }}\nroutes = [{{ path = \"/\", upstream = \"app\" }}, \
             {{ path = \"/own\", upstream = \"app\", errors = {{ intercept = [] }} }}]\n",
            origin.address
        ),
    );
    (flux.file("p.html", b"<p>sorry, {{status}}</p>").start(), origin)
}

#[test]
fn upstreams_errors_are_told_in_our_words_where_so_configured() {
    let rest = "WWW-Authenticate: Basic\r\nRetry-After: 7\r\nSet-Cookie: a=b\r\nETag: \"x\"\r\nServer: inside\r\nX-Debug: 1\r\nContent-Type: text/html\r\n";
    let long = "secret".repeat(20_000);
    for body in [
        "Content-Length: 0\r\n\r\n".to_owned(),
        "Content-Length: 6\r\n\r\nsecret".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n6\r\nsecret\r\n0\r\n\r\n".to_owned(),
        format!("Content-Length: {}\r\n\r\n{long}", long.len()),
    ] {
        let (flux, origin) = intercepting(
            &format!("HTTP/1.1 503 Oops\r\n{rest}{body}"),
            "{ intercept = [\"404\", \"500-599\"], pages = { \"5xx\" = \"$DIR/p.html\" } }",
        );
        for (accept, expected) in [
            ("", "<p>sorry, 503</p>"),
            (
                "Accept: application/json\r\n",
                "\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"service unavailable\"",
            ),
        ] {
            let credentials = "Authorization: Basic x\r\nCookie: s=1\r\n";
            let response = ask(&flux, "GET", "a.test", "/x", &format!("{accept}{credentials}"));
            assert_eq!(response.status, 503);
            assert!(text(&response).contains(expected), "{}", text(&response));
            assert!(!text(&response).contains("secret"));
            for kept in ["www-authenticate: basic\r\n", "retry-after: 7\r\n", "set-cookie: a=b\r\n"] {
                assert!(response.head.contains(kept), "{kept} in {}", response.head);
            }
            for gone in ["inside", "x-debug", "etag", "transfer-encoding"] {
                assert!(!response.head.contains(gone), "{gone} in {}", response.head);
            }
        }
        let head = ask(&flux, "HEAD", "a.test", "/x", "");
        assert_eq!((head.status, head.body.len(), field(&head, "content-length")), (503, 0, Some("17")));
        let own = ask(&flux, "GET", "a.test", "/own", "");
        assert!(own.head.contains("server: inside\r\n"), "{}", own.head);
        // Nobody else was asked for anything.
        assert_eq!(origin.requests(), 4);
    }
}

#[test]
fn an_upstreams_connection_outlives_an_error_that_was_told_otherwise() {
    for body in [
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 6\r\n\r\nsecret",
        "Transfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
    ] {
        let (flux, origin) = intercepting(&format!("HTTP/1.1 404 No\r\n{body}"), "{ intercept = [\"404\"] }");
        // On one connection of the client's, too.
        let url = format!("http://{}/x", flux.http());
        let out = curl(&["-w", "%{http_code} %{num_connects},", &url, &url, &url, &url]);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "not found\n404 1,".to_owned() + &"not found\n404 0,".repeat(3), "{body:?}");
        assert_eq!((origin.requests(), origin.connections()), (4, 1), "{body:?}");
    }
}

#[test]
fn an_error_is_told_over_http_2_and_packed_as_the_client_likes() {
    let page = format!("<p>{}</p>", "x".repeat(5000));
    for body in ["Content-Length: 0\r\n\r\n", "Content-Length: 6\r\n\r\nsecret"] {
        let (flux, _origin) = intercepting(
            &format!("HTTP/1.1 500 No\r\n{body}"),
            "{ intercept = [\"500\"], pages = { \"500\" = \"$DIR/p.html\" } }",
        );
        std::fs::write(flux.dir.path().join("p.html"), &page).unwrap();
        flux.signal(nix::sys::signal::Signal::SIGHUP);
        flux.wait_for("configuration reloaded");
        let url = format!("http://{}/x", flux.http());
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let out = curl(&[version, "--compressed", "-w", "%{http_code} %{size_download}", &url]);
            let out = String::from_utf8(out).unwrap();
            let (told, sizes) = out.split_at(page.len());
            assert_eq!(told, page);
            let (status, size) = sizes.split_once(' ').unwrap();
            assert!(status == "500" && size.parse::<usize>().unwrap() < 500, "{sizes}");
        }
    }
}

#[test]
fn errors_of_an_http_2_upstream_are_told_otherwise_and_grpc_is_left_alone() {
    let origin = http_2_origin();
    let flux = Flux::with(&format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\nprotocol = \"h2c\"\n[[vhosts]]\nhosts = [\"*\"]\n\
         errors = {{ intercept = [\"404\"] }}\nroutes = [{{ path = \"/\", upstream = \"app\" }}]\n"
    ))
    .start();
    for path in ["/body", "/none", "/body"] {
        let response = ask(&flux, "GET", "a.test", path, "");
        assert_eq!((response.status, text(&response).as_str()), (404, "not found\n"), "{path}");
    }
    let grpc = ask(&flux, "GET", "a.test", "/body", "Content-Type: application/grpc+proto\r\n");
    assert!(text(&grpc).contains("secret"), "{}", text(&grpc));
}

/// An HTTP/2 origin that answers 404 to everything, to `/none` without a body.
fn http_2_origin() -> std::net::SocketAddr {
    let (tell, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let none = request.uri().path() == "/none";
                        let response = http::Response::builder().status(404).body(()).unwrap();
                        let Ok(mut send) = respond.send_response(response, none) else { continue };
                        if !none {
                            let _ = send.send_data(bytes::Bytes::from_static(b"secret"), false);
                            let _ = send.send_data(bytes::Bytes::new(), true);
                        }
                    }
                });
            }
        });
    });
    address.recv().unwrap()
}
