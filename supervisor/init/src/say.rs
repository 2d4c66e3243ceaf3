//! Where lines for people and programs go.
//!
//! Owns the prefix on stderr and whether there is colour (no-color.org); a stderr that is closed, or
//! that nobody reads, never ends or holds up PID 1. See poll(2), pipe(7), tty(4).

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use fluxheim_config::exit;
use fluxheim_posture::Report;
use fluxheim_posture::report::Colour;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

/// Prints every line of `text` to stderr, prefixed; drops what stderr doesn't take at once.
///
/// As many whole lines in one write as fit: a report is twenty lines, and the proxy waits for it.
pub(crate) fn line(text: impl Display) {
    let stderr = io::stderr().lock();
    let terminal = stderr.is_terminal();
    for piece in pieces(&text.to_string()) {
        for part in piece.as_bytes().chunks(AT_ONCE) {
            // Nobody is left to tell when stderr is gone, or full.
            if !takes_more(stderr.as_fd()) || !put(stderr.as_fd(), part, terminal) {
                return;
            }
        }
    }
}

/// Writes what stderr takes at once; whether that was all of it.
fn put(stderr: BorrowedFd<'_>, part: &[u8], terminal: bool) -> bool {
    // A terminal is called writable long before it takes a whole piece; no other call of it doesn't wait.
    let before = if terminal { fcntl(stderr, FcntlArg::F_GETFL).ok() } else { None };
    let set = |flags| fcntl(stderr, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags)));
    if let Some(flags) = before {
        let _ = set(flags | OFlag::O_NONBLOCK.bits());
    }
    let written = write(stderr, part);
    if let Some(flags) = before {
        let _ = set(flags);
    }
    written.is_ok_and(|count| count == part.len())
}

/// Prints the report to stderr, in colour where that is a terminal.
pub(crate) fn report(report: &Report) {
    line(report.to_text(colour(&io::stderr())));
}

/// Whether reports on `stream` are coloured.
pub(crate) fn colour(stream: &impl IsTerminal) -> Colour {
    let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    colour_where(stream.is_terminal(), no_color.as_deref(), term.as_deref())
}

fn colour_where(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Colour {
    let unwanted = no_color.is_some_and(|value| !value.is_empty()) || term.is_some_and(|term| term == "dumb");
    if terminal && !unwanted { Colour::On } else { Colour::Off }
}

/// The lines, prefixed, several together up to [`AT_ONCE`] bytes; a longer line is a piece by itself.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for line in text.lines() {
        let prefixed = format!("fluxheim-init: {line}\n");
        match pieces.last_mut() {
            Some(last) if last.len() + prefixed.len() <= AT_ONCE => last.push_str(&prefixed),
            _ => pieces.push(prefixed),
        }
    }
    pieces
}

/// Asked rather than O_NONBLOCK, which reaches everyone who shares the description; on a terminal it
/// takes that too, for the moment of the write.
fn takes_more(stderr: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(stderr, PollFlags::POLLOUT)];
    matches!(poll(&mut asked, PollTimeout::ZERO), Ok(1..))
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

/// PIPE_BUF: a pipe that poll calls writable takes that much without waiting.
const AT_ONCE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_a_terminal_that_was_not_told_otherwise() {
        let given = |terminal, no_color: Option<&str>, term: Option<&str>| {
            colour_where(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert_eq!(given(true, None, Some("xterm")), Colour::On);
        assert_eq!(given(true, None, None), Colour::On);
        assert_eq!(given(true, Some(""), Some("xterm")), Colour::On);
        assert_eq!(given(true, Some("1"), Some("xterm")), Colour::Off);
        assert_eq!(given(true, Some("0"), Some("xterm")), Colour::Off);
        assert_eq!(given(true, None, Some("dumb")), Colour::Off);
        assert_eq!(given(false, None, Some("xterm")), Colour::Off);
    }

    #[test]
    fn joins_lines_up_to_what_a_pipe_takes_and_cuts_none() {
        assert_eq!(pieces("a\nb"), ["fluxheim-init: a\nfluxheim-init: b\n"]);
        let text = "x".repeat(1000) + "\n";
        let pieces = pieces(&text.repeat(9));
        assert_eq!(pieces.iter().map(|piece| piece.lines().count()).collect::<Vec<_>>(), [4, 4, 1]);
        assert!(pieces.iter().all(|piece| piece.len() <= AT_ONCE && piece.ends_with('\n')));
    }

    #[test]
    fn a_line_longer_than_a_pipe_takes_is_a_piece_by_itself() {
        let long = "x".repeat(AT_ONCE);
        let pieces = pieces(&format!("a\n{long}\nb"));
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), [17, AT_ONCE + 16, 17]);
    }

    #[test]
    fn says_nothing_for_no_line() {
        assert!(pieces("").is_empty());
    }
}
