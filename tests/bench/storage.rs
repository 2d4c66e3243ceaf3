//! What the storage check costs: a thousand certificates with their keys, beside `nginx -t`, which
//! loads the same files and asks nothing about who else can read them.
//!
//! Prints, asserts nothing about times. Run by `scripts/bench storage`, as root.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "measures its own fixtures; a failure here fails the run, which is the point"
)]

#[path = "../fixtures.rs"]
mod fixtures;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

const PAIRS: usize = 1000;
const RUNS: usize = 9;

fn main() {
    let folder = TempDir::new().unwrap();
    fixtures::set_mode(folder.path(), 0o755);
    make_pairs(folder.path());
    let (ours, theirs) = (our_config(folder.path()), nginx_config(folder.path()));
    let ours = ["--check-tls-storage", "--config", ours.to_str().unwrap()];
    let (init, proxy) = (program("fluxheim-init"), program("fluxheim"));
    let (init, proxy) = (init.to_str().unwrap(), proxy.to_str().unwrap());
    println!("## Storage: {PAIRS} certificates and their keys, median of {RUNS} runs\n");
    println!("| | wall ms | CPU ms | CPU us a pair | system calls a pair |");
    println!("|---|---|---|---|---|");
    let nginx = row("nginx -t", "nginx", &["-t", "-q", "-c", theirs.to_str().unwrap()]);
    let by_init = row("fluxheim-init --check-tls-storage", init, &ours);
    row("fluxheim --check-tls-storage", proxy, &ours);
    println!("\nfluxheim-init to nginx -t, CPU time: {:.2}", by_init / nginx);
}

/// One line of the table; the CPU time in milliseconds.
fn row(name: &str, program: &str, arguments: &[&str]) -> f64 {
    let mut runs: Vec<_> = (0..RUNS).map(|_| cost(program, arguments)).collect();
    runs.sort_unstable();
    let (cpu, wall) = runs[RUNS / 2];
    let (cpu, wall) = (cpu.as_secs_f64() * 1e3, wall.as_secs_f64() * 1e3);
    let (pairs, calls) = (f64::from(u32::try_from(PAIRS).unwrap()), calls(program, arguments));
    println!("| `{name}` | {wall:.1} | {cpu:.1} | {:.0} | {:.1} |", cpu * 1e3 / pairs, calls / pairs);
    cpu
}

fn cost(program: &str, arguments: &[&str]) -> (Duration, Duration) {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        [usage.user_time(), usage.system_time()].into_iter().map(micros).sum::<Duration>()
    };
    let (before, started) = (used(), Instant::now());
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run scripts/bench storage"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let end = text.lines().rev().take(3).collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{program}: {}: {end}", output.status);
    (used() - before, started.elapsed())
}

fn micros(time: nix::sys::time::TimeVal) -> Duration {
    let seconds = Duration::from_secs(time.tv_sec().try_into().unwrap());
    seconds + Duration::from_micros(time.tv_usec().try_into().unwrap())
}

/// How many system calls it makes in all.
fn calls(program: &str, arguments: &[&str]) -> f64 {
    let output =
        fixtures::run("strace", "strace", &[&["-f", "-c", "-U", "calls,name", program], arguments].concat());
    let table = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = table.lines().find_map(|line| line.trim().strip_suffix("total"));
    total.unwrap_or_else(|| panic!("no total in {table}")).trim().parse().unwrap()
}

fn make_pairs(folder: &Path) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for number in (first..PAIRS).step_by(threads) {
                    let (name, host) = (format!("{number}"), format!("{number}.bench.test"));
                    let (_, key) = fixtures::certificate(folder, &name, &[&host]);
                    std::os::unix::fs::chown(key, Some(65532), Some(65532)).expect("needs root");
                }
            });
        }
    });
}

fn our_config(folder: &Path) -> PathBuf {
    let mut text = "[server]\nhttps = [\"127.0.0.1:0\"]\n".to_owned();
    for number in 0..PAIRS {
        writeln!(
            text,
            "[[tls.certificates]]\nname = \"{number}\"\ncert = \"{number}.pem\"\nkey = \"{number}.key\""
        )
        .unwrap();
    }
    write(folder, "fluxheim.toml", &text)
}

fn nginx_config(folder: &Path) -> PathBuf {
    let root = folder.display();
    let mut text = format!("pid {root}/pid;\nerror_log stderr error;\nevents {{}}\nhttp {{\n");
    for number in 0..PAIRS {
        writeln!(
            text,
            "server {{ listen 127.0.0.1:18443 ssl; server_name {number}.bench.test; ssl_certificate {root}/{number}.pem; \
             ssl_certificate_key {root}/{number}.key; }}"
        )
        .unwrap();
    }
    write(folder, "nginx.conf", &(text + "}\n"))
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A release program, as `scripts/build-binaries` leaves it.
fn program(name: &str) -> PathBuf {
    let target = format!("target/{}-unknown-linux-gnu/release", std::env::consts::ARCH);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join(name)
}
