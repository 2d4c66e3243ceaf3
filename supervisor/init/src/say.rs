//! Where lines for people and programs go.
//!
//! Owns the prefix on stderr; a closed stdout or stderr never ends PID 1.

use std::fmt::Display;
use std::io::{self, Write};

use fluxheim_config::exit;

/// Prints every line of `text` to stderr, prefixed.
pub(crate) fn line(text: impl Display) {
    let mut prefixed = String::new();
    for line in text.to_string().lines() {
        prefixed.push_str("fluxheim-init: ");
        prefixed.push_str(line);
        prefixed.push('\n');
    }
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().lock().write_all(prefixed.as_bytes());
}

/// Prints `text` to stdout, ending in one newline.
///
/// Gives the exit code of a call whose whole purpose this was.
pub(crate) fn out(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Ok(()) => exit::OK,
        Err(error) => {
            line(format_args!("can't write to stdout: {error}"));
            exit::INTERNAL
        }
    }
}
