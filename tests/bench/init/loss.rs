//! TERM at the worst moment: the init has just forked, the child has hardly begun.
//!
//! Owns the counting. A child that is still there after [`BOUND`] has lost its TERM for good: nobody
//! sends another one.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::contestant::{Contestant, Place};
use crate::running::{Running, first_child};

pub(crate) fn early_term(contestants: &[Contestant]) {
    let plain = tried(contestants, Place::Plain);
    let first = tried(contestants, Place::First);
    println!("Of {TRIES} each, in turn; lost: the child is still running {} s later.\n", BOUND.as_secs());
    println!("| init | lost, as a plain process | lost, as PID 1 | ended by something else |");
    println!("|---|---|---|---|");
    for ((contestant, plain), first) in contestants.iter().zip(&plain).zip(&first) {
        let otherwise = plain.otherwise + first.otherwise;
        println!("| {} | {} | {} | {otherwise} |", contestant.name, plain.lost, first.lost);
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    lost: usize,
    /// Neither by the TERM nor never: a code that isn't the one of an end by TERM.
    otherwise: usize,
}

/// One TERM that was sent.
struct Sent {
    whose: usize,
    running: Running,
    at: Instant,
}

fn tried(contestants: &[Contestant], place: Place) -> Vec<Count> {
    let mut counts = vec![Count::default(); contestants.len()];
    let mut pending = Vec::new();
    for _ in 0..TRIES {
        for (whose, contestant) in contestants.iter().enumerate() {
            let running = Running::start(contestant, place, "start");
            first_child(running.init);
            running.signal(Signal::SIGTERM);
            pending.push(Sent { whose, running, at: Instant::now() });
        }
        // Those that lost theirs are asleep: they disturb nobody while the next ones are tried.
        pending = judged(pending, &mut counts);
    }
    while !pending.is_empty() {
        std::thread::sleep(Duration::from_millis(20));
        pending = judged(pending, &mut counts);
    }
    counts
}

/// Counts what is decided; gives back what isn't yet.
fn judged(pending: Vec<Sent>, counts: &mut [Count]) -> Vec<Sent> {
    let mut open = Vec::new();
    for sent in pending {
        let count = &mut counts[sent.whose];
        if sent.running.is_over() {
            let (_, code) = sent.running.end();
            count.otherwise += usize::from(code != ENDED_BY_TERM);
        } else if sent.at.elapsed() > BOUND {
            count.lost += 1;
        } else {
            open.push(sent);
        }
    }
    open
}

const TRIES: usize = 1000;
/// Hundreds of times what a delivered one takes.
const BOUND: Duration = Duration::from_secs(1);
const ENDED_BY_TERM: i32 = 128 + 15;
