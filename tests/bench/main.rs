//! Measures, printed and never asserted: size, start, memory, and requests per CPU-second beside
//! nginx doing the same job in the same run.
//!
//! Run by `scripts/bench`, which builds the release programs and the image first. Load goes over
//! loopback only, for a few seconds a run. PID 1 has a benchmark of its own, in `init`.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "measures its own fixtures; a failure here fails the test, which is the point"
)]

#[path = "../container/docker.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the container tests, which use more of it")]
mod docker;
mod load;
mod processes;
mod start;

use std::path::{Path, PathBuf};

fn main() {
    println!("# Fluxheim {} on {} cores\n", env!("CARGO_PKG_VERSION"), cores());
    println!("## Image\n");
    start::image_size();
    start::first_answer();
    println!("\n## Requests per CPU-second of the proxy process, beside nginx\n");
    load::beside_nginx();
    println!("\n## Requests per CPU-second, confined and not\n");
    load::confined_beside_not();
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A release program, as `scripts/build-binaries` leaves it.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = format!("target/{}-unknown-linux-gnu/release", std::env::consts::ARCH);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    assert!(path.exists(), "{}: not built; run scripts/bench", path.display());
    path
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
