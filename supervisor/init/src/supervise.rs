//! The one loop: signals, ended children, the proxy's messages, health questions, deadlines.
//!
//! Owns waiting: nothing else in this program blocks or reaps. Decides by [`Machine`] alone. See
//! waitid(2), poll(2).

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fluxheim_config::exit;
use fluxheim_posture::Report;
use fluxheim_posture::handoff::{FromProxy, HandoffError, InitEnd, Posture, Verdict};
use fluxheim_posture::proxy::ProxyReport;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::health::{Door, Stage};
use crate::machine::{Act, Machine};
use crate::main_child::MainChild;
use crate::meaning::{Meaning, meaning, name};
use crate::notify::Notifier;
use crate::others::Others;
use crate::say;
use crate::signals::Signals;
use crate::sys::{self, Ended, How};

/// What a turn of the loop brought for the caller.
pub(crate) enum Turn {
    Nothing,
    /// The proxy hardened itself; it waits for [`Supervisor::go`] or [`Supervisor::refuse`].
    Report(Box<ProxyReport>),
    /// All children are gone; exit with this.
    Over(u8),
}

/// One started child and everything around it.
pub(crate) struct Supervisor {
    signals: Signals,
    main: MainChild,
    handoff: Option<InitEnd>,
    machine: Machine,
    others: Others,
    door: Option<Door>,
    notifier: Option<Notifier>,
    /// The report of the start, for people.
    report: Option<String>,
    /// More children may have ended than were reaped in this turn.
    more_to_reap: bool,
    told_of_stop: bool,
}

impl Supervisor {
    pub(crate) fn new(
        signals: Signals,
        main: Pid,
        handoff: InitEnd,
        stop_timeout: Duration,
        door: Option<Door>,
        notifier: Option<Notifier>,
    ) -> Self {
        let machine = Machine::new(Instant::now(), stop_timeout);
        let mut supervisor = Self {
            signals,
            main: MainChild::hold(main),
            handoff: Some(handoff),
            machine,
            others: Others::default(),
            door,
            notifier,
            report: None,
            more_to_reap: false,
            told_of_stop: false,
        };
        supervisor.notify("STATUS=starting: the proxy is being judged, and binds its listeners");
        supervisor
    }

    /// Waits until something happens, and deals with it.
    ///
    /// # Errors
    /// When polling or reading signals fails, which leaves nothing to go on with.
    pub(crate) fn turn(&mut self) -> nix::Result<Turn> {
        self.wait()?;
        self.take_signals()?;
        // Before the proxy's end, which a quick proxy brings about in the same turn.
        self.notify_of_stop();
        // Messages first: what an ended child said last is still heard.
        let report = self.hear();
        self.reap()?;
        self.serve_door();
        if let Some(act) = self.machine.tick(Instant::now()) {
            self.act(act);
        }
        if let Some(notifier) = &mut self.notifier {
            notifier.tick(Instant::now());
        }
        self.notify_of_stop();
        Ok(match (self.machine.over(), report) {
            (Some(code), _) => Turn::Over(code),
            // Of an ended process there is nothing left to read back.
            (None, Some(report)) if self.main.is_ours() => Turn::Report(report),
            (None, _) => Turn::Nothing,
        })
    }

    /// The proxy may open its secrets.
    pub(crate) fn go(&mut self, report: &Report) {
        if let Some(door) = &mut self.door {
            door.remember(report);
        }
        self.report = Some(report.to_string());
        let go = Verdict::Go(Posture::from(report));
        let sent = self.handoff.as_ref().map_or(Err(HandoffError::Closed), |end| end.answer(go));
        if let Err(error) = sent {
            say::line(error);
        }
    }

    /// Whether the main child has ended, though not been reaped yet.
    pub(crate) fn main_has_ended(&self) -> bool {
        self.main.has_ended()
    }

    /// The proxy may not; it is killed, and `code` is what to exit with.
    ///
    /// Killed rather than told, so that no other code of its own can come in between.
    pub(crate) fn refuse(&mut self, code: u8) {
        self.machine.refuse(code);
        self.main.send(Signal::SIGKILL as i32);
    }

    fn wait(&self) -> nix::Result<()> {
        let door_due = self.door.as_ref().and_then(Door::due);
        let notifier_due = self.notifier.as_ref().and_then(Notifier::due);
        let due = [self.machine.due(), door_due, notifier_due].into_iter().flatten().min();
        let timeout = if self.more_to_reap { PollTimeout::ZERO } else { timeout(due) };
        let handoff = self.handoff.iter().map(AsFd::as_fd);
        let door = self.door.iter().flat_map(Door::fds);
        let mut fds: Vec<_> = std::iter::once(self.signals.as_fd())
            .chain(handoff)
            .chain(door)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn take_signals(&mut self) -> nix::Result<()> {
        for _ in 0..MOST_SIGNALS {
            let Some(signal) = self.signals.next()? else { break };
            if let Some(act) = self.machine.signal(signal, Instant::now()) {
                self.act(act);
            }
        }
        Ok(())
    }

    fn reap(&mut self) -> nix::Result<()> {
        self.more_to_reap = true;
        for _ in 0..MOST_REAPED {
            match sys::reap() {
                Ok(Some(ended)) => self.ended(ended),
                Ok(None) => {
                    self.more_to_reap = false;
                    break;
                }
                Err(Errno::ECHILD) => {
                    self.more_to_reap = false;
                    self.machine.nobody_left();
                    return Ok(());
                }
                Err(errno) => return Err(errno),
            }
        }
        if self.machine.is_killing() {
            // Who lost its parent by our KILL is ours only now.
            Others::kill();
        } else if self.machine.is_draining() {
            self.others.ask_to_end();
        }
        Ok(())
    }

    fn ended(&mut self, Ended { pid, how }: Ended) {
        self.others.forget(pid);
        if !self.main.was(pid) {
            return;
        }
        let told = self.machine.has_killed();
        let act = self.machine.main_ended(code_of(how), Instant::now());
        if let How::Signalled(signal) = how
            && !told
        {
            say::line(format_args!("the proxy was ended by {}", name(signal)));
        }
        self.act(act);
    }

    fn hear(&mut self) -> Option<Box<ProxyReport>> {
        // Not "until there are none": a proxy gone wild must not keep us from signals.
        for _ in 0..MOST_MESSAGES {
            let heard = match self.handoff.as_ref()?.receive() {
                Ok(heard) => heard?,
                Err(error) => {
                    self.refuse_unless_running();
                    say::line(error);
                    return None;
                }
            };
            match heard {
                // The rest of the queue waits for the next turn, at once.
                FromProxy::Report(report) if self.machine.reported() => return Some(report),
                FromProxy::Report(_) => {}
                FromProxy::Ready if self.machine.is_ready() => {}
                FromProxy::Ready => self.proxy_is_ready(),
                FromProxy::State { id, state } => {
                    if let Some(door) = &mut self.door {
                        door.answered(id, state);
                    }
                }
                FromProxy::Gone => self.handoff = None,
            }
        }
        None
    }

    fn proxy_is_ready(&mut self) {
        if let Some(act) = self.machine.ready() {
            self.act(act);
        }
        say::line("the proxy is ready");
        if !self.machine.is_stopping() {
            self.notify("READY=1\nSTATUS=serving");
        }
    }

    fn notify(&mut self, state: &str) {
        if let Some(notifier) = &mut self.notifier {
            notifier.tell(state, Instant::now());
        }
    }

    fn notify_of_stop(&mut self) {
        if !self.machine.is_stopping() || std::mem::replace(&mut self.told_of_stop, true) {
            return;
        }
        let why = if self.main.is_ours() { "the proxy was asked to end" } else { "the proxy has ended" };
        self.notify(&format!("STOPPING=1\nSTATUS=stopping: {why}"));
    }

    /// Nonsense before the verdict means that there can be none; later it costs health answers only.
    fn refuse_unless_running(&mut self) {
        if self.machine.is_ready() {
            self.handoff = None;
        } else {
            self.refuse(exit::INTERNAL);
            self.handoff = None;
        }
    }

    fn serve_door(&mut self) {
        let Some(door) = &mut self.door else { return };
        let stage = match (self.machine.is_stopping(), self.machine.is_ready()) {
            (true, _) => Stage::Stopping,
            (false, true) => Stage::Serving,
            (false, false) => Stage::Starting,
        };
        let now = Instant::now();
        for id in door.serve(stage, now) {
            let asked = self.handoff.as_ref().map_or(Err(HandoffError::Closed), |end| end.ask(id));
            if asked.is_err() {
                door.unanswered(id);
            }
        }
        door.expire(now);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Forward(signal) => self.main.send(signal),
            Act::Unheard(signal) if meaning(signal) == Meaning::Reserved => {
                say::line(format_args!("{} is reserved, and ignored", name(signal)));
            }
            Act::Unheard(signal) => say::line(format_args!(
                "{} is ignored; TERM, INT, QUIT, PWR and RTMIN+3 stop, HUP reloads, USR1 prints the posture report",
                name(signal)
            )),
            Act::Report => match &self.report {
                Some(report) => say::line(report),
                None => say::line("no posture report yet: the proxy hasn't been judged"),
            },
            Act::KillMain => {
                self.main.send(Signal::SIGKILL as i32);
                let budget = self.machine.stop_budget().as_secs_f32();
                say::line(format_args!(
                    "the proxy is still there {budget} s after it was asked to stop; killing it"
                ));
            }
            Act::KillSilent => {
                self.main.send(Signal::SIGKILL as i32);
                say::line("the program never handed in its report; is it a Fluxheim proxy of this version?");
            }
            Act::TermOthers => self.others.ask_to_end(),
            Act::KillOthers => {
                Others::kill();
                say::line("processes left behind by the proxy don't end; killing them");
            }
        }
    }
}

/// As a shell tells it.
fn code_of(how: How) -> u8 {
    match how {
        How::Exited(code) => u8::try_from(code & 0xff).unwrap_or(exit::INTERNAL),
        How::Signalled(signal) => {
            u8::try_from(signal & 0x7f).map_or(exit::INTERNAL, |n| exit::SIGNAL_BASE + n)
        }
    }
}

/// Rounded up, so that a deadline has passed when poll returns.
pub(crate) fn timeout(due: Option<Instant>) -> PollTimeout {
    let Some(due) = due else { return PollTimeout::NONE };
    let left = due.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// Messages heard in one turn; the rest waits for the next, at once.
const MOST_MESSAGES: usize = 32;

/// The same for signals and ended children: a flood of one must not hold up the others, nor deadlines.
const MOST_SIGNALS: usize = 128;
const MOST_REAPED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_shell_s() {
        assert_eq!(code_of(How::Exited(3)), 3);
        assert_eq!(code_of(How::Signalled(15)), 143);
        assert_eq!(code_of(How::Signalled(64)), 192);
    }

    #[test]
    fn no_deadline_waits_for_events_alone() {
        assert_eq!(timeout(None), PollTimeout::NONE);
        assert_eq!(timeout(Some(Instant::now())), PollTimeout::ZERO);
    }
}
