//! Size of the image, time to the first answer, and what PID 1 costs.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::docker::{Container, image, image_folder};
use crate::processes::{Process, first_answer as answered, free_address, resident};
use crate::{median, program};

const RUNS: usize = 9;

pub(crate) fn image_size() {
    let size = |path: std::path::PathBuf| {
        std::fs::metadata(path).map_or(0.0, |data| data.len() as f64 / 1_048_576.0)
    };
    println!("- tar, compressed layer inside: {:.1} MiB", size(image_folder().join("fluxheim.tar")));
    for name in ["fluxheim", "fluxheim-init"] {
        println!("- {name}: {:.1} MiB", size(program(name)));
    }
}

pub(crate) fn first_answer() {
    image();
    let times = (0..RUNS).map(|_| {
        let began = Instant::now();
        let flux =
            Container::run(&["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        answered((flux.address(), 8080).into(), began).as_secs_f64() * 1000.0
    });
    println!("- docker run to first 200: {:.0} ms (median of {RUNS})", median(times.collect()));
    let flux = Container::run(&[]);
    flux.wait_for("\"ready\"");
    println!(
        "- resident, idle: fluxheim-init {} KiB, fluxheim {} KiB",
        resident(flux.init_pid()),
        resident(flux.proxy_pid())
    );
}

/// The same proxy with the same configuration under both, from start to first answer.
pub(crate) fn beside_tini() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("index.html"), "hello").unwrap();
    let (mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), (0, 0));
    for _ in 0..RUNS {
        let (time, kib) = timed(&dir, |config| {
            let mut command = Command::new(program("fluxheim-init"));
            command.args([
                "--proxy".as_ref(),
                program("fluxheim").as_os_str(),
                "--config".as_ref(),
                config.as_os_str(),
            ]);
            command
        });
        ours.push(time);
        memory.0 = kib;
        let (time, kib) = timed(&dir, |config| {
            let mut command = Command::new("tini");
            command.args([
                "-s".as_ref(),
                "--".as_ref(),
                program("fluxheim").as_os_str(),
                "--config".as_ref(),
                config.as_os_str(),
            ]);
            command
        });
        theirs.push(time);
        memory.1 = kib;
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("| | start to first 200, median of {RUNS} | resident |\n|---|---|---|");
    println!("| fluxheim-init, hardening and read-back included | {ours:.1} ms | {} KiB |", memory.0);
    println!("| tini | {theirs:.1} ms | {} KiB |", memory.1);
    println!("| difference | {:+.1} ms | |", ours - theirs);
}

fn timed(dir: &TempDir, command: impl FnOnce(&std::path::Path) -> Command) -> (f64, u64) {
    let address: SocketAddr = free_address();
    let config = dir.path().join("fluxheim.toml");
    let root = dir.path().display();
    let text = format!(
        "[server]\nhttp = [\"{address}\"]\n[[vhosts]]\nhosts = [\"*\"]\n[[vhosts.routes]]\npath = \"/\"\nstatic = \"{root}\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let began = Instant::now();
    let process = Process::start(&mut command(&config));
    let time = answered(address, began).as_secs_f64() * 1000.0;
    (time, resident(process.pid()))
}
