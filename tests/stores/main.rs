//! Where ACME keeps its state: both places against one model, under kills, races and full disks.
#![allow(
    clippy::disallowed_methods,
    clippy::exit,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests write their own fixtures; a failure here fails the test, which is the point"
)]

mod confined;
#[path = "../fixtures.rs"]
mod fixtures;
mod folder;
mod killed;
mod redis;
mod server;
mod suite;
