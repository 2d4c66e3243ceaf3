//! Names of header fields as applications read them.

use std::borrow::Cow;

/// `name` with dashes in place of what CGI, WSGI and PHP can't tell from them: to all of these `X_User` is
/// `X-User`, and so is `X.User` to PHP.
#[must_use]
pub fn dashed(name: &str) -> Cow<'_, str> {
    match name.contains(['_', '.']) {
        true => Cow::Owned(name.replace(['_', '.'], "-")),
        false => Cow::Borrowed(name),
    }
}
