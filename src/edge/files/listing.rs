//! A folder as a page.
//!
//! Owns what the page shows and how much of it. Names come from the filesystem: they are escaped wherever
//! they stand.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fluxheim_trust::{Listed, Listing, StaticError};
use http::{StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pingora::Result;
use pingora::proxy::Session;

use super::Site;
use crate::edge::cause::Cause;
use crate::edge::ctx::Ctx;
use crate::edge::respond::{self, Reply};
use crate::rewrite::html;

/// Sends what is in the folder `relative`.
pub(super) async fn send(
    session: &mut Session,
    ctx: &Ctx,
    site: &Arc<Site>,
    relative: String,
) -> Result<std::result::Result<(), Reply>> {
    let folder = relative.clone();
    let from = Arc::clone(site);
    let listed = tokio::task::spawn_blocking(move || from.root.list(&folder, MOST)).await;
    let listing = match listed {
        Ok(Ok(listing)) => listing,
        Ok(Err(StaticError::NotFound)) => return Ok(Err(super::refusal(Cause::FileNotFound))),
        Ok(Err(StaticError::Forbidden)) => return Ok(Err(super::refusal(Cause::FileForbidden))),
        Ok(Err(StaticError::System(error))) => {
            tracing::warn!(path = relative, %error, "static folder can't be listed");
            return Ok(Err(super::refusal(Cause::FileNotFound)));
        }
        Err(_) => return Ok(Err(Reply::internal("listing a folder ended without a result"))),
    };
    let page = page(&relative, listing, site.settings.hidden);
    let mut head = respond::head(StatusCode::OK)?;
    head.insert_header(header::CONTENT_TYPE, "text/html; charset=utf-8")?;
    head.insert_header(header::CONTENT_LENGTH, page.len())?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    // Nothing in it loads or runs anything, whatever a name looks like.
    head.insert_header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")?;
    if let Some(value) = &site.cache_control {
        head.insert_header(header::CACHE_CONTROL, value)?;
    }
    respond::finish(session, ctx, head, Bytes::from(page)).await?;
    Ok(Ok(()))
}

/// Folders first, then files, each by name.
fn page(relative: &str, listing: Listing, hidden: bool) -> String {
    let Listing { mut entries, cut } = listing;
    entries.retain(|entry| hidden || !entry.name.starts_with('.'));
    entries.sort_by(|a, b| (!a.folder, &a.name).cmp(&(!b.folder, &b.name)));
    let title = format!("/{relative}");
    let title = html::escape(&title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>Index of {title}</title>\n{STYLE}\n</head>\n<body>\n<h1>Index of {title}</h1>\n<table>\n"
    );
    if !relative.is_empty() {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &entries {
        page.push_str(&row(entry));
    }
    page.push_str("</table>\n");
    if cut {
        page.push_str(&format!("<p>There is more than these {MOST} names.</p>\n"));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn row(entry: &Listed) -> String {
    let slash = if entry.folder { "/" } else { "" };
    // Every character with a meaning is encoded, so that no name is read as a scheme, query or host.
    let link = utf8_percent_encode(&entry.name, PLAIN);
    let size = if entry.folder { "-".to_owned() } else { entry.len.to_string() };
    let modified = httpdate::fmt_http_date(entry.modified.max(SystemTime::UNIX_EPOCH));
    let name = html::escape(&entry.name);
    format!(
        "<tr><td><a href=\"{link}{slash}\">{name}{slash}</a></td><td>{modified}</td><td>{size}</td></tr>\n"
    )
}

/// RFC 3986's unreserved characters.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names of one page; more take longer to list than a request should.
const MOST: usize = 2000;

const STYLE: &str =
    "<style>body{font-family:monospace}td{padding-right:2em}td:last-child{text-align:right}</style>";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, folder: bool) -> Listed {
        Listed { name: name.to_owned(), folder, len: 7, modified: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn escapes_names_and_sorts_folders_first() {
        let entries = vec![
            entry("b.txt", false),
            entry("\"><script>", false),
            entry("javascript:x", false),
            entry(".secret", false),
            entry("z", true),
        ];
        let page = page("a&b/", Listing { entries, cut: true }, false);
        assert!(page.contains("Index of /a&amp;b/") && page.contains("more than these"));
        assert!(page.contains("<a href=\"%22%3E%3Cscript%3E\">&quot;&gt;&lt;script&gt;</a>"), "{page}");
        assert!(page.contains("href=\"javascript%3Ax\""));
        assert!(!page.contains("secret") && !page.contains("<script"));
        assert!(page.find(">z/<").unwrap() < page.find(">b.txt<").unwrap());
    }
}
