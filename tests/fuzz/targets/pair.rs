//! Certificate and key files: `fluxheim_trust::judge_contents`.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro writes what libFuzzer asks for")]

#[path = "../properties/pair.rs"]
mod pair;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pair::holds(bytes));
