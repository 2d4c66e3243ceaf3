//! One started init: its pid, its children, what the stand-in says, its end.
//!
//! Owns the processes; ends those it started, by pid, when it is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contestant::{Contestant, Place};

pub(crate) struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) init: Pid,
    ended: bool,
}

impl Running {
    pub(crate) fn start(contestant: &Contestant, place: Place, act: &str) -> Self {
        let mut process = contestant
            .command(place, act)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/bench init", contestant.name));
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let started = pid(process.id());
        let init = match place {
            Place::Plain => started,
            Place::First => first_child(started),
        };
        Self { process, stdout, init, ended: false }
    }

    /// The stand-in's next line; waits for it.
    pub(crate) fn line(&mut self) -> String {
        let mut polled = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        let waited = self.stdout.buffer().is_empty()
            && poll(&mut polled, PollTimeout::try_from(LIMIT).unwrap()).unwrap() == 0;
        let mut line = String::new();
        if waited || self.stdout.read_line(&mut line).unwrap() == 0 {
            panic!("the child under the init never spoke; the init said: {}", self.complaint());
        }
        line.trim_end().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Gone already is as good.
        let _ = kill(self.init, signal);
    }

    /// Whether every process that held the stand-in's stdout is gone.
    pub(crate) fn is_over(&self) -> bool {
        let mut polled = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).unwrap() > 0
    }

    /// Waits for that and gives what was still said and the exit code, 128+n for a signal.
    pub(crate) fn end(mut self) -> (String, i32) {
        use std::os::unix::process::ExitStatusExt;
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        let status = self.process.wait().unwrap();
        self.ended = true;
        (said, status.code().unwrap_or_else(|| 128 + status.signal().unwrap()))
    }

    fn complaint(&mut self) -> String {
        self.stop();
        let mut said = String::new();
        let _ = self.process.stderr.take().unwrap().read_to_string(&mut said);
        said
    }

    fn stop(&mut self) {
        // The children first: without their init they would be nobody's.
        for child in children(self.init) {
            let _ = kill(child, Signal::SIGKILL);
        }
        let _ = kill(self.init, Signal::SIGKILL);
        let _ = self.process.wait();
        self.ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.stop();
        }
    }
}

/// The first child of `parent`, as soon as it is there.
pub(crate) fn first_child(parent: Pid) -> Pid {
    // One descriptor, read again and again: what comes of it is seen within microseconds.
    let list = File::open(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let end = Instant::now() + LIMIT;
    let mut bytes = [0; 64];
    while Instant::now() < end {
        let length = list.read_at(&mut bytes, 0).unwrap_or(0);
        if let Some(first) = String::from_utf8_lossy(&bytes[..length]).split_whitespace().next() {
            return pid(first.parse().unwrap());
        }
    }
    panic!("process {parent} started no child");
}

pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    list.split_whitespace().map(|word| pid(word.parse().unwrap())).collect()
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed())
}

/// Only a broken fixture takes that long.
const LIMIT: Duration = Duration::from_secs(20);
