//! The schema of `fluxheim.toml`: text in, one validated [`Config`] or every mistake out.
//!
//! Owns key names, defaults and their rules. Opens no file: callers read the text through
//! `fluxheim-trust` and hand it over as [`Source`]s.
#![forbid(unsafe_code)]

pub mod exit;
mod hardening;
mod model;

pub use hardening::{Control, Level, Profile};
pub use model::*;

use std::path::PathBuf;

/// One configuration file's path and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it shall stand in messages; relative paths in the text resolve against its folder.
    pub path: PathBuf,
    pub text: String,
}
