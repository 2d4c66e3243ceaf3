//! Failures as clients are told them.

use serde_json::Value;

use crate::support::{Flux, Response, Running, exchange};

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
