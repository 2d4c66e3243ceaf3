//! `watch` and `watch_poll` of `[tls]`.

use std::time::Duration;

use crate::Watch;
use crate::flaw::{Flaw, show};
use crate::section::Section;
use crate::value::duration;

pub(super) fn read(section: &Section<'_>) -> Watch {
    let Watch { enabled, poll } = Watch::default();
    Watch {
        enabled: section.boolean("watch").or(enabled),
        poll: section.read("watch_poll", duration::EXPECTED, at_rest).or(poll),
    }
}

/// Looking takes a thread and a few system calls a file.
fn at_rest(text: &str) -> Result<Duration, Flaw> {
    let poll = duration::any(text)?;
    if poll < Duration::from_secs(1) {
        return Err(Flaw::new(format!("{} is too often: at least \"1s\"", show(text)))
            .help("changes on a local filesystem are seen at once, whatever this says"));
    }
    Ok(poll)
}
