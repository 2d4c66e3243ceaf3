//! Children: started in a group of their own, waited for without being forgotten, ended as a group.
//!
//! Owns the order of those calls: a leader that has ended keeps its number, and so its group's, until it is reaped,
//! which comes last. Follows wait(2), kill(2), setpgid(2).

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fluxheim_posture::apply::end_with_starter;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::time::timeout;

use super::signals::Ended;

/// Those of this process.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// How many there are that were started here.
    started: Mutex<usize>,
}

/// The leader of a group.
pub(super) struct Leader<'a> {
    pub(super) child: Child,
    group: Pid,
    ended: Ended,
    all: &'a Children,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Status(ExitStatus),
    /// It took too long, and was ended.
    Late,
    /// It could not even be killed: something in the kernel holds it.
    Stuck,
}

impl Children {
    /// Starts `command` as the leader of a group.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(&self, command: &mut Command, ended: &Ended) -> io::Result<Leader<'_>> {
        let mut ended = ended.clone();
        ended.mark_unchanged();
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let command = end_with_starter(command.process_group(0));
        let child = command.spawn()?;
        *started += 1;
        let group = Pid::from_raw(child.id().cast_signed());
        Ok(Leader { child, group, ended, all: self })
    }

    /// Reaps what is left to this process, which as PID 1 of a container is whom orphans are left to, for as long as it
    /// is told of any.
    pub(super) async fn reap_all(&self, mut ended: Ended) {
        while ended.changed().await.is_ok() {
            self.reap(&self.started.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// `started` is held meanwhile: nothing is started.
    fn reap(&self, started: &usize) {
        // It could be the leader of a run.
        if *started > 0 {
            return;
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

impl Leader<'_> {
    /// Waits for its end, for as long as `limit`, and ends whatever is left of its group.
    pub(super) async fn finish(mut self, limit: Duration) -> End {
        let in_time = timeout(limit, self.gone()).await.is_ok();
        if !in_time {
            self.signal(Signal::SIGTERM);
            let _ = timeout(GRACE, self.gone()).await;
        }
        self.signal(Signal::SIGKILL);
        if timeout(GRACE, self.gone()).await.is_err() {
            return End::Stuck;
        }
        match (in_time, self.child.wait()) {
            (true, Ok(status)) => End::Status(status),
            (_, _) => End::Late,
        }
    }

    /// The leader too, which may have gone to another group: not reaped yet, its number is its own. What is gone
    /// can't be signalled, and need not be.
    fn signal(&self, signal: Signal) {
        let _ = killpg(self.group, signal);
        let _ = kill(self.group, signal);
    }

    async fn gone(&mut self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::Pid(self.group), flags) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
            // The word comes with every child; where none can come, it is looked at now and then.
            if !matches!(timeout(LOOK_AGAIN, self.ended.changed()).await, Ok(Ok(())) | Err(_)) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut started = self.all.started.lock().unwrap_or_else(PoisonError::into_inner);
        *started = started.saturating_sub(1);
        self.all.reap(&started);
    }
}

/// From TERM to KILL, and from there to giving up.
const GRACE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
