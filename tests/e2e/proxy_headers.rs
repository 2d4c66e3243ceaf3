//! The seeds of the fuzz target for PROXY protocol headers: seeds that nobody runs would rot.

use fluxheim::wire::proxy::{Ends, Form, Malformed, Read, read, write};

#[path = "../fuzz/properties/proxy.rs"]
mod properties;

#[test]
fn every_seed_is_read_as_its_name_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/proxy");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(seeds.len() > 10);
    for entry in seeds {
        let path = entry.unwrap().path();
        let good = path.file_name().unwrap().to_str().unwrap().starts_with("valid-");
        let outcome = properties::holds(&std::fs::read(&path).unwrap());
        assert_eq!(matches!(outcome, Ok(Read::Header { .. })), good, "{}: {outcome:?}", path.display());
    }
}
