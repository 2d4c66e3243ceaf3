//! Time from spawning an init to its child's first step, and the init's memory once that is done.
//!
//! Owns the arithmetic; the moments are read by the child itself, from the clock that is read here.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::contestant::{Contestant, Place};
use crate::running::Running;

/// All take turns, so that what disturbs the machine disturbs all alike.
pub(crate) fn start(contestants: &[Contestant]) {
    let mut executed = vec![Vec::new(); contestants.len()];
    let mut released = vec![Vec::new(); contestants.len()];
    for round in 0..WARM_UP + STARTS {
        for (at, contestant) in contestants.iter().enumerate() {
            let (exec, release) = timed(contestant);
            if round >= WARM_UP {
                executed[at].push(exec);
                released[at].push(release);
            }
        }
    }
    println!(
        "Milliseconds from spawn, {STARTS} starts of each, in turn. Released: the child may begin its work,"
    );
    println!("which under fluxheim-init is after the posture verdict, and else its first instruction.\n");
    println!("| init | child executed p50 | p95 | released p50 | p95 | over none p50 | p95 |");
    println!("|---|---|---|---|---|---|---|");
    let base = (quantile(&mut released[0], 50), quantile(&mut released[0], 95));
    for ((contestant, executed), released) in contestants.iter().zip(&mut executed).zip(&mut released) {
        let (exec, exec_95) = (quantile(executed, 50), quantile(executed, 95));
        let (p50, p95) = (quantile(released, 50), quantile(released, 95));
        let (over, over_95) = (p50 - base.0, p95 - base.1);
        println!(
            "| {} | {exec:.2} | {exec_95:.2} | {p50:.2} | {p95:.2} | {over:+.2} | {over_95:+.2} |",
            contestant.name
        );
    }
}

/// Milliseconds until the child ran, and until it was released.
fn timed(contestant: &Contestant) -> (f64, f64) {
    let began = now();
    let mut running = Running::start(contestant, Place::Plain, "start");
    let line = running.line();
    let moments: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [executed, released] = moments[..] else { panic!("{}: {line}", contestant.name) };
    running.signal(Signal::SIGTERM);
    running.end();
    let since = |moment: u64| (moment - began) as f64 / 1e6;
    (since(executed), since(released))
}

/// Of idle inits. Proportional is what each mapped page costs when shared with others who map it too.
pub(crate) fn memory(contestants: &[Contestant]) {
    println!("| init | resident | proportional | private |\n|---|---|---|---|");
    for contestant in contestants.iter().skip(1) {
        let mut seen: [Vec<f64>; 3] = Default::default();
        for _ in 0..MEMORY_RUNS {
            let mut running = Running::start(contestant, Place::Plain, "start");
            running.line();
            // What the init still does on the child's being ready belongs to it.
            std::thread::sleep(std::time::Duration::from_millis(50));
            for (all, kib) in seen.iter_mut().zip(usage(running.init)) {
                all.push(kib);
            }
            running.signal(Signal::SIGTERM);
            running.end();
        }
        let [resident, proportional, private] = seen.each_mut().map(|kib| quantile(kib, 50));
        println!("| {} | {resident:.0} KiB | {proportional:.0} KiB | {private:.0} KiB |", contestant.name);
    }
}

/// Resident, proportional and private KiB.
fn usage(pid: Pid) -> [f64; 3] {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let fields: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(name, rest)| Some((name, rest.split_whitespace().next()?.parse().ok()?)))
        .collect();
    [fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"]]
}

/// The value that `percent` of all don't exceed.
fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(time.tv_sec()).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap()
}

const STARTS: usize = 300;
const WARM_UP: usize = 10;
const MEMORY_RUNS: usize = 5;
