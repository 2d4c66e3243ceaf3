//! Size of the image, time to the first answer, and memory of both processes.

use std::time::Instant;

use crate::docker::{Container, image, image_folder};
use crate::processes::{first_answer as answered, resident};
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
