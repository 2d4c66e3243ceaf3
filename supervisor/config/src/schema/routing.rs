//! The tables of what a route does and changes.

use super::Schema;

pub(crate) static REDIRECT: Schema = Schema {
    title: "redirect of a route",
    keys: &["to", "status"],
    shared: &[],
    known_as: &[("url", "to"), ("location", "to"), ("target", "to"), ("code", "status")],
    planned: &[],
};
pub(crate) static RESPOND: Schema = Schema {
    title: "respond of a route",
    keys: &["status", "body", "body_file", "content_type"],
    shared: &[],
    known_as: &[
        ("code", "status"),
        ("text", "body"),
        ("file", "body_file"),
        ("mime", "content_type"),
        ("type", "content_type"),
    ],
    planned: &[],
};
pub(crate) static REWRITE: Schema = Schema {
    title: "rewrite of a route",
    keys: &["strip_prefix", "add_prefix", "replace_prefix", "path"],
    shared: &[],
    known_as: &[("prefix_rewrite", "replace_prefix"), ("regex", "path"), ("uri", "path")],
    planned: &[],
};
pub(crate) static HEADER_EDITS: Schema = Schema {
    title: "edits of header fields",
    keys: &["set", "add", "remove"],
    shared: &[],
    known_as: &[
        ("append", "add"),
        ("delete", "remove"),
        ("del", "remove"),
        ("replace", "set"),
        ("hide", "remove"),
    ],
    planned: &[],
};
