//! Lines between the proxy and `fluxheim dns-hook`: `fluxheim::wire::hook`, from its file, since its crate links
//! the framework.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro writes what libFuzzer asks for")]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "this is a module of a library, of which this uses a part"
)]

#[path = "../../../src/wire/hook.rs"]
mod hook;
#[path = "../properties/hook.rs"]
mod properties;

use hook::{Answer, MOST_ANSWERED, MOST_ASKED, Request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::holds(bytes);
});
