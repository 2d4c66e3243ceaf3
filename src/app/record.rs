//! Which configuration is in use, since when, and what came of the last reload.
//!
//! Owns the memory of it, for the admin API; changes nothing.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest;
use fluxheim_config::Config;

use crate::admin::seen::{Attempt, Running};
use crate::app::reload::Outcome;

/// What is known of the configuration.
#[derive(Debug)]
pub(super) struct Record(Mutex<(Running, Option<Attempt>)>);

impl Record {
    /// The configuration that the process starts with, read from `path`.
    pub(super) fn new(path: &std::path::Path, config: &Config) -> Self {
        let path = path.display().to_string();
        Self(Mutex::new((Running { path, sha256: hash(config), since: unix_now() }, None)))
    }

    /// A reload has ended so.
    pub(super) fn tried(&self, outcome: &Outcome) {
        let at = unix_now();
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(taken) => {
                record.0.since = at;
                record.0.sha256.clone_from(&taken.sha256);
                record.1 = Some(Attempt { at, taken: true, mistakes: Vec::new() });
            }
            Err(mistakes) => record.1 = Some(Attempt { at, taken: false, mistakes: mistakes.clone() }),
        }
    }

    /// What is in use, and the last attempt to change it.
    pub(super) fn seen(&self) -> (Running, Option<Attempt>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// SHA-256 of what `--print-config` prints: `fluxheim --print-config | sha256sum` gives the same.
pub(super) fn hash(config: &Config) -> String {
    let digest = digest::digest(&digest::SHA256, config.to_toml().as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // A String takes everything.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Seconds since the Unix epoch.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
