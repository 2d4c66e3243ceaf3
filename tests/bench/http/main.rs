//! Fluxheim beside nginx, HAProxy and Caddy, each doing the same job in the same run: what a request, a
//! handshake, an idle connection or a virtual host costs. Prints tables and asserts nothing about numbers.
//!
//! Run by `scripts/bench http`; docs/performance.md has the method. Loopback only.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "measures its own fixtures; a failure here fails the run, which is the point"
)]

mod arguments;
mod bulk;
mod configs;
mod contestant;
mod crowd;
#[path = "../../fixtures.rs"]
mod fixtures;
mod handshakes;
mod machine;
#[path = "../processes.rs"]
mod processes;
mod rate;
mod stage;
mod table;
mod vhosts;

use std::time::Instant;

use arguments::Arguments;
use rate::{Job, Load};
use stage::{Setup, Stage};
use table::{Row, Table};

/// One measurement by name, as `--only` takes it.
struct Measurement {
    name: &'static str,
    of: fn(&Stage) -> Vec<Row>,
}

const PLAIN: Setup = Setup { logging: false, vhosts: 0 };

const ALL: &[Measurement] = &[
    Measurement { name: "plain", of: |stage| rate("32 bytes, keep-alive", PLAIN, Load::Wrk("/"), stage) },
    Measurement {
        name: "close",
        of: |stage| rate("32 bytes, keep-alive off", PLAIN, Load::Closing("/"), stage),
    },
    Measurement {
        name: "h2",
        of: |stage| rate("32 bytes, HTTP/2 over TLS 1.3", PLAIN, Load::H2("/"), stage),
    },
    Measurement {
        name: "handshakes",
        of: |stage| rate("TLS 1.3 full handshake (X25519) and one request", PLAIN, Load::Handshakes, stage),
    },
    Measurement {
        name: "resumed",
        of: |stage| rate("TLS 1.3 session taken up (X25519) and one request", PLAIN, Load::Resumed, stage),
    },
    Measurement {
        name: "bulk",
        of: |stage| rate("MiB, in responses of 8 MiB over TLS 1.3", PLAIN, Load::Bulk, stage),
    },
    Measurement { name: "large", of: |stage| rate("100 KiB, keep-alive", PLAIN, Load::Wrk("/large"), stage) },
    Measurement {
        name: "static",
        of: |stage| rate("static file of 10 KiB, keep-alive", PLAIN, Load::Files("/static/file"), stage),
    },
    Measurement {
        name: "logged",
        of: |stage| {
            let setup = Setup { logging: true, ..PLAIN };
            rate("32 bytes, keep-alive, access log on", setup, Load::Wrk("/"), stage)
        },
    },
    Measurement { name: "idle", of: crowd::plain },
    Measurement { name: "idle-tls", of: crowd::encrypted },
    Measurement { name: "vhosts", of: vhosts::measure },
];

fn rate(title: &str, setup: Setup, load: Load, stage: &Stage) -> Vec<Row> {
    vec![rate::measure(stage, &Job { title, setup, load })]
}

fn main() {
    let names: Vec<_> = ALL.iter().map(|measurement| measurement.name).collect();
    let arguments = Arguments::read(&names);
    let (began, stage) = (Instant::now(), Stage::set(&arguments));
    let mut table = Table::default();
    for measurement in ALL.iter().filter(|one| arguments.wants(one.name)) {
        eprintln!("bench http: {} ({} s so far)", measurement.name, began.elapsed().as_secs());
        (measurement.of)(&stage).into_iter().for_each(|row| table.add(row));
    }
    let text = format!("{}\n{table}{}", machine::facts(&stage), stage.remarks());
    println!("{text}");
    if let Some(document) = &arguments.write {
        table::replace(document, &text);
    }
    eprintln!("bench http: took {} s", began.elapsed().as_secs());
}
