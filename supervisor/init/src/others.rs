//! The children besides the main one: found, asked to end, killed.
//!
//! Owns who was asked already. As PID 1 one kill(-1) reaches them all; elsewhere that would reach
//! strangers, so only our own children are named. See kill(2), proc(5) on task/TID/children.
#![expect(clippy::disallowed_methods, reason = "what the kernel shows in /proc and /sys")]

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Read;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The remaining children.
#[derive(Debug, Default)]
pub(crate) struct Others {
    asked: BTreeSet<i32>,
    asked_all: bool,
}

impl Others {
    /// Sends TERM, once to each. Call it again after reaping: whoever lost its parent became ours.
    pub(crate) fn ask_to_end(&mut self) {
        if is_pid_1() {
            if !self.asked_all {
                self.asked_all = true;
                let _ = kill(EVERYONE, Signal::SIGTERM);
            }
            return;
        }
        for pid in children() {
            if self.asked.insert(pid) {
                // Gone already is fine.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
    }

    /// A child was reaped: its pid may come back as another one's.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.asked.remove(&pid.as_raw());
    }

    /// Sends KILL to all.
    pub(crate) fn kill() {
        if is_pid_1() {
            let _ = kill(EVERYONE, Signal::SIGKILL);
            return;
        }
        for pid in children() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Whether this process is the init of its pid namespace.
pub(crate) fn is_pid_1() -> bool {
    Pid::this().as_raw() == 1
}

/// Our children by pid; empty where the kernel doesn't list them.
fn children() -> Vec<i32> {
    let pid = Pid::this();
    let mut text = String::new();
    let read = OpenOptions::new()
        .read(true)
        .open(format!("/proc/self/task/{pid}/children"))
        .and_then(|mut file| file.read_to_string(&mut text));
    match read {
        // 0 and below would name groups.
        Ok(_) => {
            text.split_whitespace().filter_map(|word| word.parse().ok()).filter(|pid| *pid > 0).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Every process this one may signal, itself excepted.
const EVERYONE: Pid = Pid::from_raw(-1);
