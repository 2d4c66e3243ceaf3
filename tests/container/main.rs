//! The built image under Docker, seen from outside.
//!
//! Needs the image (`scripts/build-image`) and a Docker daemon; without them the tests fail and say
//! what to run. Everything they start carries a name of its own and is removed.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests write their own fixtures; a failure here fails the test, which is the point"
)]

mod admin;
#[path = "../callers.rs"]
mod callers;
mod cell;
mod denials;
mod docker;
mod exec;
mod fleet;
mod grid;
mod image;
mod main_job;
mod memlock;
mod mutation;
mod posture;
mod refusals;
mod state;
mod storage;
