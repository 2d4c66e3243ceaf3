//! ACL attributes: `fluxheim_trust::acl::parse`.
#![no_main]

#[path = "../properties/acl.rs"]
mod acl;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| acl::holds(bytes));
