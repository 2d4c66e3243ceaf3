//! Static files as browsers and attackers ask for them.

use std::os::unix::fs::symlink;

use crate::support::{Flux, exchange, request};

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
