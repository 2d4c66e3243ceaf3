//! Which configuration is in use, since when, and what came of the last reload.
//!
//! Owns the memory of it, for the admin API; changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest;
use fluxheim_config::Config;

use crate::admin::seen::{Attempt, Running};
use crate::app::reload::Outcome;
use crate::telemetry::certificates::FileLabels;

/// What is known of the configuration.
#[derive(Debug)]
pub(super) struct Record {
    config: Mutex<(Running, Option<Attempt>)>,
    /// Files that were replaced by what can't be used, and why.
    refused: Mutex<BTreeMap<FileLabels, String>>,
}

impl Record {
    /// The configuration that the process starts with, read from `path`.
    pub(super) fn new(path: &std::path::Path, config: &Config) -> Self {
        let path = path.display().to_string();
        let running = Running { path, sha256: hash(config), since: unix_now() };
        Self { config: Mutex::new((running, None)), refused: Mutex::default() }
    }

    /// A reload has ended so.
    pub(super) fn tried(&self, outcome: &Outcome) {
        let at = unix_now();
        if outcome.is_ok() {
            // All files were read anew.
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let mut record = self.config.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A file was replaced by what can't be used, for that reason.
    pub(super) fn refused(&self, file: &FileLabels, reason: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(file.clone(), reason.to_owned());
    }

    /// A file can be used.
    pub(super) fn taken(&self, file: &FileLabels) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(file);
    }

    /// Why files of `name` can't be used, where they were replaced by such.
    pub(super) fn why_refused(&self, name: &str) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().find(|(file, _)| file.name == name).map(|(_, reason)| reason.clone())
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
