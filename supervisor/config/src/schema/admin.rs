//! The table of the admin API.

use super::Schema;

pub(crate) static ADMIN: Schema = Schema {
    title: "[admin]",
    keys: &["socket"],
    shared: &[],
    known_as: &[("listen", "socket"), ("address", "socket"), ("path", "socket"), ("unix", "socket")],
    planned: &["tokens", "tls"],
};
