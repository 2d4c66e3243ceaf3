//! The schema of `fluxheim.toml`: text in, one validated [`Config`] or every mistake out.
//!
//! Owns key names, defaults and their rules. Opens no file: callers read the text through
//! `fluxheim-trust` and hand it over as [`Source`]s.
#![forbid(unsafe_code)]

mod acme;
mod admin;
mod auth;
mod balancing;
mod client_auth;
mod content;
pub mod exit;
mod flaw;
mod hardening;
mod limits;
mod memory;
mod mistake;
mod model;
mod observing;
mod parse;
mod policies;
mod print;
mod routing;
mod schema;
mod section;
mod sections;
mod sink;
mod tls;
mod tree;
mod upstreams;
pub mod user_bounds;
mod value;
mod watch;

pub use acme::*;
pub use admin::*;
pub use auth::*;
pub use balancing::*;
pub use client_auth::*;
pub use content::*;
pub use hardening::{Control, Level, Profile};
pub use limits::*;
pub use memory::Memory;
pub use mistake::{Mistake, Mistakes};
pub use model::*;
pub use observing::*;
pub use parse::{admin_socket, parse, parse_under};
pub use policies::*;
pub use routing::*;
pub use sections::server::STOP_MARGIN;
pub use tls::*;
pub use upstreams::*;
pub use value::template::{Part, Template, Variable};
pub use watch::Watch;

use std::path::PathBuf;

/// One configuration file's path and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it shall stand in messages; relative paths in the text resolve against its folder.
    pub path: PathBuf,
    pub text: String,
}
