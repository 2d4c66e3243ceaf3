//! Settings of what is sent, as they are written.

use super::{list, path, quoted};
use crate::{Coding, StaticFiles};

/// The table of `static`.
pub(super) fn files(files: &StaticFiles) -> String {
    let mut keys = vec![
        format!("root = {}", path(&files.root)),
        format!("index = {}", list(files.index.iter().map(|name| quoted(name)))),
        format!("listing = {}", files.listing),
        format!("precompressed = {}", codings(&files.precompressed)),
        format!("hidden = {}", files.hidden),
    ];
    keys.extend(files.fallback.as_deref().map(|path| format!("fallback = {}", quoted(path))));
    keys.extend(files.cache_control.as_deref().map(|value| format!("cache_control = {}", quoted(value))));
    format!("{{ {} }}", keys.join(", "))
}

fn codings(codings: &[Coding]) -> String {
    list(codings.iter().map(|coding| quoted(coding.name())))
}
