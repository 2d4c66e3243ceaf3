//! Static files: conditional requests, single ranges, folders with an index.
//!
//! Owns the answer for one file below a route's root. Paths are opened by `fluxheim-trust`, which
//! keeps them inside the root. Follows RFC 9110 sections 8.8, 13 and 14. File reads are short and
//! block the worker, as nginx's do by default.

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use fluxheim_trust::{StaticEntry, StaticError, StaticRoot};
use http::request::Parts;
use http::{Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr, Result};

use crate::edge::cause::{Cause, Failure};
use crate::edge::ctx::Ctx;
use crate::edge::outgoing;
use crate::edge::respond::{self, Reply};

/// Serves `path` below `root`; gives the reason when the answer is an error.
///
/// # Errors
/// The framework's, when the client has gone.
pub(super) async fn serve(
    session: &mut Session,
    ctx: &Ctx,
    root: &StaticRoot,
    path: &str,
) -> Result<Option<Failure>> {
    if !matches!(session.req_header().method, Method::GET | Method::HEAD) {
        return refuse(session, ctx, Cause::MethodNotAllowed).await;
    }
    let Some(relative) = relative(path) else {
        return refuse(session, ctx, Cause::BadTarget).await;
    };
    match find(root, &relative) {
        Found::File(found) => send_file(session, ctx, found, &relative).await.map(|()| None),
        Found::AddSlash => redirect(session, ctx, path).await.map(|()| None),
        Found::Nothing => refuse(session, ctx, Cause::FileNotFound).await,
        Found::Forbidden => refuse(session, ctx, Cause::FileForbidden).await,
    }
}

async fn refuse(session: &mut Session, ctx: &Ctx, cause: Cause) -> Result<Option<Failure>> {
    let reply = Reply { allow: "GET, HEAD", ..Reply::to(cause) };
    respond::send(session, ctx, &reply).await?;
    Ok(Some(reply.failure))
}

struct Open {
    file: std::fs::File,
    len: u64,
    modified: SystemTime,
}

enum Found {
    File(Open),
    /// A folder asked for without its slash: relative links in its index would break.
    AddSlash,
    Nothing,
    Forbidden,
}

/// The decoded path without its leading slash; `None` when it is no UTF-8 or holds a NUL.
fn relative(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.trim_start_matches('/').to_owned())
}

fn find(root: &StaticRoot, relative: &str) -> Found {
    let wants_folder = relative.is_empty() || relative.ends_with('/');
    match root.open(if relative.is_empty() { "." } else { relative }) {
        Ok(StaticEntry::File { file, len, modified }) if !wants_folder => {
            Found::File(Open { file, len, modified })
        }
        Ok(StaticEntry::Directory) if wants_folder => index(root, relative),
        Ok(StaticEntry::Directory) => Found::AddSlash,
        Ok(StaticEntry::File { .. }) | Err(StaticError::NotFound) => Found::Nothing,
        Err(StaticError::Forbidden) => Found::Forbidden,
        Err(error) => {
            tracing::warn!(path = relative, %error, "static file can't be opened");
            Found::Nothing
        }
    }
}

fn index(root: &StaticRoot, folder: &str) -> Found {
    match root.open(&format!("{folder}index.html")) {
        Ok(StaticEntry::File { file, len, modified }) => Found::File(Open { file, len, modified }),
        Err(StaticError::Forbidden) => Found::Forbidden,
        _ => Found::Nothing,
    }
}

async fn redirect(session: &mut Session, ctx: &Ctx, path: &str) -> Result<()> {
    // "//host" at the start would lead away from this server.
    let mut target = format!("/{}/", path.trim_start_matches('/'));
    if let Some(query) = session.req_header().uri.query() {
        target = format!("{target}?{query}");
    }
    let mut head = respond::head(StatusCode::MOVED_PERMANENTLY)?;
    head.insert_header(header::LOCATION, target)?;
    head.insert_header(header::CONTENT_LENGTH, 0)?;
    respond::finish(session, ctx, head, Bytes::new()).await
}

async fn send_file(session: &mut Session, ctx: &Ctx, open: Open, name: &str) -> Result<()> {
    let validators = Validators::new(&open);
    let plan = plan(session.req_header(), &validators, open.len);
    let mut head = respond::head(plan.status)?;
    head.insert_header(header::ETAG, validators.etag.as_str())?;
    head.insert_header(header::LAST_MODIFIED, httpdate::fmt_http_date(validators.modified))?;
    head.insert_header(header::ACCEPT_RANGES, "bytes")?;
    describe_body(&mut head, &plan, open.len, name)?;
    let length = plan.range.end - plan.range.start;
    if length == 0 || session.req_header().method == Method::HEAD {
        return outgoing::write(session, ctx, head, true).await;
    }
    outgoing::write(session, ctx, head, false).await?;
    copy(session, open.file, plan.range).await
}

fn describe_body(head: &mut ResponseHeader, plan: &Plan, len: u64, name: &str) -> Result<()> {
    match plan.status {
        StatusCode::NOT_MODIFIED => return Ok(()),
        StatusCode::PARTIAL_CONTENT => {
            let Range { start, end } = plan.range;
            head.insert_header(
                header::CONTENT_RANGE,
                format!("bytes {start}-{}/{len}", end.saturating_sub(1)),
            )?;
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            head.insert_header(header::CONTENT_RANGE, format!("bytes */{len}"))?
        }
        _ => {}
    }
    if plan.status.is_success() {
        let name = if name.is_empty() || name.ends_with('/') { "index.html" } else { name };
        let kind = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
        head.insert_header(header::CONTENT_TYPE, with_charset(kind))?;
        // The type above holds; a browser must not guess another.
        head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    }
    head.insert_header(header::CONTENT_LENGTH, plan.range.end - plan.range.start)
}

fn with_charset(kind: &str) -> String {
    let text = kind.starts_with("text/")
        || matches!(kind, "application/javascript" | "application/json" | "image/svg+xml");
    if text { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
}

async fn copy(session: &mut Session, file: std::fs::File, range: Range<u64>) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let Range { mut start, end } = range;
    while start < end {
        let want = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = vec![0; want];
        let got =
            file.read_at(&mut chunk, start).or_err(ErrorType::FileReadError, "reading a static file")?;
        if got == 0 {
            // Cut since its length was promised: ending early is the only honest way left.
            return pingora::Error::e_explain(
                ErrorType::FileReadError,
                "a static file shrank while it was sent",
            );
        }
        chunk.truncate(got);
        start += got as u64;
        session.write_response_body(Some(Bytes::from(chunk)), start >= end).await?;
    }
    Ok(())
}

struct Validators {
    etag: String,
    modified: SystemTime,
}

impl Validators {
    fn new(open: &Open) -> Self {
        let since = open.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { etag: format!("\"{:x}-{:x}\"", since.as_nanos(), open.len), modified: open.modified }
    }

    fn matches_list(&self, list: &str) -> bool {
        list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag)
    }

    /// HTTP dates have whole seconds.
    fn seconds(&self) -> u64 {
        self.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    status: StatusCode,
    range: Range<u64>,
}

/// Decides by the request's conditions (RFC 9110 section 13.2.2) and range (section 14.2).
fn plan(request: &Parts, validators: &Validators, len: u64) -> Plan {
    if not_modified(request, validators) {
        return Plan { status: StatusCode::NOT_MODIFIED, range: 0..0 };
    }
    let whole = Plan { status: StatusCode::OK, range: 0..len };
    let Some(range) = field(request, &header::RANGE) else { return whole };
    if request.method != Method::GET || !if_range_holds(request, validators) {
        return whole;
    }
    match byte_range(range, len) {
        Asked::Whole => whole,
        Asked::Part(range) => Plan { status: StatusCode::PARTIAL_CONTENT, range },
        Asked::Unsatisfiable => Plan { status: StatusCode::RANGE_NOT_SATISFIABLE, range: 0..0 },
    }
}

fn not_modified(request: &Parts, validators: &Validators) -> bool {
    if let Some(tags) = field(request, &header::IF_NONE_MATCH) {
        return validators.matches_list(tags);
    }
    date(request, &header::IF_MODIFIED_SINCE).is_some_and(|since| validators.seconds() <= since)
}

fn if_range_holds(request: &Parts, validators: &Validators) -> bool {
    match field(request, &header::IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => tag == validators.etag,
        Some(_) => date(request, &header::IF_RANGE) == Some(validators.seconds()),
    }
}

fn field<'a>(request: &'a Parts, name: &header::HeaderName) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn date(request: &Parts, name: &header::HeaderName) -> Option<u64> {
    let date = httpdate::parse_http_date(field(request, name)?).ok()?;
    Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// What is not understood, and several ranges at once, get the whole: RFC 9110 allows both.
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

fn byte_range(field: &str, len: u64) -> Asked {
    let Some((first, last)) = field.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Asked::Whole;
    }
    match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
        (None, Some(0)) => Asked::Unsatisfiable,
        (None, Some(_)) if len == 0 => Asked::Unsatisfiable,
        (None, Some(suffix)) => Asked::Part(len.saturating_sub(suffix)..len),
        (Some(first), _) if first >= len => Asked::Unsatisfiable,
        (Some(first), None) if last.is_empty() => Asked::Part(first..len),
        (Some(first), Some(last)) if first <= last => Asked::Part(first..last.saturating_add(1).min(len)),
        _ => Asked::Whole,
    }
}

/// Read and sent at once: large enough to be cheap, small enough for thousands of slow clients.
const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reads_single_ranges() {
        assert_eq!(byte_range("bytes=0-4", 10), Asked::Part(0..5));
        assert_eq!(byte_range("bytes=5-", 10), Asked::Part(5..10));
        assert_eq!(byte_range("bytes=-3", 10), Asked::Part(7..10));
        assert_eq!(byte_range("bytes=-30", 10), Asked::Part(0..10));
        assert_eq!(byte_range("bytes=5-99", 10), Asked::Part(5..10));
        assert_eq!(byte_range("bytes=10-", 10), Asked::Unsatisfiable);
        assert_eq!(byte_range("bytes=-0", 10), Asked::Unsatisfiable);
        for odd in ["bytes=5-4", "bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=-", "bytes=a-b", "bytes=+1-2"]
        {
            assert_eq!(byte_range(odd, 10), Asked::Whole, "{odd}");
        }
    }

    fn request(fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn status(fields: &[(&str, &str)]) -> u16 {
        let validators = Validators {
            etag: "\"x\"".to_owned(),
            modified: SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_500),
        };
        plan(&request(fields), &validators, 10).status.as_u16()
    }

    #[test]
    fn honours_conditions_in_their_order() {
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let older = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(999));
        assert_eq!(status(&[]), 200);
        assert_eq!(status(&[("if-none-match", "\"y\", W/\"x\"")]), 304);
        assert_eq!(status(&[("if-none-match", "\"y\""), ("if-modified-since", &date)]), 200);
        assert_eq!(status(&[("if-modified-since", &date)]), 304);
        assert_eq!(status(&[("if-modified-since", &older)]), 200);
        assert_eq!(status(&[("range", "bytes=0-1")]), 206);
        assert_eq!(status(&[("range", "bytes=0-1"), ("if-range", "\"x\"")]), 206);
        assert_eq!(status(&[("range", "bytes=0-1"), ("if-range", "\"y\"")]), 200);
        assert_eq!(status(&[("range", "bytes=0-1"), ("if-range", &date)]), 206);
        assert_eq!(status(&[("range", "bytes=10-")]), 416);
    }

    #[test]
    fn decodes_paths_and_refuses_nul() {
        assert_eq!(relative("/a%20b").unwrap(), "a b");
        assert_eq!(relative("//etc/passwd").unwrap(), "etc/passwd");
        assert_eq!(relative("/a%00"), None);
        assert_eq!(relative("/%ff"), None);
    }
}
