use std::collections::BTreeSet;

use super::*;

fn all() -> impl Iterator<Item = Cause> {
    Violation::ALL.into_iter().map(Cause::Framing).chain(Cause::ALL_OTHERS)
}

#[test]
fn every_cause_has_a_word_and_its_own_meaning() {
    for cause in all() {
        let name = cause.name();
        assert!(
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()),
            "{name}"
        );
        assert!(!cause.detail().is_empty(), "{name}");
        assert_eq!(cause.is_answered(), !cause.text().is_empty(), "{name}");
        assert!(cause.text().is_empty() || cause.text().ends_with('\n'), "{name}");
    }
    // The rules that HTTP/2 shares with the framing of HTTP/1 go by the same words.
    let others: BTreeSet<_> = Cause::ALL_OTHERS.iter().map(|cause| cause.name()).collect();
    assert_eq!(others.len(), Cause::ALL_OTHERS.len());
}

#[test]
fn says_loudly_only_what_no_client_can_cause() {
    for cause in all() {
        let loud = cause.loudness() != Loudness::Debug;
        let by_clients = matches!(
            cause,
            Cause::Framing(_) | Cause::QueueFull | Cause::QueueTimeout | Cause::RequestTimeout
        );
        assert_eq!(loud, cause.status() >= 500 && !by_clients, "{}", cause.name());
    }
}

#[test]
fn the_documentation_has_every_word_with_its_status_and_no_other() {
    let page = include_str!("../../../docs/logging.md");
    let section = page.split("\n## Causes\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let documented: BTreeSet<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(word, rest)| (word.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .collect();
    let status = |cause: Cause| match cause.is_answered() {
        true => cause.status().to_string(),
        false => format!("({})", cause.status()),
    };
    let known: BTreeSet<_> = all().map(|cause| (cause.name().to_owned(), status(cause))).collect();
    assert_eq!(documented, known, "docs/logging.md, Causes");
}
