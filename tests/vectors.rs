//! Requests that two readers may read differently, by the names they have in docs/request-framing.md.

/// What no proxy may ever answer: it stands behind a request that ends its connection.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A vector with a good last request and a smuggled one behind it.
pub(crate) fn with_more_behind(vector: &str) -> String {
    format!("{vector}GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n{SMUGGLED}")
}

/// A request with that line.
pub(crate) fn line(line: &str) -> String {
    format!("{line}\r\nHost: a.test\r\n\r\n")
}

/// A GET with those further field lines.
pub(crate) fn field(field: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n")
}

/// A POST with those further field lines and that body.
pub(crate) fn post(field: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n{body}")
}

pub(crate) fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

pub(crate) fn vectors() -> Vec<(&'static str, String)> {
    let plain = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    vec![
        (
            "Content-Length and Transfer-Encoding",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        (
            "Transfer-Encoding: chunked twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        ("Transfer-Encoding: chunked, chunked", post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")),
        ("Transfer-Encoding: gzip, chunked", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
        ("Transfer-Encoding: chunked, gzip", post("Transfer-Encoding: chunked, gzip", "0\r\n\r\n")),
        ("Transfer-Encoding: identity", post("Transfer-Encoding: identity", "")),
        ("Transfer-Encoding : chunked (space)", post("Transfer-Encoding : chunked", "0\r\n\r\n")),
        (
            "Transfer-Encoding on HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("Content-Length twice, the same", post("Content-Length: 2\r\nContent-Length: 2", "ab")),
        ("Content-Length twice, different", post("Content-Length: 2\r\nContent-Length: 3", "ab")),
        ("Content-Length: 2, 2", post("Content-Length: 2, 2", "ab")),
        ("Content-Length: +2", post("Content-Length: +2", "ab")),
        ("Content-Length: -2", post("Content-Length: -2", "ab")),
        ("Content-Length: 0x2", post("Content-Length: 0x2", "ab")),
        ("Content-Length beyond 63 bits", post("Content-Length: 18446744073709551618", "ab")),
        ("bare LF ends every line", "GET / HTTP/1.1\nHost: a.test\n\n".to_owned()),
        ("bare LF ends one field", field("X: a\nContent-Length: 5")),
        ("bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a.test\r\n\n".to_owned()),
        ("bare CR in a field", field("X: a\rY: b")),
        ("field continued on a second line", field("X: a\r\n b")),
        ("NUL in a value", field("X: a\0b")),
        ("NUL in a name", field("X\0: a")),
        ("control character in a value", field("X: a\x01b")),
        ("space before the colon", field("X : a")),
        ("empty field name", field(": a")),
        ("field without a colon", field("nothing")),
        ("field name that is no token", field("X(y): a")),
        ("no Host, HTTP/1.1", plain("")),
        ("no Host, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".to_owned()),
        ("two Host", plain("Host: a.test\r\nHost: a.test\r\n")),
        ("Host: a.test/b", plain("Host: a.test/b\r\n")),
        ("Host: user@a.test", plain("Host: user@a.test\r\n")),
        ("empty Host", plain("Host:\r\n")),
        ("absolute target, other Host", "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned()),
        ("absolute target with userinfo", line("GET http://u@a.test/ HTTP/1.1")),
        ("absolute target of another scheme", line("GET ftp://a.test/ HTTP/1.1")),
        ("target without a slash", line("GET a.test HTTP/1.1")),
        ("`*` with GET", line("GET * HTTP/1.1")),
        ("`*` with OPTIONS", line("OPTIONS * HTTP/1.1")),
        ("/a/../b", line("GET /a/../b HTTP/1.1")),
        ("/a/%2e%2e/b", line("GET /a/%2e%2e/b HTTP/1.1")),
        ("%00 in the path", line("GET /a%00b HTTP/1.1")),
        ("space in the target", line("GET /a b HTTP/1.1")),
        ("two spaces in the request line", line("GET  / HTTP/1.1")),
        ("tab in the request line", line("GET\t/ HTTP/1.1")),
        ("`#` in the target", line("GET /a#b HTTP/1.1")),
        ("byte above 0x7e in the target", line("GET /\u{e9} HTTP/1.1")),
        ("control character in the target", line("GET /\x01 HTTP/1.1")),
        ("method that is no token", line("G(T / HTTP/1.1")),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned()),
        ("HTTP/1.2", line("GET / HTTP/1.2")),
        ("HTTP/2.0 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("http/1.1 in lower case", line("GET / http/1.1")),
        ("TLS handshake on a plain listener", "\x16\x03\x01\x02".to_owned()),
        ("two empty lines first", format!("\r\n\r\n{}", line("GET / HTTP/1.1"))),
        ("one empty line first", format!("\r\n{}", line("GET / HTTP/1.1"))),
        ("X_Real_Ip", field("X_Real_Ip: 6.6.6.6")),
        ("spoofed X-Forwarded-For", field("X-Forwarded-For: 6.6.6.6")),
        ("spoofed Forwarded", field("Forwarded: for=6.6.6.6")),
        ("Connection: X-Forwarded-For", field("Connection: X-Forwarded-For\r\nX-Forwarded-For: 6.6.6.6")),
        ("Upgrade with a body", post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2", "ab")),
        ("TRACE", line("TRACE / HTTP/1.1")),
        ("CONNECT", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".to_owned()),
        ("request line of 64 KiB", line(&format!("GET /{} HTTP/1.1", "a".repeat(65_536)))),
        ("head of 64 KiB", field(&format!("X: {}", "a".repeat(65_536)))),
        ("300 fields", field("X: a\r\n".repeat(300).trim_end())),
        ("Range with 500 parts", field(&format!("Range: bytes={}", ["0-0"; 500].join(",")))),
        ("chunk ended by bare LF", chunked("1\nx\r\n0\r\n\r\n")),
        ("chunk data ended by bare LF", chunked("1\r\nx\n0\r\n\r\n")),
        ("chunk longer than its size", chunked("1\r\nxy\r\n0\r\n\r\n")),
        ("chunk size empty", chunked("\r\nx\r\n0\r\n\r\n")),
        ("chunk size -1", chunked("-1\r\nx\r\n0\r\n\r\n")),
        ("chunk size 0x1", chunked("0x1\r\nx\r\n0\r\n\r\n")),
        ("chunk size of 17 digits", chunked("00000000000000001\r\nx\r\n0\r\n\r\n")),
        ("chunk size beyond 63 bits", chunked("ffffffffffffffff\r\nx\r\n0\r\n\r\n")),
        ("short chunk extension", chunked("1;a=b;c=\"d e\"\r\nx\r\n0\r\n\r\n")),
        ("malformed chunk extension", chunked("1;=\r\nx\r\n0\r\n\r\n")),
        ("chunk extensions over 1 KiB", chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(1025)))),
        ("well-formed trailer", chunked("1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n")),
        ("malformed trailer", chunked("0\r\nX\r\n\r\n")),
        ("Content-Length as a trailer", chunked("0\r\nContent-Length: 1\r\n\r\n")),
    ]
}
