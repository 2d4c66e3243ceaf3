//! The one loop: signals, ended children, the proxy's messages, health questions, deadlines.
//!
//! Owns waiting: nothing else in this program blocks or reaps. Decides by [`Machine`] alone. The main
//! child's pid can't be another's before we reap it, so kill(2) needs no pidfd.

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
    main: Pid,
    /// Until it is reaped; from then on its pid may be anyone's.
    main_is_ours: bool,
    handoff: Option<InitEnd>,
    machine: Machine,
    others: Others,
    door: Option<Door>,
}

impl Supervisor {
    pub(crate) fn new(
        signals: Signals,
        main: Pid,
        handoff: InitEnd,
        stop_timeout: Duration,
        door: Option<Door>,
    ) -> Self {
        let machine = Machine::new(Instant::now(), stop_timeout);
        Self {
            signals,
            main,
            main_is_ours: true,
            handoff: Some(handoff),
            machine,
            others: Others::default(),
            door,
        }
    }

    /// Waits until something happens, and deals with it.
    ///
    /// # Errors
    /// When polling or reading signals fails, which leaves nothing to go on with.
    pub(crate) fn turn(&mut self) -> nix::Result<Turn> {
        self.wait()?;
        self.take_signals()?;
        // Messages first: what an ended child said last is still heard.
        let report = self.hear();
        self.reap()?;
        self.serve_door();
        if let Some(act) = self.machine.tick(Instant::now()) {
            self.act(act);
        }
        Ok(match (self.machine.over(), report) {
            (Some(code), _) => Turn::Over(code),
            // Of an ended process there is nothing left to read back.
            (None, Some(report)) if self.main_is_ours => Turn::Report(report),
            (None, _) => Turn::Nothing,
        })
    }

    /// The proxy may open its secrets.
    pub(crate) fn go(&mut self, report: &Report) {
        if let Some(door) = &mut self.door {
            door.remember(report);
        }
        let go = Verdict::Go(Posture::from(report));
        let sent = self.handoff.as_ref().map_or(Err(HandoffError::Closed), |end| end.answer(go));
        if let Err(error) = sent {
            say::line(error);
        }
    }

    /// Whether the main child has ended, though not been reaped yet.
    pub(crate) fn main_has_ended(&self) -> bool {
        !self.main_is_ours || sys::has_ended(self.main)
    }

    /// The proxy may not; it is killed, and `code` is what to exit with.
    ///
    /// Killed rather than told, so that no other code of its own can come in between.
    pub(crate) fn refuse(&mut self, code: u8) {
        self.machine.refuse(code);
        self.send(Signal::SIGKILL as i32);
    }

    fn wait(&self) -> nix::Result<()> {
        let due = [self.machine.due(), self.door.as_ref().and_then(Door::due)].into_iter().flatten().min();
        let handoff = self.handoff.iter().map(AsFd::as_fd);
        let door = self.door.iter().flat_map(Door::fds);
        let mut fds: Vec<_> = std::iter::once(self.signals.as_fd())
            .chain(handoff)
            .chain(door)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, timeout(due)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn take_signals(&mut self) -> nix::Result<()> {
        while let Some(signal) = self.signals.next()? {
            if signal == Signal::SIGCHLD as i32 {
                continue;
            }
            if let Some(act) = self.machine.signal(signal, Instant::now()) {
                self.act(act);
            }
        }
        Ok(())
    }

    fn reap(&mut self) -> nix::Result<()> {
        loop {
            match sys::reap() {
                Ok(Some(ended)) => self.ended(ended),
                Ok(None) => break,
                Err(Errno::ECHILD) => {
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
        if pid != self.main {
            return;
        }
        self.main_is_ours = false;
        let told = self.machine.has_killed();
        let act = self.machine.main_ended(code_of(how), Instant::now());
        if let How::Signalled(signal) = how
            && !told
        {
            say::line(format_args!("the proxy was ended by {}", name_of(signal)));
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
        say::line("ready");
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
            Act::Forward(signal) => self.send(signal),
            Act::Unheard(signal) => say::line(format_args!(
                "{} is ignored; the proxy takes TERM, INT, QUIT and HUP",
                name_of(signal)
            )),
            Act::KillMain => {
                self.send(Signal::SIGKILL as i32);
                let budget = self.machine.stop_budget().as_secs_f32();
                say::line(format_args!(
                    "the proxy is still there {budget} s after it was asked to stop; killing it"
                ));
            }
            Act::KillSilent => {
                self.send(Signal::SIGKILL as i32);
                say::line("the program never handed in its report; is it a Fluxheim proxy of this version?");
            }
            Act::TermOthers => self.others.ask_to_end(),
            Act::KillOthers => {
                Others::kill();
                say::line("processes left behind by the proxy don't end; killing them");
            }
        }
    }

    fn send(&self, signal: i32) {
        if !self.main_is_ours {
            return;
        }
        if let Err(errno) = sys::send_signal(self.main, signal) {
            say::line(format_args!("{} can't be forwarded: {errno}", name_of(signal)));
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

fn name_of(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.to_string())
}

/// Rounded up, so that a deadline has passed when poll returns.
fn timeout(due: Option<Instant>) -> PollTimeout {
    let Some(due) = due else { return PollTimeout::NONE };
    let left = due.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// Messages heard in one turn; the rest waits for the next, at once.
const MOST_MESSAGES: usize = 32;

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
