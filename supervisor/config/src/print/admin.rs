//! `[admin]`.

use super::{Out, path};
use crate::Admin;

pub(super) fn admin(out: &mut Out, admin: &Admin) {
    out.table("[admin]");
    match &admin.socket {
        Some(socket) => out.key("socket", path(socket)),
        None => out.comment("socket", "(none)", "nobody is listened to"),
    }
}
