//! The tables of files, compression and error pages.

use super::Schema;

pub(crate) static STATIC: Schema = Schema {
    title: "[vhosts.routes.static]",
    keys: &["root", "index", "listing", "precompressed", "fallback", "hidden", "cache_control"],
    shared: &[],
    known_as: &[
        ("path", "root"),
        ("folder", "root"),
        ("autoindex", "listing"),
        ("browse", "listing"),
        ("gzip_static", "precompressed"),
        ("try_files", "fallback"),
        ("spa", "fallback"),
        ("dotfiles", "hidden"),
        ("expires", "cache_control"),
    ],
    planned: &[],
};
pub(crate) static COMPRESSION: Schema = Schema {
    title: "[defaults.compression]",
    keys: &["algorithms", "types", "min_size", "level", "personal"],
    shared: &[],
    known_as: &[
        ("formats", "algorithms"),
        ("encodings", "algorithms"),
        ("gzip_types", "types"),
        ("mime_types", "types"),
        ("min_length", "min_size"),
        ("gzip_min_length", "min_size"),
        ("gzip_comp_level", "level"),
        ("quality", "level"),
        ("breach", "personal"),
    ],
    planned: &[],
};
pub(crate) static ERRORS: Schema = Schema {
    title: "[defaults.errors]",
    keys: &["format", "pages", "intercept"],
    shared: &[],
    known_as: &[
        ("error_page", "pages"),
        ("status", "pages"),
        ("intercept_errors", "intercept"),
        ("proxy_intercept_errors", "intercept"),
        ("handle_response", "intercept"),
    ],
    planned: &[],
};
