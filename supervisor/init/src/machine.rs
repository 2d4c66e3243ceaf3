//! When to forward, when to kill, when to leave: the life of PID 1 as a pure state machine.
//!
//! Owns phases and deadlines; takes the clock and events, gives acts, makes no system call.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fluxheim_config::exit;
use nix::sys::signal::Signal;

use crate::meaning::{Meaning, meaning};

/// What the supervisor shall do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Send this signal to the main child.
    Forward(i32),
    /// Say that this signal does nothing here.
    Unheard(i32),
    /// Print the posture report, or that there is none yet.
    Report,
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
    /// The main child said that it handles signals and serves.
    ready: bool,
    /// A HUP came before that; one is as good as many.
    hangup: bool,
    /// Signals that were called unheard already.
    unheard: BTreeSet<i32>,
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
        Self {
            phase,
            stop_budget: stop_budget(stop_timeout),
            verdict: None,
            ready: false,
            hangup: false,
            unheard: BTreeSet::new(),
        }
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

    /// The child serves; a HUP that came too early for it is due now.
    pub(crate) fn ready(&mut self) -> Option<Act> {
        self.ready = true;
        let due = std::mem::take(&mut self.hangup) && self.main_runs();
        due.then_some(Act::Forward(HUP))
    }

    /// Whether the child ever said that it serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The child gets KILL, and `code` is what to exit with.
    pub(crate) fn refuse(&mut self, code: u8) {
        self.verdict = Some(code);
        if self.main_runs() {
            self.phase = Phase::Killed;
        }
    }

    /// A signal for us arrived. The main child gets those it has a handler for, no others: an
    /// unhandled one would end or stop it.
    pub(crate) fn signal(&mut self, signal: i32, now: Instant) -> Option<Act> {
        match meaning(signal) {
            Meaning::Stop => self.stop(signal, now),
            Meaning::StopAsTerm => self.stop(TERM, now),
            Meaning::Reload => self.reload(),
            Meaning::Report => Some(Act::Report),
            Meaning::Reserved | Meaning::Unheard => {
                self.unheard.insert(signal).then_some(Act::Unheard(signal))
            }
            Meaning::Reaping | Meaning::Silent | Meaning::Fault | Meaning::Uncatchable => None,
        }
    }

    fn stop(&mut self, signal: i32, now: Instant) -> Option<Act> {
        let (Phase::Starting { stop_by, .. } | Phase::Running { stop_by }) = &mut self.phase else {
            return None;
        };
        stop_by.get_or_insert(now + self.stop_budget);
        Some(Act::Forward(signal))
    }

    fn reload(&mut self) -> Option<Act> {
        if !self.main_runs() {
            return None;
        }
        self.hangup = !self.ready;
        self.ready.then_some(Act::Forward(HUP))
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

    /// Whether the others had their time.
    pub(crate) fn is_killing(&self) -> bool {
        matches!(self.phase, Phase::Killing { .. })
    }

    fn main_runs(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Running { .. })
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
    stop_timeout.saturating_sub(MARGIN)
}

/// What a stop is forwarded as when the proxy doesn't know the signal.
const TERM: i32 = Signal::SIGTERM as i32;

/// Asks for a reload.
const HUP: i32 = Signal::SIGHUP as i32;

/// How a main child ends that got our KILL.
const KILLED: u8 = exit::SIGNAL_BASE + 9;

/// For reaping after KILL: a last moment for the others, one more after theirs, and one to leave in.
///
/// The configuration keeps a second of `stop_timeout` clear of the drain. Three quarters of it stay
/// the proxy's: it takes up to 0.6 s of its own around the drain (src/app/drain.rs).
const MARGIN: Duration = Duration::from_millis(250);

/// A killed process is gone in far less, unless it hangs in the kernel; then nothing helps.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// The report is the proxy's first act; this covers a very slow disk.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
