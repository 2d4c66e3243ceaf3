//! Every example of the documentation is a configuration that Fluxheim takes.
//!
//! A block fenced as `toml` is parsed as it stands; one fenced as `toml fragment` behind the least
//! that runs; one fenced as `toml other` is no configuration of ours.
#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]
#![expect(clippy::disallowed_methods, reason = "the repository's own documents need no trust")]

use std::path::{Path, PathBuf};

use fluxheim_config::{Source, parse};

const BASE: &str = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";

struct Block {
    line: usize,
    fence: String,
    text: String,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).into_iter().flatten();
    let mut paths: Vec<_> = docs.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.extend(Some(root.join("README.md")).filter(|path| path.exists()));
    paths.sort();
    paths
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(fence)) => {
                open = Some(Block { line: index + 1, fence: fence.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_documents_parses() {
    let mut seen = 0;
    for path in documents() {
        for Block { line, fence, text } in blocks(&std::fs::read_to_string(&path).unwrap()) {
            let text = match fence.as_str() {
                "toml" => text,
                "toml fragment" => format!("{BASE}{text}"),
                _ => continue,
            };
            seen += 1;
            if let Err(mistakes) = parse(&[Source { path: "example.toml".into(), text }]) {
                panic!("{}:{line}: {mistakes}", path.display());
            }
        }
    }
    assert!(seen >= 8, "only {seen} examples found: are the documents where this test looks?");
}

#[test]
fn the_images_own_configuration_parses() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/fluxheim.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let result = parse(&[Source { path: "/etc/fluxheim/fluxheim.toml".into(), text }]);
    assert_eq!(result.err().map(|mistakes| mistakes.to_string()), None);
}
