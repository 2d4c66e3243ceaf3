//! What becomes of processes the main child leaves behind: one that needs a moment to stop, and a
//! thousand that are to be reaped.
//!
//! Owns the counting. All inits run as PID 1 of a pid namespace here, as in a container: dumb-init adopts
//! orphans nowhere else.

use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::contestant::{Contestant, Place};
use crate::running::{Running, children};

pub(crate) fn left_behind(contestants: &[Contestant]) {
    println!(
        "Straggler: a process in a session of its own that needs 0.3 s after TERM, while the main child"
    );
    println!(
        "ends at once. Zombies: of 1,000 orphans that ended, those not reaped 0.5 s later; with no init"
    );
    println!("and the child itself as PID 1 they are {}.\n", zombies(&Contestant::none()));
    println!("| init | stragglers finished | killed | zombies left |\n|---|---|---|---|");
    for contestant in contestants {
        let finished = stragglers(contestant);
        let killed = STRAGGLERS - finished;
        println!("| {} | {finished} | {killed} | {} |", contestant.name, zombies(contestant));
    }
}

/// How many of [`STRAGGLERS`] could finish.
fn stragglers(contestant: &Contestant) -> usize {
    let mut all: Vec<_> =
        (0..STRAGGLERS).map(|_| Running::start(contestant, Place::First, "straggler")).collect();
    for running in &mut all {
        // "waiting" of the one and "started" of the other, in any order.
        running.line();
        running.line();
    }
    for running in &all {
        running.signal(Signal::SIGTERM);
    }
    all.into_iter().map(Running::end).filter(|(said, _)| said.contains("finished")).count()
}

fn zombies(contestant: &Contestant) -> usize {
    let mut running = Running::start(contestant, Place::First, "orphans");
    // Said when all of them have been made.
    running.line();
    std::thread::sleep(Duration::from_millis(500));
    children(running.init).into_iter().filter(|pid| is_zombie(*pid)).count()
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

const STRAGGLERS: usize = 10;
