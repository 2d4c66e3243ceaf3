//! What the container tests start in the proxy's place: it takes the proxy's way to the verdict, then
//! tries what it shall not be able to do, and says on stdout what came of it.
//!
//! Owns the order of that; what is tried is `attempts`'. Started without fluxheim-init it isn't
//! confined at all, and the same list shows what would be possible. See tests/container/denials.rs.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "plays a program in a test; a failure here fails the test"
)]

mod attempts;
mod facts;
mod memory;
mod sys;

use std::io::Write;
use std::path::PathBuf;

use fluxheim_config::{Profile, parse_under};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::handoff::{ProxyEnd, Verdict};
use fluxheim_posture::proxy::harden;
use fluxheim_trust::{Identity, read_config};

fn main() {
    let act = std::env::var("CONFINED_ACT").unwrap_or_default();
    // What an attempt to execute something executes.
    if act == "executed" {
        return;
    }
    match act.as_str() {
        "listen" => attempts::listen(),
        "facts" => return facts::tell(),
        _ => {}
    }
    let prepared = attempts::Prepared::now(&act);
    let handoff = ProxyEnd::inherited().unwrap();
    if let Some(handoff) = &handoff {
        let (config, path) = configuration();
        let report = harden(&config.hardening, config.has_secrets(), &Reach::of(&config, &path));
        assert!(matches!(handoff.submit(&report).unwrap(), Verdict::Go(_)));
        handoff.ready().unwrap();
    }
    match act.strip_prefix("threads=") {
        Some(threads) => say(&memory::fill(threads.parse().unwrap())),
        None => attempts::make(&prepared, handoff.is_some()),
    }
}

/// As fluxheim-init's arguments to its proxy say.
fn configuration() -> (fluxheim_config::Config, PathBuf) {
    let value = |flag: &str| std::env::args().skip_while(|argument| argument != flag).nth(1);
    let path = PathBuf::from(value("--config").unwrap());
    let profile = value("--profile").map(|name| Profile::from_name(&name).unwrap());
    let sources = read_config(&path, &Identity::current()).unwrap();
    (parse_under(&sources, profile).unwrap(), path)
}

/// One line, in one write.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}
