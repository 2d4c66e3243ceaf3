//! What is sent besides what upstreams say: files.
//!
//! Owns the types of these settings and their defaults; values from a file are made by `sections`.

use std::path::PathBuf;

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
