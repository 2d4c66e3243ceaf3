//! PROXY protocol headers: `fluxheim::wire::proxy`, from its file, since its crate links the framework.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro writes what libFuzzer asks for")]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "this is a module of a library, of which this uses a part"
)]

#[path = "../properties/proxy.rs"]
mod properties;
#[path = "../../../src/wire/proxy.rs"]
mod proxy;

use proxy::{Ends, Form, Malformed, Read, read, write};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::holds(bytes);
});
