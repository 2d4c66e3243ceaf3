//! One change of the start at a time: the report changes where it must and nowhere else.
//!
//! What each change is expected to do is reasoned beside it, from docs/hardening.md and the kernel's
//! manual pages; nothing here is copied from a report.

use std::collections::BTreeMap;

use crate::cell::{evidence, facts, posture, result};
use crate::docker::{mounted_config, volume};

/// A change of a control: of its result, or of what the evidence says alone.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Changed {
    Result(&'static str, &'static str),
    Evidence,
}
use Changed::{Evidence, Result};

const CONFIG: &str = "[server]\nhttp = [\"0.0.0.0:8080\"]\n";
const READ_ONLY: &[&str] = &["--read-only"];
const NO_CAPABILITY: &[&str] = &["--cap-drop", "ALL"];
const NO_NEW_PRIVILEGES: &[&str] = &["--security-opt", "no-new-privileges"];
const HARDENED: &[&[&str]] = &[READ_ONLY, NO_CAPABILITY, NO_NEW_PRIVILEGES];

/// The report under these options and this configuration, by control: result and evidence, pids apart.
fn told(options: &[&[&str]], config: &str) -> BTreeMap<String, (String, String)> {
    let dir = mounted_config(config, &[]);
    let (_, report) = posture(&[&["-v", &volume(&dir)], &options.concat()[..]].concat(), &[]);
    let controls = report["controls"].as_array().unwrap().iter();
    controls
        .map(|entry| entry["control"].as_str().unwrap())
        .map(|name| {
            (name.to_owned(), (result(&report, name).to_owned(), without_pids(evidence(&report, name))))
        })
        .collect()
}

fn without_pids(evidence: &str) -> String {
    let mut pieces = evidence.split("/proc/");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str("/proc/");
        text.push_str(piece.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    text
}

/// Compares the two starts with what was expected of the change.
fn changes(before: (&[&[&str]], &str), after: (&[&[&str]], &str), expected: &[(&str, Changed)]) {
    let (old, new) = (told(before.0, before.1), told(after.0, after.1));
    assert_eq!(old.len(), 20, "{old:?}");
    let mut wrong = Vec::new();
    for (name, (old_result, old_evidence)) in &old {
        let (new_result, new_evidence) = &new[name];
        let wanted = expected.iter().find(|(control, _)| control == name).map(|(_, changed)| *changed);
        let as_wanted = match wanted {
            Some(Result(from, to)) => old_result == from && new_result == to,
            Some(Evidence) => old_result == new_result && old_evidence != new_evidence,
            None => (old_result, old_evidence) == (new_result, new_evidence),
        };
        if !as_wanted {
            wrong.push(format!(
                "{name}, expected {wanted:?}:\n  {old_result}: {old_evidence}\n  {new_result}: {new_evidence}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{:?} -> {:?}\n{}", before.0, after.0, wrong.join("\n"));
}

fn flags_change(before: &[&[&str]], after: &[&[&str]], expected: &[(&str, Changed)]) {
    changes((before, CONFIG), (after, CONFIG), expected);
}

#[test]
fn no_new_privileges_changes_whose_doing_it_is() {
    let without = &[READ_ONLY, NO_CAPABILITY];
    flags_change(HARDENED, without, &[("no_new_privs", Result("inherited", "enforced"))]);
}

#[test]
fn cap_drop_changes_the_bounding_set_alone() {
    // A plain user has no capability either way, and can't empty the bounding set.
    flags_change(HARDENED, &[READ_ONLY, NO_NEW_PRIVILEGES], &[("capabilities", Evidence)]);
}

#[test]
fn a_writable_root_changes_read_only_root() {
    let without = &[NO_CAPABILITY, NO_NEW_PRIVILEGES];
    flags_change(HARDENED, without, &[("read_only_root", Result("inherited", "violated"))]);
}

#[test]
fn another_user_changes_who_it_is() {
    let other = &[READ_ONLY, NO_CAPABILITY, NO_NEW_PRIVILEGES, &["--user", "1234:1234"]];
    // `dumpable` names the proxy's uid beside that of its /proc files' owner.
    flags_change(HARDENED, other, &[("identity", Evidence), ("dumpable", Evidence)]);
}

#[test]
fn root_changes_what_only_root_can_give_up() {
    let (plain, root) = (&[READ_ONLY, NO_NEW_PRIVILEGES], &[READ_ONLY, NO_NEW_PRIVILEGES, ROOT]);
    let expected = [
        ("identity", Result("inherited", "enforced")),
        // The sets were full, and the bounding set can be emptied.
        ("capabilities", Result("inherited", "enforced")),
        ("securebits", Result("not_applicable", "enforced")),
    ];
    flags_change(plain, root, &expected);
}

#[test]
fn root_without_capabilities_stays_root() {
    let root = &[READ_ONLY, NO_CAPABILITY, NO_NEW_PRIVILEGES, ROOT];
    let expected = [
        // No CAP_SETUID.
        ("identity", Result("inherited", "violated")),
        // No CAP_SETPCAP, and uid 0 is what they are about.
        ("securebits", Result("not_applicable", "violated")),
        // The owner of root's files is root in any case.
        ("dumpable", Evidence),
    ];
    flags_change(HARDENED, root, &expected);
}

#[test]
fn a_lower_memory_lock_limit_changes_something_only_where_there_was_none() {
    let limited = &[READ_ONLY, NO_CAPABILITY, NO_NEW_PRIVILEGES, &["--ulimit", "memlock=65536:65536"]];
    // A finite limit is as good as none, whatever it is: the lock would not last.
    let expected: &[_] = if facts(&[])["memlock_limit"].iter().any(|limit| limit == "unlimited") {
        &[("memory_lock", Result("enforced", "not_permitted"))]
    } else {
        &[]
    };
    flags_change(HARDENED, limited, expected);
}

#[test]
fn without_the_runtimes_filter_there_is_one_less() {
    let unconfined =
        &[READ_ONLY, NO_CAPABILITY, NO_NEW_PRIVILEGES, &["--security-opt", "seccomp=unconfined"]];
    flags_change(HARDENED, unconfined, &[("seccomp", Evidence)]);
}

#[test]
fn a_token_in_the_environment_changes_environment() {
    let token = &[READ_ONLY, NO_CAPABILITY, NO_NEW_PRIVILEGES, &["--env", "API_TOKEN=x"]];
    flags_change(HARDENED, token, &[("environment", Result("inherited", "partial"))]);
}

#[test]
fn another_stop_timeout_changes_the_stop_budget() {
    let longer = "[server]\nhttp = [\"0.0.0.0:8080\"]\nstop_timeout = \"60s\"\n";
    changes((HARDENED, CONFIG), (HARDENED, longer), &[("stop_budget", Evidence)]);
}

const ROOT: &[&str] = &["--user", "0"];
