//! What `--posture` starts in place of the proxy: it hardens itself, reports and ends.
//!
//! Owns nothing; it takes the proxy's own path through `fluxheim_posture::proxy`, so that what is
//! judged is what a proxy would get.

use std::path::Path;

use fluxheim_config::{Profile, exit};
use fluxheim_posture::confine::Reach;
use fluxheim_posture::handoff::ProxyEnd;
use fluxheim_posture::proxy;

use crate::{load, say};

/// Plays the proxy up to the verdict.
pub(crate) fn run(path: &Path, profile: Option<Profile>) -> u8 {
    let handoff = match ProxyEnd::inherited() {
        Ok(Some(handoff)) => handoff,
        Ok(None) => {
            say::line("--probe is started by --posture, not by hand");
            return exit::USAGE;
        }
        Err(error) => return failed(error),
    };
    let config = match load::config(path, profile) {
        Ok(config) => config,
        Err(refused) => {
            say::line(refused);
            return exit::REFUSED;
        }
    };
    let reach = Reach::of(&config, path);
    match handoff.submit(&proxy::harden(&config.hardening, config.has_secrets(), &reach)) {
        Ok(_) => exit::OK,
        Err(error) => failed(error),
    }
}

fn failed(error: impl std::fmt::Display) -> u8 {
    say::line(error);
    exit::INTERNAL
}
