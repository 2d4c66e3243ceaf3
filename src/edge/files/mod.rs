//! Static files: what one request for a path below a route's root is answered with.
//!
//! Owns the head of the answer. Which file it is, `find` says; the bytes are sent by `body`. Conditions
//! and ranges are judged in `rewrite`. Follows RFC 9110 sections 8, 13 and 14.

mod body;
mod find;
pub(super) mod kind;
mod listing;
pub(super) mod whole;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fluxheim_config::StaticFiles;
use fluxheim_trust::{StaticRoot, StaticRootUnusable};
use http::{HeaderValue, Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::edge::cause::Cause;
use crate::edge::ctx::Ctx;
use crate::edge::files::body::Piece;
use crate::edge::files::find::{Found, Open};
use crate::edge::respond::{self, Reply};
use crate::edge::{compression, outgoing};
use crate::rewrite::conditions::{self, Validators, Verdict};
use crate::rewrite::ranges::{self, Asked, Multipart};

/// A folder that is served, held open.
#[derive(Debug)]
pub struct Site {
    root: StaticRoot,
    settings: StaticFiles,
    cache_control: Option<HeaderValue>,
    /// Set once a filesystem below it could not tell what is in memory.
    blind: AtomicBool,
}

impl Site {
    /// Opens the folder.
    ///
    /// # Errors
    /// When it is missing, no folder, or closed to this process.
    pub fn open(settings: &StaticFiles) -> std::result::Result<Self, StaticRootUnusable> {
        let root = StaticRoot::at(&settings.root)?;
        // The configuration takes field values only.
        let cache_control =
            settings.cache_control.as_deref().and_then(|value| HeaderValue::from_str(value).ok());
        Ok(Self { root, settings: settings.clone(), cache_control, blind: AtomicBool::new(false) })
    }

    /// Whether reading without waiting is worth trying.
    fn sees_memory(&self) -> bool {
        !self.blind.load(Ordering::Relaxed)
    }

    fn is_blind(&self) {
        self.blind.store(true, Ordering::Relaxed);
    }
}

/// Serves `path` below the site's root; gives the answer to send where that is an error.
///
/// # Errors
/// The framework's, when the client has gone, and the disk's.
pub(super) async fn serve(
    session: &mut Session,
    ctx: &Ctx,
    site: &Arc<Site>,
    path: &str,
) -> Result<std::result::Result<(), Reply>> {
    if !matches!(session.req_header().method, Method::GET | Method::HEAD) {
        return Ok(Err(refusal(Cause::MethodNotAllowed)));
    }
    match find::find(&site.root, &site.settings, path, &session.req_header().headers) {
        Found::File(open) => send_file(session, ctx, site, open).await?,
        Found::AddSlash => {
            // To the client it has the path that was asked for, whatever that was rewritten to.
            let asked = ctx.admitted().map_or(path, |admitted| admitted.path.as_str());
            redirect(session, ctx, asked).await?;
        }
        Found::Folder(relative) => return listing::send(session, ctx, site, relative).await,
        Found::Nothing => return Ok(Err(refusal(Cause::FileNotFound))),
        Found::Forbidden => return Ok(Err(refusal(Cause::FileForbidden))),
        Found::NoPath => return Ok(Err(refusal(Cause::BadTarget))),
    }
    Ok(Ok(()))
}

fn refusal(cause: Cause) -> Reply {
    Reply { allow: "GET, HEAD".into(), ..Reply::to(cause) }
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

async fn send_file(session: &mut Session, ctx: &Ctx, site: &Site, open: Open) -> Result<()> {
    let kind = kind::of(&open.name);
    let validators = validators(&open);
    let request = session.req_header();
    let plan = match conditions::judge(&request.headers, &validators) {
        Verdict::NotModified => Plan::NotModified,
        Verdict::Failed => Plan::Failed,
        Verdict::Send { ranges }
            if ranges
                && request.method == Method::GET
                && request.headers.contains_key(header::RANGE)
                && !compression::would(session, &Plan::Whole.head(site, &open, &validators, &kind)?) =>
        {
            let field = request.headers.get(header::RANGE).and_then(|field| field.to_str().ok());
            Plan::new(field, open.len, &kind)
        }
        Verdict::Send { .. } => Plan::Whole,
    };
    let head = plan.head(site, &open, &validators, &kind)?;
    let pieces = plan.pieces(open.len);
    let bodiless = pieces.is_empty() || session.req_header().method == Method::HEAD;
    compression::at_hand(session);
    outgoing::write(session, ctx, head, bodiless).await?;
    if bodiless { Ok(()) } else { body::send(session, site, open.file, pieces).await }
}

/// None for files whose time was set to nothing, as builders of images do: two files of one length would
/// be taken for the same.
fn validators(open: &Open) -> Validators {
    let since = open.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since <= Duration::from_secs(1) {
        return Validators::default();
    }
    let coding = open.coding.map_or_else(String::new, |coding| format!("-{}", coding.extension()));
    let etag = format!("\"{:x}-{:x}{coding}\"", since.as_nanos(), open.len);
    // Later than the Date beside it, it would be no date (RFC 9110 section 8.8.2.1).
    Validators { etag: Some(etag), modified: Some(open.modified.min(SystemTime::now())) }
}

/// What is sent of a file.
enum Plan {
    Whole,
    Part(Range<u64>),
    Parts(Multipart, String),
    NotModified,
    Failed,
    Unsatisfiable,
}

impl Plan {
    fn new(field: Option<&str>, len: u64, kind: &str) -> Self {
        match field.map(|field| ranges::read(field, len)) {
            None | Some(Asked::Whole) => Self::Whole,
            Some(Asked::Unsatisfiable) => Self::Unsatisfiable,
            Some(Asked::Parts(parts)) => match <[Range<u64>; 1]>::try_from(parts) {
                Ok([part]) => Self::Part(part),
                Err(parts) => {
                    let boundary = boundary();
                    Self::Parts(Multipart::new(parts, len, kind, &boundary), boundary)
                }
            },
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Whole => StatusCode::OK,
            Self::Part(_) | Self::Parts(..) => StatusCode::PARTIAL_CONTENT,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Failed => StatusCode::PRECONDITION_FAILED,
            Self::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    fn head(&self, site: &Site, open: &Open, validators: &Validators, kind: &str) -> Result<ResponseHeader> {
        let mut head = respond::head(self.status())?;
        if let Some(etag) = &validators.etag {
            head.insert_header(header::ETAG, etag.as_str())?;
        }
        if let Some(modified) = validators.modified {
            head.insert_header(header::LAST_MODIFIED, httpdate::fmt_http_date(modified))?;
        }
        if !site.settings.precompressed.is_empty() {
            head.insert_header(header::VARY, "Accept-Encoding")?;
        }
        if let Some(value) = &site.cache_control {
            head.insert_header(header::CACHE_CONTROL, value)?;
        }
        if self.status().is_success() {
            head.insert_header(header::ACCEPT_RANGES, "bytes")?;
            // The type below holds; a browser must not guess another.
            head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
            if let Some(coding) = open.coding {
                head.insert_header(header::CONTENT_ENCODING, coding.name())?;
            }
        }
        self.describe(&mut head, open.len, kind)?;
        Ok(head)
    }

    fn describe(&self, head: &mut ResponseHeader, len: u64, kind: &str) -> Result<()> {
        let length = match self {
            // What a 200 would have here is no longer known to be true of what the client has.
            Self::NotModified => return Ok(()),
            Self::Whole => {
                head.insert_header(header::CONTENT_TYPE, kind)?;
                len
            }
            Self::Part(part) => {
                head.insert_header(header::CONTENT_TYPE, kind)?;
                head.insert_header(header::CONTENT_RANGE, ranges::content_range(part, len))?;
                part.end - part.start
            }
            Self::Parts(multipart, boundary) => {
                let kind = format!("multipart/byteranges; boundary={boundary}");
                head.insert_header(header::CONTENT_TYPE, kind)?;
                multipart.len()
            }
            Self::Failed => 0,
            Self::Unsatisfiable => {
                head.insert_header(header::CONTENT_RANGE, format!("bytes */{len}"))?;
                0
            }
        };
        head.insert_header(header::CONTENT_LENGTH, length)
    }

    /// The body, piece by piece; empty when there is none.
    fn pieces(self, len: u64) -> Vec<Piece> {
        match self {
            Self::Whole if len > 0 => vec![Piece::File(0..len)],
            Self::Part(part) => vec![Piece::File(part)],
            Self::Parts(multipart, _) => {
                let parts = multipart.parts.into_iter();
                let parts = parts.flat_map(|(head, part)| [Piece::Text(head.into()), Piece::File(part)]);
                parts.chain([Piece::Text(multipart.end.into())]).collect()
            }
            Self::Whole | Self::NotModified | Self::Failed | Self::Unsatisfiable => Vec::new(),
        }
    }
}

/// What stands nowhere in a file, but for a chance of one in 2^128: it can't be foretold.
fn boundary() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}
