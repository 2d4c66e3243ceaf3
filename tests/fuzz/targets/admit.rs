//! Heads of requests: `fluxheim::edge::admit`, from its file, since its crate links the framework.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro writes what libFuzzer asks for")]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "these are modules of a library, of which this uses a part"
)]

#[path = "../../../src/edge/admit.rs"]
mod admission;
#[path = "../properties/admit.rs"]
mod property;
#[path = "../../../src/types/mod.rs"]
mod types;
#[path = "../../../src/wire/mod.rs"]
mod wire;

use admission::{Admitted, admit};
use types::{Host, Path};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    property::holds(bytes);
});
