//! Mixed load with disturbances for as long as asked: memory stays flat, descriptors and threads come back, no
//! request is lost, and no 5xx is answered that a restarted origin doesn't explain.
//!
//! Half a minute by default, which every run of the tests takes part in; `scripts/soak` runs it for an hour.
//! Nothing in it depends on how fast the machine is: clients wait for answers, and only totals are judged.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests write their own fixtures; a failure here fails the test, which is the point"
)]

mod clients;
mod disturbances;
mod origin;
mod site;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the end-to-end tests, which need more of it")]
mod support;
mod tally;
mod watch;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use site::Site;
use tally::{Outcome, Tally};
use watch::{Footprint, Memory};

/// One kind of load: so many threads, each doing it again and again.
struct Load {
    name: &'static str,
    threads: usize,
    /// Between two times.
    rest: Duration,
    once: fn(&Site) -> Outcome,
}

const LOADS: &[Load] = &[
    Load { name: "kept connections", threads: 3, rest: Duration::ZERO, once: clients::kept },
    Load { name: "keep-alive off", threads: 2, rest: Duration::ZERO, once: clients::closing },
    Load { name: "HTTP/2", threads: 1, rest: Duration::ZERO, once: clients::http2 },
    Load { name: "TLS", threads: 1, rest: Duration::ZERO, once: clients::encrypted },
    Load { name: "uploads", threads: 2, rest: Duration::ZERO, once: clients::upload },
    Load { name: "slow readers", threads: 3, rest: Duration::ZERO, once: clients::slow_reader },
    Load { name: "WebSocket", threads: 2, rest: Duration::ZERO, once: clients::websocket },
    Load { name: "restarted origin", threads: 2, rest: Duration::from_millis(5), once: clients::restarted },
    Load { name: "aborted", threads: 2, rest: Duration::from_millis(10), once: disturbances::abort },
    Load { name: "malformed", threads: 1, rest: Duration::from_millis(5), once: disturbances::malformed },
    Load {
        name: "origin restarts",
        threads: 1,
        rest: Duration::from_secs(2),
        once: disturbances::restart_origin,
    },
    Load { name: "reloads", threads: 1, rest: Duration::from_secs(1), once: disturbances::reload },
    Load { name: "rotations", threads: 1, rest: Duration::from_secs(1), once: disturbances::rotate },
];

#[test]
fn stays_flat_under_mixed_load() {
    let lasting = Duration::from_secs(seconds());
    let site = Site::start();
    let tally = Tally::new(LOADS.iter().map(|load| load.name));
    // What only the first of everything costs is part of the baseline.
    LOADS.iter().enumerate().for_each(|(at, load)| tally.add(at, (load.once)(&site)));
    let baseline = Footprint::at_rest(&site);
    let began = Instant::now();
    let memory = under_load(&site, &tally, lasting);
    let after = Footprint::back_at(&site, &baseline);
    println!(
        "{tally}\n{memory}\nat rest: before {baseline}, after {after}; loaded for {:?}",
        began.elapsed()
    );
    tally.judge();
    memory.judge();
    after.judge(&baseline);
    site.judge();
}

/// Keeps everything going for that long; what memory did meanwhile.
fn under_load(site: &Site, tally: &Tally, lasting: Duration) -> Memory {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (at, load) in LOADS.iter().enumerate() {
            for _ in 0..load.threads {
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        tally.add(at, (load.once)(site));
                        std::thread::sleep(load.rest);
                    }
                });
            }
        }
        let memory = Memory::sample(site.pid(), lasting);
        stop.store(true, Ordering::Relaxed);
        memory
    })
}

fn seconds() -> u64 {
    let asked = std::env::var("FLUXHEIM_SOAK_SECONDS").ok();
    asked.map_or(30, |seconds| seconds.parse().expect("FLUXHEIM_SOAK_SECONDS is a number of seconds"))
}
