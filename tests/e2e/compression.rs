//! Compression as clients of all kinds get it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{Flux, Nginx, Response, Running, Scripted, certificate, curl, exchange};

fn text() -> Vec<u8> {
    (0..5000).flat_map(|n| format!("<p>line {n}</p>\n").into_bytes()).collect()
}

fn config(origin: SocketAddr, compression: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{origin}\"]\n[[vhosts]]\nhosts = [\"*\"]\ncompression = {compression}\n\
         [[vhosts.routes]]\npath = \"/\"\nupstream = \"app\"\n[[vhosts.routes]]\npath = \"/off/\"\nupstream = \"app\"\n\
         compression = \"off\"\n[[vhosts.routes]]\npath = \"/site/\"\nstatic = \"$DIR\"\n"
    )
}

fn ask(flux: &Running, method: &str, path: &str, fields: &str) -> Response {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    exchange(flux.http(), &head)
}

fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    let mut fields = response.head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| *field == name).map(|(_, value)| value)
}

/// The bytes of a chunked body.
fn unchunked(response: &Response) -> Vec<u8> {
    assert_eq!(field(response, "transfer-encoding"), Some("chunked"), "{}", response.head);
    let (mut rest, mut body) = (response.body.as_slice(), Vec::new());
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            assert_eq!(rest, b"\r\n");
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

fn unpacked(coding: &str, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(packed, 4096).read_to_end(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(packed).unwrap().read_to_end(&mut plain),
        other => panic!("{other}"),
    }
    .unwrap();
    plain
}

#[test]
fn packs_what_an_origin_sends_as_the_client_likes_it() {
    let text = text();
    let nginx = Nginx::serving(&[("page.html", &text), ("small.html", b"small"), ("a.jpg", &text)]);
    let flux = Flux::with(&config(nginx.address, "\"on\"")).start();
    for (accepted, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("br;q=0.2, gzip", "gzip"),
    ] {
        let response = ask(&flux, "GET", "/page.html", &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!(field(&response, "content-encoding"), Some(coding), "{}", response.head);
        assert_eq!(field(&response, "vary"), Some("accept-encoding"));
        assert!(field(&response, "etag").unwrap().starts_with("w/\""), "{}", response.head);
        assert!(field(&response, "content-length").is_none() && field(&response, "accept-ranges").is_none());
        let packed = unchunked(&response);
        assert!(packed.len() * 3 < text.len(), "{coding}: {}", packed.len());
        assert!(unpacked(coding, &packed) == text, "{coding}");
        let head = ask(&flux, "HEAD", "/page.html", &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-encoding", "vary", "etag", "content-type", "content-length"] {
            assert_eq!(field(&head, name), field(&response, name), "{name}");
        }
    }
    for (path, fields) in [
        ("/page.html", ""),
        ("/page.html", "Accept-Encoding: gzip;q=0\r\n"),
        ("/page.html", "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\n"),
        ("/page.html", "Accept-Encoding: gzip\r\nCookie: id=1\r\n?"),
        ("/small.html", "Accept-Encoding: gzip\r\n"),
        ("/a.jpg", "Accept-Encoding: gzip\r\n"),
        ("/off/page.html", "Accept-Encoding: gzip\r\n"),
    ] {
        // A query beside a cookie: what BREACH needs.
        let (path, fields) = match fields.strip_suffix('?') {
            Some(fields) => (format!("{path}?q=x"), fields),
            None => (path.to_owned(), fields),
        };
        let response = ask(&flux, "GET", &path, fields);
        assert_eq!(field(&response, "content-encoding"), None, "{path} {fields}");
    }
}

#[test]
fn a_connection_is_kept_and_a_304_names_the_packed_tag() {
    let nginx = Nginx::serving(&[("page.html", &text())]);
    let flux = Flux::with(&config(nginx.address, "\"on\"")).start();
    let first = ask(&flux, "GET", "/page.html", "Accept-Encoding: br\r\n");
    let tag = field(&first, "etag").unwrap().replacen("w/", "W/", 1);
    let again = format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n");
    let unchanged = ask(&flux, "GET", "/page.html", &again);
    assert_eq!((unchanged.status, field(&unchanged, "etag")), (304, field(&first, "etag")));
    let kept = "Host: a\r\nAccept-Encoding: gzip\r\n";
    let three = format!(
        "HEAD /page.html HTTP/1.1\r\n{kept}\r\nGET /page.html HTTP/1.1\r\n{kept}\r\n\
         GET /nothing HTTP/1.1\r\n{kept}Connection: close\r\n\r\n"
    );
    let all = exchange(flux.http(), &three);
    let rest = String::from_utf8_lossy(&all.body);
    assert_eq!(all.status, 200);
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 1, "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 404 Not Found").count(), 1);
    // No chunks for those who don't know them.
    let old = exchange(flux.http(), "GET /page.html HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((field(&old, "content-encoding"), old.body == text()), (None, true));
}

#[test]
fn packs_files_and_gives_no_ranges_of_them() {
    let text = text();
    let origin = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let flux = Flux::with(&config(origin.address, "{ level = \"best\", min_size = \"2KiB\" }"))
        .file("site/page.html", &text)
        .file("site/short.html", &[b'x'; 2047])
        .start();
    let packed = ask(&flux, "GET", "/site/page.html", "Accept-Encoding: br\r\nRange: bytes=0-9\r\n");
    assert_eq!((packed.status, field(&packed, "content-encoding")), (200, Some("br")));
    assert!(unpacked("br", &unchunked(&packed)) == text);
    let part = ask(&flux, "GET", "/site/page.html", "Range: bytes=0-9\r\n");
    assert_eq!((part.status, part.body.as_slice()), (206, &text[..10]));
    let tag = field(&packed, "etag").unwrap().replacen("w/", "W/", 1);
    let unchanged =
        ask(&flux, "GET", "/site/page.html", &format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n"));
    assert_eq!((unchanged.status, field(&unchanged, "etag")), (304, field(&packed, "etag")));
    let short = ask(&flux, "GET", "/site/short.html", "Accept-Encoding: br\r\n");
    assert_eq!(field(&short, "content-encoding"), None);
}

#[test]
fn secrets_beside_input_go_as_they_are_unless_asked() {
    let page = String::from_utf8(text()).unwrap();
    let answer = |fields: &str| {
        let head = format!("Content-Type: text/html\r\n{fields}Content-Length: {}", page.len());
        Scripted::answering(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{page}"))
    };
    let gzip = "Accept-Encoding: gzip\r\n";
    for (compression, expected) in [("\"on\"", None), ("{ personal = true }", Some("gzip"))] {
        let cookie = answer("Set-Cookie: id=1\r\n");
        let flux = Flux::with(&config(cookie.address, compression)).start();
        assert_eq!(field(&ask(&flux, "GET", "/?q=x", gzip), "content-encoding"), expected);
        let posted = format!("{gzip}Content-Length: 0\r\n");
        assert_eq!(field(&ask(&flux, "POST", "/", &posted), "content-encoding"), expected);
        let response = ask(&flux, "GET", "/", gzip);
        assert_eq!(field(&response, "content-encoding"), Some("gzip"), "nothing of the asker's is in it");
        let plain = answer("");
        let flux = Flux::with(&config(plain.address, compression)).start();
        let basic = format!("{gzip}Authorization: Basic eDp4\r\n");
        assert_eq!(field(&ask(&flux, "GET", "/?q=x", &basic), "content-encoding"), expected);
        assert_eq!(field(&ask(&flux, "GET", "/?q=x", gzip), "content-encoding"), Some("gzip"));
    }
    let kept = answer("Cache-Control: no-transform\r\n");
    let flux = Flux::with(&config(kept.address, "\"on\"")).start();
    assert_eq!(field(&ask(&flux, "GET", "/", gzip), "content-encoding"), None);
}

/// An origin that sends `pieces` in chunks, each when it is told to.
fn hesitant(kind: &'static str, pieces: &'static [&'static str]) -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for piece in pieces {
            if told.recv().is_err() {
                return;
            }
            stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).unwrap();
        }
        let _ = told.recv();
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    (address, go)
}

#[test]
fn what_an_origin_has_sent_so_far_arrives_at_once() {
    for coding in ["gzip", "br", "zstd"] {
        let (address, go) = hesitant("text/plain", &["first words", ", and more"]);
        let flux = Flux::with(&config(address, "\"on\"")).start();
        let mut stream = TcpStream::connect(flux.http()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head =
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: {coding}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        go.send(()).unwrap();
        let (mut got, mut room) = (Vec::new(), [0; 4096]);
        // Nothing more comes before the origin is told, so this ends only if all of it has arrived.
        while !readable(coding, &got).starts_with(b"first words") {
            let read = stream.read(&mut room).unwrap();
            assert!(read > 0, "{coding}: {:?}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&room[..read]);
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(readable(coding, &got), b"first words, and more", "{coding}");
        assert!(got.ends_with(b"0\r\n\r\n"), "{coding}");
    }
}

/// What of the body can be read, of a response that may not be complete.
fn readable(coding: &str, response: &[u8]) -> Vec<u8> {
    let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") else { return Vec::new() };
    let (mut rest, mut packed) = (&response[end + 4..], Vec::new());
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 || rest.len() < size + 2 {
            break;
        }
        packed.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
    let mut reader: Box<dyn Read + '_> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(packed.as_slice())),
        "br" => Box::new(brotli::Decompressor::new(packed.as_slice(), 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(packed.as_slice()).unwrap()),
    };
    let (mut plain, mut room) = (Vec::new(), [0; 512]);
    while let Ok(got @ 1..) = reader.read(&mut room) {
        plain.extend_from_slice(&room[..got]);
    }
    plain
}

#[test]
fn event_streams_are_left_alone() {
    let (address, go) = hesitant("text/event-stream", &["data: 1\n\n"]);
    let flux = Flux::with(&config(address, "\"on\"")).start();
    go.send(()).unwrap();
    go.send(()).unwrap();
    let response = ask(&flux, "GET", "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(field(&response, "content-encoding"), None);
    assert_eq!(unchunked(&response), b"data: 1\n\n");
}

#[test]
fn packs_over_http_2_too() {
    let text = text();
    let nginx = Nginx::serving(&[("page.html", &text)]);
    let mut flux = Flux::server(
        "http = []\nhttps = [\"127.0.0.1:0\"]",
        &format!(
            "{}[[tls.certificates]]\nname = \"a\"\ncert = \"$DIR/a.pem\"\nkey = \"$DIR/a.key\"\n",
            config(nginx.address, "\"on\"")
        ),
    );
    flux = flux.file("site/page.html", &text);
    certificate(flux.dir.path(), "a", &["a.test"]);
    let flux = flux.start();
    for path in ["page.html", "site/page.html"] {
        let url = format!("https://{}/{path}", flux.https());
        let got = curl(&["-k", "--http2", "-i", "-H", "Accept-Encoding: br", &url]);
        let end = got.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/2 200") && head.contains("content-encoding: br"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert!(unpacked("br", &got[end..]) == text, "{path}");
    }
}
