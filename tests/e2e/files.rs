//! Static files as browsers and attackers ask for them.

use std::os::unix::fs::symlink;

use crate::support::{Flux, Nginx, Response, Running, curl, exchange, request};

fn site() -> Flux {
    let flux =
        Flux::with("[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"$DIR/site\"\n")
            .file("site/index.html", b"<p>home</p>")
            .file("site/style.css", b"p{}")
            .file("site/sub/index.html", b"sub")
            .file("site/with space.txt", b"0123456789")
            .file("secret", b"outside");
    let site = flux.dir.path().join("site");
    symlink("../secret", site.join("escape")).unwrap();
    symlink("style.css", site.join("link.css")).unwrap();
    nix::unistd::mkfifo(&site.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    flux
}

#[test]
fn serves_files_folders_and_types() {
    let flux = site().start();
    let home = request(flux.http(), "a.test", "/");
    assert_eq!((home.status, home.body.as_slice()), (200, &b"<p>home</p>"[..]));
    assert!(home.head.contains("content-type: text/html; charset=utf-8"), "{}", home.head);
    assert!(home.head.contains("x-content-type-options: nosniff"));
    assert!(home.head.contains("\r\ndate: "));
    assert_eq!(request(flux.http(), "a.test", "/sub/").body, b"sub");
    assert_eq!(request(flux.http(), "a.test", "/with%20space.txt").body, b"0123456789");
    assert_eq!(request(flux.http(), "a.test", "/link.css").body, b"p{}");
    let folder = request(flux.http(), "a.test", "/sub?x=1");
    assert_eq!(folder.status, 301);
    assert!(folder.head.contains("location: /sub/?x=1\r\n"), "{}", folder.head);
}

#[test]
fn stays_inside_its_root_and_opens_regular_files_only() {
    let flux = site().start();
    for (path, status) in
        [("/escape", 404), ("/fifo", 404), ("/nothing", 404), ("/%2e%2e/secret", 400), ("/index.html/", 404)]
    {
        let response = request(flux.http(), "a.test", path);
        assert_eq!(response.status, status, "{path}");
        assert!(!response.body.windows(7).any(|window| window == b"outside"), "{path}");
    }
}

#[test]
fn honours_head_ranges_and_conditions() {
    let flux = site().start();
    let ask = |method: &str, extra: &str| {
        exchange(
            flux.http(),
            &format!("{method} /with%20space.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{extra}\r\n"),
        )
    };
    let head = ask("HEAD", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.head.contains("content-length: 10\r\n"), "{}", head.head);
    let part = ask("GET", "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert!(part.head.contains("content-range: bytes 2-4/10\r\n"), "{}", part.head);
    assert_eq!(ask("GET", "Range: bytes=10-\r\n").status, 416);
    let etag = head.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let unchanged = ask("GET", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let refused = ask("POST", "Content-Length: 0\r\n");
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("allow: get, head\r\n"), "{}", refused.head);
}

/// A site whose `static` is a table with `settings` beside the root.
fn tuned(settings: &str) -> Flux {
    let config = format!(
        "[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = {{ root = \"$DIR/site\", {settings} }}\n"
    );
    Flux::with(&config)
}

fn ask(flux: &Running, method: &str, path: &str, fields: &str) -> Response {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    exchange(flux.http(), &head)
}

fn get(flux: &Running, path: &str, fields: &str) -> Response {
    ask(flux, "GET", path, fields)
}

fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    let mut fields = response.head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| *field == name).map(|(_, value)| value)
}

#[test]
fn dotfiles_are_not_there_unless_asked_for() {
    let files = |flux: Flux| {
        flux.file("site/.env", b"secret")
            .file("site/sub/.git/config", b"secret")
            .file("site/.well-known/security.txt", b"contact")
            .file("site/app.html", b"app")
    };
    let flux = files(tuned("fallback = \"/app.html\"")).start();
    for path in ["/.env", "/%2eenv", "/sub/.git/config", "/.nothing", "/.well-known/.env"] {
        let response = get(&flux, path, "");
        assert_eq!(response.status, 404, "{path}: {}", response.head);
    }
    assert_eq!(get(&flux, "/.well-known/security.txt", "").body, b"contact");
    let flux = files(tuned("hidden = true")).start();
    assert_eq!(get(&flux, "/.env", "").body, b"secret");
    assert_eq!(get(&flux, "/sub/.git/config", "").body, b"secret");
}

#[test]
fn tries_index_names_in_order_and_falls_back_where_nothing_is() {
    let flux = tuned(
        "index = [\"a.html\", \"b.html\"], fallback = \"/app/main.html\", cache_control = \"no-cache\"",
    )
    .file("site/one/b.html", b"b")
    .file("site/both/b.html", b"b")
    .file("site/both/a.html", b"a")
    .file("site/none/x", b"x")
    .file("site/app/main.html", b"app")
    .start();
    for (path, body) in [
        ("/one/", &b"b"[..]),
        ("/both/", b"a"),
        ("/none/", b"app"),
        ("/none/x", b"x"),
        ("/some/client/route?x=1", b"app"),
        ("/none/x/y", b"app"),
    ] {
        let response = get(&flux, path, "");
        assert_eq!((response.status, response.body.as_slice()), (200, body), "{path}");
        assert_eq!(field(&response, "cache-control"), Some("no-cache"), "{path}");
    }
    assert_eq!(field(&get(&flux, "/any", ""), "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(get(&flux, "/one", "").status, 301);
    assert_eq!(ask(&flux, "POST", "/any", "Content-Length: 0\r\n").status, 405);
}

#[test]
fn sends_the_packed_form_the_client_likes_best() {
    let flux = tuned("precompressed = [\"zstd\", \"br\", \"gzip\"]")
        .file("site/a.css", b"plain text")
        .file("site/a.css.br", b"BROTLI")
        .file("site/a.css.gz", b"GZIP")
        .file("site/b.css", b"alone")
        .file("site/c.css.gz", b"without a plain one")
        .file("site/index.html", b"home")
        .file("site/index.html.zst", b"ZSTD")
        .start();
    for (accepted, coding, body) in [
        ("gzip, deflate, br, zstd", Some("br"), &b"BROTLI"[..]),
        ("gzip;q=1, br;q=0.5", Some("gzip"), b"GZIP"),
        ("zstd", None, b"plain text"),
        ("br;q=0, gzip;q=0", None, b"plain text"),
        ("identity, gzip;q=0.5", None, b"plain text"),
    ] {
        let response = get(&flux, "/a.css", &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!(
            (field(&response, "content-encoding"), response.body.as_slice()),
            (coding, body),
            "{accepted}"
        );
        assert_eq!(field(&response, "content-type"), Some("text/css; charset=utf-8"));
        assert_eq!(field(&response, "vary"), Some("accept-encoding"));
    }
    let br = get(&flux, "/a.css", "Accept-Encoding: br\r\n");
    let plain = get(&flux, "/a.css", "");
    assert_ne!(field(&br, "etag"), field(&plain, "etag"));
    let tag = field(&br, "etag").unwrap();
    let again = format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n");
    let unchanged = get(&flux, "/a.css", &again);
    assert_eq!((unchanged.status, field(&unchanged, "vary")), (304, Some("accept-encoding")));
    // A range is one of the packed form, and of no other.
    let part =
        get(&flux, "/a.css", &format!("Accept-Encoding: br\r\nRange: bytes=1-2\r\nIf-Range: {tag}\r\n"));
    assert_eq!((part.status, part.body.as_slice()), (206, &b"RO"[..]));
    let other = get(&flux, "/a.css", &format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n"));
    assert_eq!((other.status, other.body.as_slice()), (200, &b"plain text"[..]));
    assert_eq!(get(&flux, "/b.css", "Accept-Encoding: br\r\n").body, b"alone");
    assert_eq!(get(&flux, "/c.css", "Accept-Encoding: gzip\r\n").status, 404);
    assert_eq!(get(&flux, "/", "Accept-Encoding: zstd\r\n").body, b"ZSTD");
    let head = ask(&flux, "HEAD", "/a.css", "Accept-Encoding: br\r\n");
    assert_eq!(field(&head, "content-length"), Some("6"));
    assert_eq!(field(&head, "etag"), field(&br, "etag"));
}

#[test]
fn answers_conditions_and_ranges_as_nginx_does() {
    let content: Vec<u8> = (0..1000).flat_map(|n| format!("{n:04}").into_bytes()).collect();
    let nginx = Nginx::serving(&[("numbers.txt", &content)]);
    let flux = tuned("").file("site/numbers.txt", &content).start();
    let theirs = |fields: &str| {
        let head = format!("GET /numbers.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        exchange(nginx.address, &head)
    };
    let many = |count: usize| {
        let specs: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 8, at * 8 + 3)).collect();
        format!("Range: bytes={}\r\n", specs.join(","))
    };
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    for fields in [
        String::new(),
        "Range: bytes=0-3\r\n".to_owned(),
        "Range: bytes=3996-\r\n".to_owned(),
        "Range: bytes=-4\r\n".to_owned(),
        "Range: bytes=-9999\r\n".to_owned(),
        "Range: bytes=4000-\r\n".to_owned(),
        "Range: bytes=0-3,8-11\r\n".to_owned(),
        "Range: bytes=0-3, 4000-5000\r\n".to_owned(),
        "Range: bytes=4000-,5000-\r\n".to_owned(),
        "Range: bytes=0-3999,0-3999\r\n".to_owned(),
        "Range: lines=0-3\r\n".to_owned(),
        "Range: bytes=0-3\r\nIf-Range: \"no\"\r\n".to_owned(),
        format!("Range: bytes=0-3\r\nIf-Range: {old}\r\n"),
        "If-Match: \"no\"\r\n".to_owned(),
        "If-Match: *\r\n".to_owned(),
        "If-None-Match: *\r\n".to_owned(),
        "If-None-Match: \"no\"\r\n".to_owned(),
        format!("If-Unmodified-Since: {old}\r\n"),
        format!("If-Modified-Since: {old}\r\n"),
        many(16),
    ] {
        let (ours, theirs) = (get(&flux, "/numbers.txt", &fields), theirs(&fields));
        assert_eq!(ours.status, theirs.status, "{fields}");
        assert_eq!(field(&ours, "content-range"), field(&theirs, "content-range"), "{fields}");
        if ours.status == 206 && field(&ours, "content-range").is_none() {
            assert_eq!(parts(&ours), parts(&theirs), "{fields}");
        } else if ours.status < 300 {
            assert_eq!(ours.body, theirs.body, "{fields}");
        }
    }
    // Where nginx goes on to answer, and Apache once fell over (CVE-2011-3192).
    let attack = get(&flux, "/numbers.txt", &many(490));
    assert_eq!((attack.status, attack.body == content), (200, true));
}

/// `Content-Range` and bytes of each part of a `multipart/byteranges`.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let length: usize = field(response, "content-length").unwrap().parse().unwrap();
    assert_eq!(response.body.len(), length);
    let kind = field(response, "content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = String::from_utf8(response.body.clone()).unwrap();
    let (parts, end) = text.rsplit_once(&format!("\r\n--{boundary}--")).unwrap();
    assert_eq!(end, "\r\n");
    let between = format!("\r\n--{boundary}\r\n");
    let parts = parts.split(&between).skip(1).map(|part| {
        let (head, bytes) = part.split_once("\r\n\r\n").unwrap();
        let range = head.lines().find_map(|line| line.strip_prefix("Content-Range: ")).unwrap();
        assert!(head.to_ascii_lowercase().contains("content-type: text/plain"), "{head}");
        (range.to_owned(), bytes.as_bytes().to_vec())
    });
    parts.collect()
}

#[test]
fn lists_a_folder_only_where_told_to() {
    let files = |flux: Flux| {
        flux.file("site/pub/<b>&.txt", b"odd").file("site/pub/deep/x", b"x").file("site/pub/.hidden", b"x")
    };
    let flux = files(tuned("listing = true")).start();
    let page = get(&flux, "/pub/", "");
    let text = String::from_utf8(page.body).unwrap();
    assert_eq!(page.status, 200);
    assert!(text.contains("<a href=\"%3Cb%3E%26.txt\">&lt;b&gt;&amp;.txt</a>"), "{text}");
    assert!(text.contains("href=\"deep/\"") && !text.contains("hidden"), "{text}");
    assert_eq!(get(&flux, "/pub/%3Cb%3E%26.txt", "").body, b"odd");
    assert_eq!(ask(&flux, "HEAD", "/pub/", "").body.len(), 0);
    let flux = files(tuned("")).start();
    assert_eq!(get(&flux, "/pub/", "").status, 404);
}

#[test]
fn streams_what_is_larger_than_any_buffer() {
    let content: Vec<u8> = (0..8_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let flux = tuned("").file("site/big", &content).file("site/small", b"small").start();
    let url = format!("http://{}/big", flux.http());
    assert!(curl(&[&url]) == content, "the bytes differ");
    let end = curl(&["-r", "31999996-", &url]);
    assert_eq!(end, content[31_999_996..]);
    // A client that doesn't read holds up nobody.
    let mut idle = std::net::TcpStream::connect(flux.http()).unwrap();
    std::io::Write::write_all(&mut idle, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(get(&flux, "/small", "").body, b"small");
}
