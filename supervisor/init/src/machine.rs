//! When to forward, when to kill, when to leave: the life of PID 1 as a pure state machine.
//!
//! Owns phases and deadlines; takes the clock and events, gives acts, makes no system call.

use std::time::{Duration, Instant};

use fluxheim_config::exit;
use nix::sys::signal::Signal;

/// What the supervisor shall do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Send this signal to the main child.
    Forward(i32),
    /// The main child used up its time to stop.
    KillMain,
    /// The main child never handed in its report.
    KillSilent,
    /// The main child is gone: ask the remaining children to end.
    TermOthers,
    /// They had their time too.
    KillOthers,
}

/// The life of one supervised child and of whatever it leaves behind.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    /// From the first request to stop until KILL.
    stop_budget: Duration,
    /// What to exit with once our KILL has ended the main child.
    verdict: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The main child lives and owes its report.
    Starting {
        report_by: Instant,
        stop_by: Option<Instant>,
    },
    /// The main child lives.
    Running {
        stop_by: Option<Instant>,
    },
    /// The main child got KILL.
    Killed,
    /// The main child is gone, others were asked to end.
    Draining {
        code: u8,
        kill_at: Instant,
    },
    /// The others got KILL.
    Killing {
        code: u8,
        leave_at: Instant,
    },
    Over {
        code: u8,
    },
}

impl Machine {
    /// A child was just started; `stop_timeout` is what the runtime allows for stopping.
    pub(crate) fn new(now: Instant, stop_timeout: Duration) -> Self {
        let phase = Phase::Starting { report_by: now + REPORT_TIMEOUT, stop_by: None };
        Self { phase, stop_budget: stop_budget(stop_timeout), verdict: None }
    }

    /// The time from a request to stop until KILL.
    pub(crate) fn stop_budget(&self) -> Duration {
        self.stop_budget
    }

    /// The report arrived; `false` when none is owed any more.
    pub(crate) fn reported(&mut self) -> bool {
        let Phase::Starting { stop_by, .. } = self.phase else { return false };
        self.phase = Phase::Running { stop_by };
        true
    }

    /// The child gets KILL, and `code` is what to exit with.
    pub(crate) fn refuse(&mut self, code: u8) {
        self.verdict = Some(code);
        if matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. }) {
            self.phase = Phase::Killed;
        }
    }

    /// A signal for us arrived.
    pub(crate) fn signal(&mut self, signal: i32, now: Instant) -> Option<Act> {
        let (Phase::Starting { stop_by, .. } | Phase::Running { stop_by }) = &mut self.phase else {
            return None;
        };
        if STOPS.iter().any(|stop| *stop as i32 == signal) && stop_by.is_none() {
            *stop_by = Some(now + self.stop_budget);
        }
        Some(Act::Forward(signal))
    }

    /// The main child ended.
    pub(crate) fn main_ended(&mut self, code: u8, now: Instant) -> Act {
        let kill_at = match self.phase {
            Phase::Starting { stop_by: Some(at), .. } | Phase::Running { stop_by: Some(at) } => at,
            // Its time is used up; the others get what is left before the runtime's own KILL.
            Phase::Killed => now + LAST_MOMENT,
            _ => now + self.stop_budget,
        };
        // Any other code is of an end that came before our KILL.
        let code = if code == KILLED { self.verdict.unwrap_or(code) } else { code };
        self.phase = Phase::Draining { code, kill_at };
        Act::TermOthers
    }

    /// No child is left.
    pub(crate) fn nobody_left(&mut self) {
        if let Phase::Draining { code, .. } | Phase::Killing { code, .. } = self.phase {
            self.phase = Phase::Over { code };
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Act> {
        match self.phase {
            Phase::Starting { stop_by: Some(at), .. } | Phase::Running { stop_by: Some(at) } if at <= now => {
                self.phase = Phase::Killed;
                Some(Act::KillMain)
            }
            Phase::Starting { report_by, .. } if report_by <= now => {
                self.refuse(exit::INTERNAL);
                Some(Act::KillSilent)
            }
            Phase::Draining { code, kill_at } if kill_at <= now => {
                self.phase = Phase::Killing { code, leave_at: now + LAST_MOMENT };
                Some(Act::KillOthers)
            }
            Phase::Killing { code, leave_at } if leave_at <= now => {
                self.phase = Phase::Over { code };
                None
            }
            _ => None,
        }
    }

    /// When [`Machine::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { report_by, stop_by } => Some(stop_by.map_or(report_by, |at| at.min(report_by))),
            Phase::Running { stop_by } => stop_by,
            Phase::Killed | Phase::Over { .. } => None,
            Phase::Draining { kill_at: at, .. } | Phase::Killing { leave_at: at, .. } => Some(at),
        }
    }

    /// Whether the main child got our KILL.
    pub(crate) fn has_killed(&self) -> bool {
        self.phase == Phase::Killed
    }

    /// Whether the others are being ended.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Killing { .. })
    }

    /// Whether the main child was asked to stop, or is gone.
    pub(crate) fn is_stopping(&self) -> bool {
        !matches!(self.phase, Phase::Starting { stop_by: None, .. } | Phase::Running { stop_by: None })
    }

    /// The code to exit with, once all is over.
    pub(crate) fn over(&self) -> Option<u8> {
        if let Phase::Over { code } = self.phase { Some(code) } else { None }
    }
}

/// Our KILL must come before the runtime's, which takes us along without a word.
fn stop_budget(stop_timeout: Duration) -> Duration {
    stop_timeout.saturating_sub(MARGIN.min(stop_timeout / 10))
}

/// What runtimes and people stop with.
const STOPS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// How a main child ends that got our KILL.
const KILLED: u8 = exit::SIGNAL_BASE + 9;

/// For the message and for reaping after KILL.
const MARGIN: Duration = Duration::from_millis(500);

/// A killed process is gone in far less, unless it hangs in the kernel; then nothing helps.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// The report is the proxy's first act; this covers a very slow disk.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
