//! HTTP/2 connections: `fluxheim::wire::h2`, from its files, since its crate links the framework.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro writes what libFuzzer asks for")]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "these are modules of a library, of which this uses a part"
)]

#[path = "../properties/frames.rs"]
mod frames;
#[path = "../../../src/types/mod.rs"]
mod types;
#[path = "../../../src/wire/mod.rs"]
mod wire;

use wire::h2::{Allowance, Flood, Watch};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    frames::holds(bytes);
});
