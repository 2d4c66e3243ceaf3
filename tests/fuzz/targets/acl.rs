//! ACL attributes: `fluxheim_trust::acl::parse`.
#![no_main]
#![allow(clippy::disallowed_methods, reason = "the macro writes what libFuzzer asks for")]

#[path = "../properties/acl.rs"]
mod acl;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| acl::holds(bytes));
