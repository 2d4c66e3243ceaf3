//! A request's head, and what it must not have.
//!
//! Owns the rules that keep out requests which some other program was talked into sending, a browser most of all:
//! they come with a page's `Origin`, a host that is not ours, or a body of a type that needs no permission. How a
//! head may be written at all is for `wire`.

use http::StatusCode;

use super::answer::Answer;

/// What of a head counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// Bytes.
    pub(super) length: usize,
    /// Whether the body is said to be JSON.
    pub(super) json: bool,
}

/// Reads a head that `wire` has found well framed.
pub(super) fn read(head: &[u8]) -> Result<Request, Answer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let bad = |detail: &str| Answer::refused(StatusCode::BAD_REQUEST, detail);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(bad("the request can't be read")),
    }
    let (Some(method), Some(path)) = (parsed.method, parsed.path) else {
        return Err(bad("the request can't be read"));
    };
    if !path.starts_with('/') {
        return Err(bad("the target must be a path"));
    }
    if path.contains(['?', '#']) {
        return Err(bad("no path here takes a query"));
    }
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), length: 0, json: false };
    let mut host = None;
    for field in parsed.headers.iter() {
        match field.name.to_ascii_lowercase().as_str() {
            "host" => host = Some(field.value),
            "content-length" => request.length = length(field.value)?,
            "content-type" => request.json = is_json(field.value),
            name => judge(name)?,
        }
    }
    if host != Some(HOST) {
        return Err(Answer::refused(StatusCode::MISDIRECTED_REQUEST, "the Host of this API is localhost"));
    }
    Ok(request)
}

/// A field that has no other meaning here.
fn judge(name: &str) -> Result<(), Answer> {
    let refuse = |status, detail: String| Err(Answer::refused(status, detail));
    match name {
        "origin" | "referer" | "cookie" => {
            refuse(StatusCode::FORBIDDEN, format!("{name}: this API is not for web pages"))
        }
        _ if name.starts_with("sec-fetch-") || name.starts_with("access-control-") => {
            refuse(StatusCode::FORBIDDEN, format!("{name}: this API is not for web pages"))
        }
        "transfer-encoding" => {
            refuse(StatusCode::LENGTH_REQUIRED, "give the body a Content-Length".to_owned())
        }
        "content-encoding" => refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as it is".to_owned()),
        "expect" => refuse(StatusCode::EXPECTATION_FAILED, "send the body with the head".to_owned()),
        "upgrade" => refuse(StatusCode::BAD_REQUEST, "this API speaks HTTP/1.1 only".to_owned()),
        _ => Ok(()),
    }
}

fn length(value: &[u8]) -> Result<usize, Answer> {
    let length = str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    match length.map(usize::try_from) {
        Some(Ok(length)) if length <= BODY => Ok(length),
        _ => Err(Answer::refused(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY} bytes"))),
    }
}

/// `application/json`, with no parameter but a charset of UTF-8 (RFC 8259 section 11 has none).
fn is_json(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else { return false };
    let (kind, parameter) = text.split_once(';').unwrap_or((text, "charset=utf-8"));
    kind.trim().eq_ignore_ascii_case("application/json")
        && parameter.trim().eq_ignore_ascii_case("charset=utf-8")
}

/// As `curl --unix-socket PATH http://localhost/...` sends it. Another name may be one that a page's
/// author had resolve to here.
const HOST: &[u8] = b"localhost";
/// Far more than any body here has.
const BODY: usize = 4096;
/// As many as `wire` lets through.
pub(super) const FIELDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str, fields: &str) -> Result<Request, u16> {
        let head = format!("{line} HTTP/1.1\r\n{fields}\r\n");
        read(head.as_bytes()).map_err(|answer| answer.status.as_u16())
    }

    #[test]
    fn takes_what_curl_sends() {
        let fields = "Host: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\nContent-Type: application/json\r\n\
                      Content-Length: 17\r\n";
        let request = judged("POST /v1/reload", fields).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/reload"));
        assert_eq!((request.length, request.json), (17, true));
    }

    #[test]
    fn refuses_what_a_browser_was_talked_into() {
        for (fields, status) in [
            ("Host: localhost\r\nOrigin: http://localhost\r\n", 403),
            ("Host: localhost\r\nOrigin: null\r\n", 403),
            ("Host: localhost\r\nORIGIN: https://evil.test\r\n", 403),
            ("Host: localhost\r\nReferer: http://localhost/\r\n", 403),
            ("Host: localhost\r\nSec-Fetch-Site: none\r\n", 403),
            ("Host: localhost\r\nCookie: a=b\r\n", 403),
            ("Host: localhost\r\nAccess-Control-Request-Method: POST\r\n", 403),
            ("Host: evil.test\r\n", 421),
            ("Host: localhost:2019\r\n", 421),
            ("Host: localhost.\r\n", 421),
            ("Host: 127.0.0.1\r\n", 421),
            ("", 421),
        ] {
            assert_eq!(judged("POST /v1/reload", fields), Err(status), "{fields}");
        }
    }

    #[test]
    fn refuses_bodies_that_are_not_small_and_plain() {
        for (fields, status) in [
            ("Transfer-Encoding: chunked\r\n", 411),
            ("Content-Length: 4097\r\n", 413),
            ("Content-Length: 99999999999999999999\r\n", 413),
            ("Content-Encoding: gzip\r\n", 415),
            ("Expect: 100-continue\r\n", 417),
            ("Upgrade: h2c\r\n", 400),
        ] {
            assert_eq!(
                judged("POST /v1/reload", &format!("Host: localhost\r\n{fields}")),
                Err(status),
                "{fields}"
            );
        }
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("text/plain", false),
            ("application/json-patch+json", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain; application/json", false),
            ("application/json; charset=utf-7", false),
        ] {
            let request = judged("POST /v1/reload", &format!("Host: localhost\r\nContent-Type: {kind}\r\n"));
            assert_eq!(request.unwrap().json, json, "{kind}");
        }
    }

    #[test]
    fn a_target_is_a_path_and_nothing_else() {
        for target in ["http://localhost/v1/status", "/v1/status?", "/v1/status?a=b", "*", "localhost:80"] {
            assert_eq!(judged(&format!("GET {target}"), "Host: localhost\r\n"), Err(400), "{target}");
        }
    }
}
