//! How a failure is told to the client: as text, a page, a problem, or a page of the operator's.
//!
//! Owns the body of every answer to a failure; which status and words, `cause` says. Nothing of the inside
//! stands in it, only the id by which the operator finds the request's log line. Follows RFC 9457 and RFC
//! 9110 section 12.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fluxheim_config::{Config, ErrorFormat};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use pingora::Result;
use pingora::http::ResponseHeader;
use serde::Serialize;

use crate::edge::ctx::Ctx;
use crate::edge::files::whole::{self, Whole};
use crate::rewrite::{accept, html};

/// The operator's pages, read when the configuration was.
#[derive(Debug, Default)]
pub struct Pages(BTreeMap<PathBuf, Page>);

#[derive(Debug)]
struct Page {
    kind: String,
    text: Bytes,
    /// Whether there is something to fill in.
    blanks: bool,
}

impl Pages {
    /// Reads every page that `config` names.
    ///
    /// # Errors
    /// One line for each page that can't be used.
    pub fn read(config: &Config) -> std::result::Result<Self, Vec<String>> {
        let (mut pages, mut wrong) = (BTreeMap::new(), BTreeMap::new());
        for path in config.policies().flat_map(|(_, policy)| policy.errors.pages.values()) {
            if pages.contains_key(path) || wrong.contains_key(path) {
                continue;
            }
            match Page::read(path) {
                Ok(page) => drop(pages.insert(path.clone(), page)),
                Err(reason) => {
                    let line = format!("error page {}: {reason}", path.display());
                    wrong.insert(path.clone(), line);
                }
            }
        }
        if wrong.is_empty() { Ok(Self(pages)) } else { Err(wrong.into_values().collect()) }
    }

    fn get(&self, path: &Path) -> Option<&Page> {
        self.0.get(path)
    }
}

impl Page {
    fn read(path: &Path) -> std::result::Result<Self, String> {
        let Whole { kind, content: text } = whole::read(path)?;
        let blanks = [STATUS, REQUEST_ID]
            .iter()
            .any(|blank| text.windows(blank.len()).any(|at| at == blank.as_bytes()));
        if blanks && std::str::from_utf8(&text).is_err() {
            return Err("it has blanks to fill in, and is not UTF-8".to_owned());
        }
        Ok(Self { kind, text: text.into(), blanks })
    }

    fn filled(&self, status: u16, request_id: &str) -> Bytes {
        match std::str::from_utf8(&self.text) {
            Ok(text) if self.blanks => {
                let text = text.replace(STATUS, &status.to_string());
                text.replace(REQUEST_ID, &html::escape(request_id)).into()
            }
            _ => self.text.clone(),
        }
    }
}

/// What there is to tell.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    /// A line.
    pub(super) text: Cow<'static, str>,
}

impl Told {
    /// What a status says by itself.
    pub(super) fn of(status: StatusCode) -> Self {
        let text = status.canonical_reason().unwrap_or("error").to_ascii_lowercase() + "\n";
        Self { status, text: Cow::Owned(text) }
    }
}

/// Describes the body of the answer in `head`, and gives it.
///
/// # Errors
/// A value that can't stand in a header field: an internal error.
pub(super) fn tell(head: &mut ResponseHeader, request: &Parts, ctx: &Ctx, told: Told) -> Result<Bytes> {
    // A refusal that shall cost nothing has no body, whoever asks.
    if told.text.is_empty() {
        head.insert_header(CONTENT_LENGTH, 0)?;
        return Ok(Bytes::new());
    }
    let errors = &ctx.policy().errors;
    let form = Form::chosen(errors.format, request);
    if errors.format == ErrorFormat::Auto {
        head.append_header(VARY, "Accept")?;
    }
    let status = told.status.as_u16();
    let request_id = ctx.identity.as_ref().map_or("", |identity| identity.request_id_text());
    let page =
        errors.page(status).filter(|_| form != Form::Problem).and_then(|path| ctx.live.pages.get(path));
    let body = match (page, form) {
        (Some(page), _) => {
            head.insert_header(CONTENT_TYPE, page.kind.as_str())?;
            page.filled(status, request_id)
        }
        (None, Form::Text) => {
            head.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
            match told.text {
                Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
                Cow::Owned(text) => text.into(),
            }
        }
        (None, Form::Html) => {
            head.insert_header(CONTENT_TYPE, "text/html; charset=utf-8")?;
            head.insert_header(CONTENT_SECURITY_POLICY, "default-src 'none'")?;
            plain_page(&told, request_id).into()
        }
        (None, Form::Problem) => {
            head.insert_header(CONTENT_TYPE, PROBLEM)?;
            problem(&told, request_id)
        }
    };
    if form != Form::Text || page.is_some() {
        head.insert_header(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    }
    head.insert_header(CONTENT_LENGTH, body.len())?;
    Ok(body)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Problem,
}

impl Form {
    fn chosen(format: ErrorFormat, request: &Parts) -> Self {
        match format {
            ErrorFormat::Text => Self::Text,
            ErrorFormat::Html => Self::Html,
            ErrorFormat::ProblemJson => Self::Problem,
            // Who asks for JSON understands this kind of it.
            ErrorFormat::Auto => {
                match accept::media_type(
                    &request.headers,
                    &["text/plain", "text/html", PROBLEM, "application/json"],
                ) {
                    Some("text/html") => Self::Html,
                    Some(PROBLEM | "application/json") => Self::Problem,
                    _ => Self::Text,
                }
            }
        }
    }
}

fn plain_page(told: &Told, request_id: &str) -> String {
    let status = told.status;
    let title = html::escape(status.canonical_reason().unwrap_or("Error"));
    let id = if request_id.is_empty() {
        String::new()
    } else {
        format!("<p>Request ID: <code>{}</code></p>\n", html::escape(request_id))
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{code} {title}</title>\n\
         </head>\n<body>\n<h1>{code} {title}</h1>\n<p>{text}</p>\n{id}</body>\n</html>\n",
        code = status.as_u16(),
        text = html::escape(told.text.trim_end()),
    )
}

/// RFC 9457 section 3; `about:blank` stands for what the status says.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
}

fn problem(told: &Told, request_id: &str) -> Bytes {
    let problem = Problem {
        r#type: "about:blank",
        title: told.status.canonical_reason().unwrap_or("Error"),
        status: told.status.as_u16(),
        detail: told.text.trim_end(),
        request_id,
    };
    // Writing strings and a number into memory can't fail.
    serde_json::to_vec(&problem).unwrap_or_default().into()
}

const PROBLEM: &str = "application/problem+json";
/// What a page may have filled in.
const STATUS: &str = "{{status}}";
const REQUEST_ID: &str = "{{request_id}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_by_what_the_client_accepts() {
        let form = |accept: Option<&str>| {
            let mut request = http::Request::builder();
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            Form::chosen(ErrorFormat::Auto, &request.body(()).unwrap().into_parts().0)
        };
        assert_eq!(form(None), Form::Text);
        assert_eq!(form(Some("*/*")), Form::Text);
        assert_eq!(form(Some("image/png")), Form::Text);
        assert_eq!(form(Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")), Form::Html);
        assert_eq!(form(Some("application/json")), Form::Problem);
        assert_eq!(form(Some("application/json, text/plain, */*")), Form::Text);
        assert_eq!(form(Some("application/problem+json")), Form::Problem);
    }

    #[test]
    fn a_problem_has_the_members_of_the_standard_and_the_requests_id() {
        let told = Told::of(StatusCode::NOT_FOUND);
        let problem: serde_json::Value = serde_json::from_slice(&problem(&told, "abc")).unwrap();
        assert_eq!(
            problem,
            serde_json::json!({ "type": "about:blank", "title": "Not Found", "status": 404, "detail": "not found", "request_id": "abc" })
        );
    }

    #[test]
    fn an_id_is_no_markup() {
        let page = plain_page(&Told::of(StatusCode::NOT_FOUND), "<b>");
        assert!(
            page.contains("404 Not Found") && page.contains("&lt;b&gt;") && !page.contains("<b>"),
            "{page}"
        );
    }
}
