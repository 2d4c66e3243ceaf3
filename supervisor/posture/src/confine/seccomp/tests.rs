use std::collections::BTreeMap;

use super::*;

const ARCHES: [&str; 2] = ["x86_64", "aarch64"];

fn own() -> Policy {
    policy(POLICY).unwrap()
}

#[test]
fn compiles_for_every_architecture() {
    for arch in ARCHES {
        for stage in [Stage::Launch, Stage::Serve] {
            let program = compile(&own(), stage, arch).unwrap_or_else(|error| panic!("{arch}: {error}"));
            // seccomp(2): BPF_MAXINSNS.
            assert!(program.len() < 4096, "{arch}: {}", program.len());
        }
    }
}

#[test]
fn every_rule_gives_its_reason_and_stands_once() {
    let policy = own();
    for rules in [&policy.serve, &policy.launch] {
        let mut seen = BTreeMap::new();
        for rule in rules {
            assert!(rule.comment.len() > 3, "{}", rule.syscall);
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
        "unlinkat",
        "rename",
        "renameat2",
        "mkdirat",
        "chmod",
        "fchmod",
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
            .any(|rule| ["execve", "seccomp", "kill", "mlockall"].contains(&rule.syscall.as_str()))
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
    assert!(compile(&unknown.unwrap(), Stage::Serve, "x86_64").is_err());
}
