//! What is sent besides what upstreams say: files, answers to failures, and the packing of responses.
//!
//! Owns the types of these settings and their defaults; values from a file are made by `sections`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::StatusRange;

/// `static` of a route: which files are served, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFiles {
    /// The folder; nothing outside of it is ever served.
    pub root: PathBuf,
    /// File names tried for a folder, in this order. Default `index.html`.
    pub index: Vec<String>,
    /// Whether a folder without such a file is listed. Default false.
    pub listing: bool,
    /// Codings whose files are looked for beside the plain one (`a.css.br`), best first. Default none.
    pub precompressed: Vec<Coding>,
    /// Path, from the root, of the file served for paths where nothing is.
    pub fallback: Option<String>,
    /// Whether names that begin with a dot are served. Default false.
    pub hidden: bool,
    /// Value of `Cache-Control`.
    pub cache_control: Option<String>,
}

impl StaticFiles {
    /// The files of a folder, with default settings.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self {
            root,
            index: vec!["index.html".to_owned()],
            listing: false,
            precompressed: Vec::new(),
            fallback: None,
            hidden: false,
            cache_control: None,
        }
    }
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    /// RFC 8878
    Zstd,
    /// RFC 7932
    Brotli,
    /// RFC 1952
    Gzip,
}

impl Coding {
    /// Every coding, the one that packs best for its cost first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its registered name, which the configuration uses too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What names of files in it end with, after the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Brotli => "br",
            Self::Gzip => "gz",
        }
    }
}

/// `compression`: which responses are packed on their way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// Best first; never empty. Default all.
    pub algorithms: Vec<Coding>,
    /// Which media types; never empty.
    pub types: Vec<MediaRange>,
    /// Bytes below which a response is sent as it is. Default 1 KiB.
    pub min_size: u64,
    pub level: CompressionLevel,
    /// Whether responses are packed that may hold secrets beside what somebody else chose (BREACH). Default
    /// false.
    pub personal: bool,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            algorithms: Coding::ALL.to_vec(),
            types: MediaRange::packable(),
            min_size: 1 << 10,
            level: CompressionLevel::Balanced,
            personal: false,
        }
    }
}

/// How hard it is tried; each step costs several times the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CompressionLevel {
    Fast,
    Balanced,
    Best,
}

impl CompressionLevel {
    /// Every level, the cheapest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Balanced, Self::Best];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Best => "best",
        }
    }
}

/// Media types, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaRange {
    /// `text/html`
    Exact(String),
    /// `text/*` holds `text`.
    Kind(String),
    /// `+json` holds `json` (RFC 6838 section 4.2.8).
    Suffix(String),
}

impl MediaRange {
    /// Whether `kind/subtype`, in whatever case and without parameters, is one of these.
    #[must_use]
    pub fn holds(&self, media_type: &str) -> bool {
        match self {
            Self::Exact(exact) => media_type.eq_ignore_ascii_case(exact),
            Self::Kind(kind) => {
                media_type.split_once('/').is_some_and(|(found, _)| found.eq_ignore_ascii_case(kind))
            }
            Self::Suffix(suffix) => {
                media_type.rsplit_once('+').is_some_and(|(_, found)| found.eq_ignore_ascii_case(suffix))
            }
        }
    }

    /// Types whose content is text of some kind, or packs as well as that.
    #[must_use]
    pub fn packable() -> Vec<Self> {
        let exact = [
            "application/json",
            "application/javascript",
            "application/xml",
            "application/wasm",
            "application/yaml",
            "font/otf",
            "font/ttf",
            "image/svg+xml",
            "image/x-icon",
            "image/vnd.microsoft.icon",
        ];
        let exact = exact.map(|name| Self::Exact(name.to_owned()));
        let wide = [Self::Kind("text".into()), Self::Suffix("json".into()), Self::Suffix("xml".into())];
        wide.into_iter().chain(exact).collect()
    }
}

impl std::fmt::Display for MediaRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Kind(kind) => write!(f, "{kind}/*"),
            Self::Suffix(suffix) => write!(f, "+{suffix}"),
        }
    }
}

/// `errors`: how a failure is told to the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    pub format: ErrorFormat,
    /// Files sent in place of text and HTML.
    pub pages: BTreeMap<Statuses, PathBuf>,
    /// Statuses, 400 to 599, of upstreams' responses that are told in our words too. Default none.
    pub intercept: Vec<StatusRange>,
}

impl Errors {
    /// Whether a response of an upstream with this status is replaced.
    #[must_use]
    pub fn intercepts(&self, status: u16) -> bool {
        self.intercept.iter().any(|range| range.has(status))
    }

    /// The page for a status: that of the very one, else that of its class.
    #[must_use]
    pub fn page(&self, status: u16) -> Option<&Path> {
        let page = |statuses| self.pages.get(&statuses).map(PathBuf::as_path);
        page(Statuses::One(status)).or_else(|| page(Statuses::Class(status / 100)))
    }
}

/// The form of an answer to a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorFormat {
    /// What the client's `Accept` likes best; text where it says nothing.
    #[default]
    Auto,
    Text,
    Html,
    /// RFC 9457
    ProblemJson,
}

impl ErrorFormat {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Text, Self::Html, Self::ProblemJson];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Html => "html",
            Self::ProblemJson => "problem+json",
        }
    }
}

/// A status of an error, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statuses {
    /// 400 to 599
    One(u16),
    /// 4 or 5
    Class(u16),
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}
