//! The seeds of the fuzz targets, through the same properties: seeds that nobody runs would rot.
//!
//! A seed's name says what becomes of it: `valid-...` is taken, `refused-...` is not.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "reads the project's own seeds; a failure here fails the test, which is the point"
)]

use std::fs;
use std::path::PathBuf;

#[path = "../../../tests/fuzz/properties/acl.rs"]
mod acl;
#[path = "../../../tests/fuzz/properties/pair.rs"]
mod pair;

/// Names and contents of a target's seeds.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn seeds_of_acl_are_what_their_names_say() {
    let seeds = seeds("acl");
    for (name, bytes) in &seeds {
        acl::holds(bytes);
        let expected = match name.split('-').next() {
            Some("valid") => true,
            Some("refused") => false,
            _ => panic!("{name}: valid-... or refused-...?"),
        };
        assert_eq!(fluxheim_trust::acl::parse(bytes).is_ok(), expected, "{name}");
    }
    for kind in ["valid-", "refused-"] {
        assert!(seeds.iter().any(|(name, _)| name.starts_with(kind)), "no seed is {kind}...");
    }
}

#[test]
fn seeds_of_pair_are_judged_without_giving_a_key_away() {
    let seeds = seeds("pair");
    seeds.iter().for_each(|(_, bytes)| pair::holds(bytes));
    for name in ["ec", "ed25519-chain", "encrypted", "nothing", "rsa-weak", "sec1"] {
        assert!(seeds.iter().any(|(seed, _)| seed == name), "no seed {name}");
    }
}
