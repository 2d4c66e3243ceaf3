use std::collections::BTreeMap;

use super::*;

fn own() -> Policy {
    policy(POLICY).unwrap()
}

#[test]
fn compiles_for_this_architecture() {
    for stage in [Stage::Launch, Stage::Serve] {
        let program = compile(&own(), stage).unwrap();
        // seccomp(2): BPF_MAXINSNS.
        assert!(program.len() < 4096, "{}", program.len());
    }
}

/// By seccompiler's own tables, which know the architecture that this test doesn't run on, too.
#[test]
fn names_calls_that_every_architecture_has() {
    for arch in ["x86_64", "aarch64"] {
        let policy = own();
        let named = rules(&policy, Stage::Launch, arch).into_iter().chain(rules(&policy, Stage::Serve, arch));
        let listed: Vec<_> = named.map(|rule| serde_json::json!({ "syscall": rule.syscall })).collect();
        let filter = serde_json::json!({ "all": {
            "mismatch_action": { "errno": 38 }, "match_action": "allow", "filter": listed,
        }});
        let target = TargetArch::try_from(arch).unwrap();
        let programs = seccompiler::compile_from_json(filter.to_string().as_bytes(), target);
        assert!(programs.is_ok(), "{arch}: {:?}", programs.err());
    }
}

#[test]
fn the_table_of_numbers_has_what_is_named_and_nothing_else() {
    let policy = own();
    let here = |rule: &&Rule| rule.arch.as_deref().is_none_or(|only| only == std::env::consts::ARCH);
    let named = policy.serve.iter().chain(&policy.launch).filter(here).map(|rule| rule.syscall.as_str());
    let named: std::collections::BTreeSet<_> = named.collect();
    assert_eq!(crate::confine::numbers::names().collect::<std::collections::BTreeSet<_>>(), named);
}

#[test]
fn every_rule_gives_its_reason_and_stands_once() {
    let policy = own();
    for rules in [&policy.serve, &policy.launch] {
        let mut seen = BTreeMap::new();
        for rule in rules {
            assert!(rule.comment.len() > 3, "{}", rule.syscall);
            assert!(rule.args.iter().all(|condition| condition.comment.len() > 3), "{}", rule.syscall);
            let conditional = !rule.args.is_empty();
            // A rule without conditions makes one with them meaningless, and the other way round.
            let earlier = seen.insert(&rule.syscall, conditional);
            assert!(earlier.is_none_or(|earlier| earlier && conditional), "{} twice", rule.syscall);
        }
    }
}

#[test]
fn launch_gives_more_than_serve_and_repeats_nothing() {
    let policy = own();
    for rule in &policy.launch {
        let same = policy.serve.iter().find(|other| other.syscall == rule.syscall);
        // Only to lift conditions.
        assert!(same.is_none_or(|same| !same.args.is_empty() && same.args != rule.args), "{}", rule.syscall);
    }
}

#[test]
fn what_an_attacker_would_want_is_in_neither_list() {
    let policy = own();
    let listed = |name: &str| policy.serve.iter().chain(&policy.launch).any(|rule| rule.syscall == name);
    for name in [
        "execveat",
        "fork",
        "vfork",
        "clone3",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "mount",
        "umount2",
        "unshare",
        "setns",
        "pivot_root",
        "chroot",
        "bpf",
        "io_uring_setup",
        "keyctl",
        "add_key",
        "request_key",
        "init_module",
        "finit_module",
        "kexec_load",
        "perf_event_open",
        "userfaultfd",
        "memfd_create",
        "setuid",
        "setresuid",
        "setgid",
        "setresgid",
        "setgroups",
        "capset",
        "open_by_handle_at",
        "pidfd_getfd",
        "unlink",
        "rename",
        "renameat2",
        "chmod",
        "fchmodat",
        "chown",
        "fchown",
        "fchownat",
        "symlinkat",
        "linkat",
        "mknodat",
        "reboot",
        "swapon",
        "swapoff",
    ] {
        assert!(!listed(name), "{name}");
    }
    assert!(
        !policy
            .serve
            .iter()
            .any(|rule| ["execve", "seccomp", "kill", "mlockall", "fchmod"].contains(&rule.syscall.as_str()))
    );
}

#[test]
fn a_policy_that_makes_no_sense_is_an_error() {
    for text in [
        "{}",
        r#"{"comment":"x","serve":[{"syscall":"read"}],"launch":[]}"#,
        r#"{"comment":"x","serve":[],"launch":[],"more":[]}"#,
    ] {
        assert!(policy(text).is_err(), "{text}");
    }
    let unknown =
        policy(r#"{"comment":"x","serve":[{"syscall":"reed","comment":"no such call"}],"launch":[]}"#);
    assert!(compile(&unknown.unwrap(), Stage::Serve).is_err());
}
