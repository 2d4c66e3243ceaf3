//! The table of the admin API.

use super::Schema;

pub(crate) static ADMIN: Schema = Schema {
    title: "[admin]",
    keys: &["socket"],
    shared: &[],
    known_as: &[("path", "socket"), ("unix", "socket")],
    planned: &["listen", "tokens", "tls"],
};
