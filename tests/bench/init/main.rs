//! What an init costs and what it loses: fluxheim-init, tini, catatonit and dumb-init in one run,
//! side by side; printed, never asserted.
//!
//! Run by `scripts/bench init`, which builds fluxheim-init and the stand-in as the image ships programs
//! and installs the others. Every init starts the same stand-in (supervisor/init/examples/stand_in);
//! under fluxheim-init it goes the proxy's whole way to the verdict, with every control of the default
//! profile applied and read back.
#![allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "measures its own fixtures; a failure here fails the run, which is the point"
)]

mod contestant;
mod cost;
mod kept;
mod loss;
mod running;

use contestant::{Contestant, Folder};

fn main() {
    let folder = Folder::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("# fluxheim-init {} beside other inits, {cores} cores\n", env!("CARGO_PKG_VERSION"));
    for (program, version) in contestant::versions() {
        println!("- {program}: {version}");
    }
    let all = Contestant::all(&folder);
    println!("\n## Start of the child and memory, as a plain process\n");
    cost::start(&Contestant::for_cost(&folder));
    println!();
    cost::memory(&Contestant::for_cost(&folder));
    println!("\n## TERM sent to the init as soon as it has a child\n");
    loss::early_term(&all);
    println!("\n## As PID 1: what the main child leaves behind\n");
    kept::left_behind(&Contestant::all_forking(&folder));
}
