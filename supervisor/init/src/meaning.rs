//! What each signal means to this program: one table, the same as in docs/hardening.md.
//!
//! Owns the numbers, the meanings and the words for them; acts on nothing. See signal(7).

use nix::sys::signal::Signal;

/// What is done about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A stop that the proxy handles itself.
    Stop,
    /// A stop it has no handler for; it gets TERM.
    StopAsTerm,
    /// The proxy reads its configuration anew.
    Reload,
    /// The posture report is printed again.
    Report,
    /// May mean something one day, so nobody should get used to sending it.
    Reserved,
    /// A child ended.
    Reaping,
    /// Nothing, without a word.
    Silent,
    /// Not blocked, so never read from the descriptor.
    Fault,
    /// Can't be blocked, so the same.
    Uncatchable,
    /// Nothing, with a word.
    Unheard,
}

/// The meaning of any number.
pub(crate) fn meaning(signal: i32) -> Meaning {
    TABLE.iter().find(|row| row.signals.contains(&signal)).map_or(Meaning::Unheard, |row| row.meaning)
}

/// As signal(7) calls it.
pub(crate) fn name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(known) => known.to_string(),
        Err(_) if signal >= RTMIN => format!("SIGRTMIN+{}", signal - RTMIN),
        Err(_) => format!("signal {signal}"),
    }
}

/// One meaning and the signals that have it.
struct Row {
    signals: &'static [i32],
    meaning: Meaning,
    /// As the document has it.
    #[cfg_attr(not(test), expect(dead_code, reason = "kept beside the meaning, compared with the document"))]
    words: &'static str,
}

const TABLE: [Row; 10] = [
    Row {
        signals: &[Signal::SIGTERM as i32, Signal::SIGINT as i32, Signal::SIGQUIT as i32],
        meaning: Meaning::Stop,
        words: "forwarded at any time; the first starts the clock of `server.stop_timeout`, later ones don't change it",
    },
    Row {
        signals: &[Signal::SIGPWR as i32, HALT],
        meaning: Meaning::StopAsTerm,
        words: "the same, forwarded as TERM: how LXC and systemd ask the init of a container to halt",
    },
    Row {
        signals: &[Signal::SIGHUP as i32],
        meaning: Meaning::Reload,
        words: "forwarded; kept until the proxy is ready if it comes before, several as one",
    },
    Row {
        signals: &[Signal::SIGUSR1 as i32],
        meaning: Meaning::Report,
        words: "the posture report of the start is printed on stderr again; before there is one, a line that says so",
    },
    Row {
        signals: &[Signal::SIGUSR2 as i32],
        meaning: Meaning::Reserved,
        words: "reserved: ignored, with one line on stderr",
    },
    Row {
        signals: &[Signal::SIGCHLD as i32],
        meaning: Meaning::Reaping,
        words: "children that ended are reaped, orphans that came to `fluxheim-init` among them",
    },
    Row {
        // From a terminal in passing, or from our own write to a closed stderr or a full file: a line
        // for the latter would raise the next one.
        signals: &[
            Signal::SIGWINCH as i32,
            Signal::SIGCONT as i32,
            Signal::SIGTSTP as i32,
            Signal::SIGTTIN as i32,
            Signal::SIGTTOU as i32,
            Signal::SIGPIPE as i32,
            Signal::SIGXFSZ as i32,
        ],
        meaning: Meaning::Silent,
        words: "ignored",
    },
    Row {
        signals: &FAULTS,
        meaning: Meaning::Fault,
        words: "not blocked: raised by a fault of `fluxheim-init` itself, they end it",
    },
    Row {
        signals: &[Signal::SIGKILL as i32, Signal::SIGSTOP as i32],
        meaning: Meaning::Uncatchable,
        words: "up to the kernel: PID 1 gets them only from outside its pid namespace",
    },
    Row {
        signals: &[32, 33],
        meaning: Meaning::Uncatchable,
        words: "kept by the C library, so not blocked: PID 1 doesn't get them, elsewhere they end `fluxheim-init`",
    },
];

/// Raised by the failing instruction itself; the kernel ends a process that blocks them.
pub(crate) const FAULTS: [i32; 7] = [
    Signal::SIGSEGV as i32,
    Signal::SIGBUS as i32,
    Signal::SIGFPE as i32,
    Signal::SIGILL as i32,
    Signal::SIGTRAP as i32,
    Signal::SIGSYS as i32,
    Signal::SIGABRT as i32,
];

/// SIGRTMIN as glibc, Docker and systemd count: the two below it are the C library's own.
const RTMIN: i32 = 34;

/// SIGRTMIN+3: halt (systemd(1)).
const HALT: i32 = RTMIN + 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_same_table() {
        let page = include_str!("../../../docs/hardening.md");
        let (_, after) = page.split_once("| signal | what happens |").unwrap();
        let seen: Vec<&str> =
            after.lines().map(str::trim).skip(2).take_while(|line| !line.is_empty()).collect();
        let mut expected: Vec<String> = TABLE.iter().map(line).collect();
        expected
            .push("| other ones, real-time ones too | ignored, with one line on stderr for each |".into());
        assert_eq!(seen, expected);
    }

    fn line(row: &Row) -> String {
        let names: Vec<String> =
            row.signals.iter().map(|signal| name(*signal).trim_start_matches("SIG").to_owned()).collect();
        format!("| {} | {} |", names.join(", "), row.words)
    }

    #[test]
    fn no_signal_has_two_meanings() {
        for signal in 1..=64 {
            let rows = TABLE.iter().filter(|row| row.signals.contains(&signal)).count();
            assert!(rows <= 1, "{}", name(signal));
        }
    }

    #[test]
    fn halt_is_what_docker_and_systemd_send_for_it() {
        assert_eq!(name(37), "SIGRTMIN+3");
        assert_eq!(meaning(37), Meaning::StopAsTerm);
        assert_eq!(meaning(36), Meaning::Unheard);
        assert_eq!(libc::SIGRTMIN(), RTMIN, "another C library counts differently");
    }
}
