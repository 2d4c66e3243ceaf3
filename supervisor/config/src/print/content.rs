//! Settings of what is sent, as they are written.

use super::{list, path, quoted, size};
use crate::{Coding, Compression, Errors, StaticFiles};

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

/// The value of `compression`.
pub(super) fn compression(settings: Option<&Compression>) -> String {
    let Some(settings) = settings else { return quoted("off") };
    let types = settings.types.iter().map(|range| quoted(&range.to_string()));
    format!(
        "{{ algorithms = {}, types = {}, min_size = {}, level = {}, personal = {} }}",
        codings(&settings.algorithms),
        list(types),
        quoted(&size::print(settings.min_size)),
        quoted(settings.level.name()),
        settings.personal
    )
}

/// The table of `errors`.
pub(super) fn errors(errors: &Errors) -> String {
    let pages = errors.pages.iter();
    let pages: Vec<_> = pages.map(|(statuses, page)| format!("\"{statuses}\" = {}", path(page))).collect();
    let pages = if pages.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pages.join(", ")) };
    let intercept = list(errors.intercept.iter().map(|range| quoted(&range.to_string())));
    format!("{{ format = {}, pages = {pages}, intercept = {intercept} }}", quoted(errors.format.name()))
}
