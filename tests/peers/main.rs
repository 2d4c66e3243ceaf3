//! What other proxies do with the requests that the framing gate refuses, side by side with Fluxheim and in
//! the same run. `docs/request-framing.md` has the outcome as a table; this keeps it true.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its premise fails"
)]
#![expect(clippy::disallowed_methods, reason = "tests read their own files")]

mod contestants;
mod outcome;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the end-to-end tests, which need more of it")]
mod support;
#[path = "../vectors.rs"]
mod vectors;

use std::collections::BTreeMap;

use contestants::Contestant;
use vectors::vectors;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/request-framing.md");
const COLUMNS: &str = "| vector, sent to | Fluxheim |";

#[test]
fn the_document_says_what_others_do() {
    let contestants = contestants::all();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = contestants.iter().map(|one| scope.spawn(|| ask(one))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let names: Vec<_> = contestants.iter().map(Contestant::title).collect();
    let mut table =
        format!("| vector, sent to | {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len() + 1));
    for (at, (vector, _)) in vectors().iter().enumerate() {
        let cells: Vec<_> = outcomes.iter().map(|outcomes| outcomes[at].clone()).collect();
        table.push_str(&format!("| {vector} | {} |\n", cells.join(" | ")));
    }
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let written: String = text
        .lines()
        .skip_while(|line| !line.starts_with(COLUMNS))
        .take_while(|line| line.starts_with('|'))
        .map(|line| format!("{line}\n"))
        .collect();
    let (wrong, right) = (rows(&written), rows(&table));
    let differ: Vec<_> = right.iter().filter(|(name, row)| wrong.get(*name) != Some(row)).collect();
    assert!(
        differ.is_empty() && wrong.len() == right.len(),
        "{differ:#?}\nso this is the table now:\n{table}"
    );
}

fn rows(table: &str) -> BTreeMap<String, String> {
    table.lines().filter_map(|line| line.split_once("| ")?.1.split_once(" | ")).map(owned).collect()
}

fn owned((name, rest): (&str, &str)) -> (String, String) {
    (name.to_owned(), rest.to_owned())
}

/// What came of each vector. A plain request must arrive, before and after: else the outcomes say nothing.
fn ask(contestant: &Contestant) -> Vec<String> {
    let plain = vectors::line("GET /plain HTTP/1.1");
    let works =
        || assert_eq!(contestant.send(&plain), "forwarded", "{}: a plain request", contestant.title());
    works();
    let outcomes = vectors().iter().map(|(_, vector)| contestant.send(vector)).collect();
    works();
    outcomes
}
