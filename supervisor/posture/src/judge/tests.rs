use std::collections::BTreeMap;

use fluxheim_config::Profile;
use nix::errno::Errno as Os;

use super::samples::{evidence, status};
use super::*;
use crate::apply::{Baseline, Failure};
use crate::evidence::{CgroupSwap, ProcFlaw};
use crate::parse::{Caps, CorePattern, Limit, Status, SwapMax, V1Limit};
use crate::proxy::{LockAttempt, OpenFds};
use crate::report::Identity;

fn hardening(overrides: &[(Control, Level)]) -> Hardening {
    Hardening {
        profile: Profile::Container,
        overrides: overrides.iter().copied().collect::<BTreeMap<_, _>>(),
    }
}

fn report(evidence: &Evidence, overrides: &[(Control, Level)], has_secrets: bool) -> Report {
    let storage = StorageSeen::Clean("2 objects".into());
    let (hardening, server) = (hardening(overrides), samples::server());
    judge(evidence, Asked { hardening: &hardening, has_secrets, storage: &storage, server: &server })
}

fn result(evidence: &Evidence, control: Control) -> Outcome {
    let report = report(evidence, &[], true);
    report.controls.iter().find(|seen| seen.control == control).unwrap().result
}

/// `change` is all that differs from a good container.
fn after(control: Control, change: impl FnOnce(&mut Evidence)) -> Outcome {
    let mut evidence = evidence();
    change(&mut evidence);
    result(&evidence, control)
}

fn unread() -> Unread {
    Unread::unparsable("/proc/7/x")
}

fn limit(value: u64) -> Limit {
    Limit { soft: Some(value), hard: Some(value) }
}

fn pipe() -> CorePattern {
    CorePattern::Pipe("|/usr/share/apport/apport".into())
}

#[test]
fn a_well_set_up_container_is_ok() {
    let report = report(&evidence(), &[], true);
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.secrets_off_swap.evidence, "by no_swap");
    assert_eq!(report.identity, Some(Identity { uid: 65532, gid: 65532, groups: vec![] }));
}

#[test]
fn what_held_before_us_is_inherited() {
    let mut evidence = evidence();
    evidence.baseline = Baseline {
        core_limit: Some(limit(0)),
        coredump_filter: Some(0),
        umask: Some(0o077),
        caps: Some(status().caps),
        no_new_privs: Some(true),
        mdwe: Some(1),
        ..evidence.baseline
    };
    for control in [
        Control::CoreDumps,
        Control::CoredumpFilter,
        Control::Umask,
        Control::Capabilities,
        Control::NoNewPrivs,
        Control::Mdwe,
        Control::Identity,
        Control::Aslr,
    ] {
        assert_eq!(result(&evidence, control), Outcome::Inherited, "{control:?}");
    }
}

#[test]
fn unreadable_texts_are_unknown_and_refused() {
    let mut evidence = evidence();
    evidence.status = Err(unread());
    evidence.core_limit = Err(unread());
    evidence.coredump_filter = Err(unread());
    evidence.swap.devices = Err(unread());
    evidence.randomised = Err(unread());
    evidence.ptrace_scope = Err(unread());
    let report = report(&evidence, &[], true);
    for seen in &report.controls {
        let from_elsewhere = matches!(
            seen.control,
            Control::Fds
                | Control::Storage
                | Control::Mdwe
                | Control::Landlock
                | Control::Environment
                | Control::ReadOnlyRoot
                | Control::StopBudget
        );
        assert_eq!(seen.result == Outcome::Unknown, !from_elsewhere, "{seen:?}");
    }
    assert_eq!(report.identity, None);
    assert!(report.refusals().contains(&"no_new_privs"));
    assert!(report.refusals().contains(&"secrets_off_swap"));
}

#[test]
fn what_a_flaw_of_proc_makes_unknown_is_mended_there() {
    let mut evidence = evidence();
    evidence.proc_flaw = Some(ProcFlaw::Foreign);
    evidence.status = Err(unread());
    let report = report(&evidence, &[], true);
    for seen in report.controls.iter().filter(|seen| seen.result == Outcome::Unknown) {
        assert!(seen.fix.iter().all(|fix| fix.line == "mount a /proc of this pid namespace"), "{seen:?}");
    }
    assert!(report.refusals().contains(&"no_new_privs"));
}

#[test]
fn core_limits_depend_on_the_pattern() {
    assert_eq!(after(Control::CoreDumps, |_| ()), Outcome::Enforced);
    assert_eq!(after(Control::CoreDumps, |e| e.core_limit = Ok(limit(1))), Outcome::Enforced);
    let soft_only = Limit { soft: Some(0), hard: None };
    assert_eq!(after(Control::CoreDumps, |e| e.core_limit = Ok(soft_only)), Outcome::Violated);
    assert_eq!(after(Control::CoreDumps, |e| e.core_pattern = Err(unread())), Outcome::Unknown);
    let with_pipe = |value| {
        move |e: &mut Evidence| {
            e.core_pattern = Ok(pipe());
            e.core_limit = Ok(limit(value));
        }
    };
    assert_eq!(after(Control::CoreDumps, with_pipe(1)), Outcome::Enforced);
    assert_eq!(after(Control::CoreDumps, with_pipe(0)), Outcome::Inherited);
    assert_eq!(after(Control::CoreDumps, with_pipe(4096)), Outcome::Violated);
    let dumpable_too = |e: &mut Evidence| {
        with_pipe(0)(e);
        e.proxy.dumpable.value = Ok(1);
    };
    assert_eq!(after(Control::CoreDumps, dumpable_too), Outcome::Partial);
}

#[test]
fn no_limit_stops_a_socket_that_takes_cores() {
    for value in [0, 1] {
        let with_socket = |dumpable| {
            move |e: &mut Evidence| {
                e.core_pattern = Ok(CorePattern::Socket("@/run/core.sock".into()));
                e.core_limit = Ok(limit(value));
                e.proxy.dumpable.value = dumpable;
            }
        };
        assert_eq!(after(Control::CoreDumps, with_socket(Ok(0))), Outcome::Inherited);
        for dumpable in [Ok(1), Ok(2), Err(Os::EPERM.into())] {
            assert_eq!(after(Control::CoreDumps, with_socket(dumpable)), Outcome::Partial);
        }
    }
}

#[test]
fn a_filter_that_dumps_anything_is_violated() {
    assert_eq!(after(Control::CoredumpFilter, |e| e.coredump_filter = Ok(0x33)), Outcome::Violated);
}

#[test]
fn the_word_of_the_proxy_is_checked_against_the_owner_of_its_proc_entry() {
    assert_eq!(after(Control::Dumpable, |_| ()), Outcome::Enforced);
    assert_eq!(after(Control::Dumpable, |e| e.owner = Ok(65532)), Outcome::Violated);
    assert_eq!(after(Control::Dumpable, |e| e.owner = Ok(65534)), Outcome::Enforced);
    assert_eq!(after(Control::Dumpable, |e| e.owner = Err(unread())), Outcome::Unknown);
    let as_root = |e: &mut Evidence| e.status = Ok(Status { uid: [0; 4], ..status() });
    assert_eq!(after(Control::Dumpable, as_root), Outcome::Enforced);
    for (value, result) in [(Ok(1), Outcome::Violated), (Ok(2), Outcome::Partial)] {
        assert_eq!(after(Control::Dumpable, |e| e.proxy.dumpable.value = value), result);
    }
    let failed = Err(Os::EPERM.into());
    assert_eq!(after(Control::Dumpable, |e| e.proxy.dumpable.value = failed), Outcome::Unknown);
}

#[test]
fn swap_is_barred_by_no_device_or_by_the_own_cgroup_of_version_2() {
    let with = |cgroup: Option<CgroupSwap>| {
        after(Control::NoSwap, |e| {
            e.swap.devices = Ok(vec!["/dev/dm-1".into()]);
            e.swap.cgroup = cgroup;
        })
    };
    let v2 = |max| Some(CgroupSwap::V2 { folder: "/sys/fs/cgroup".into(), max });
    let v1 = |memory, with_swap| {
        let (memory, with_swap) = (V1Limit(memory), V1Limit(with_swap));
        Some(CgroupSwap::V1 { folder: "/sys/fs/cgroup/memory".into(), memory, with_swap })
    };
    assert_eq!(with(None), Outcome::Violated);
    assert_eq!(with(v2(SwapMax::Bytes(0))), Outcome::Inherited);
    assert_eq!(with(v2(SwapMax::Bytes(4096))), Outcome::Violated);
    assert_eq!(with(v2(SwapMax::Unlimited)), Outcome::Violated);
    assert_eq!(with(v1(1 << 29, 1 << 29)), Outcome::Partial);
    assert_eq!(with(v1(1 << 29, 1 << 30)), Outcome::Violated);
}

#[test]
fn a_limit_of_version_1_says_that_it_does_not_bar_the_host() {
    let mut evidence = evidence();
    evidence.swap.devices = Ok(vec!["/dev/dm-1".into()]);
    let limit = V1Limit(1 << 29);
    let folder = "/sys/fs/cgroup/memory".into();
    evidence.swap.cgroup = Some(CgroupSwap::V1 { folder, memory: limit, with_swap: limit });
    let text = report(&evidence, &[], true).to_string();
    assert!(text.contains("cgroup v1: host pressure can still swap it out"), "{text}");
    evidence.proxy.memory_lock = LockAttempt::NotAsked;
    assert_eq!(report(&evidence, &[], true).refusals(), ["secrets_off_swap"]);
}

#[test]
fn a_memory_lock_counts_only_when_the_kernel_shows_it() {
    let with = |attempt: LockAttempt, kib| {
        after(Control::MemoryLock, |e| {
            e.proxy.memory_lock = attempt;
            e.status = Ok(Status { locked_kib: kib, ..status() });
        })
    };
    assert_eq!(with(LockAttempt::Locked("x".into()), 840), Outcome::Enforced);
    assert_eq!(with(LockAttempt::Locked("x".into()), 4), Outcome::Partial);
    assert_eq!(with(LockAttempt::Locked("x".into()), 0), Outcome::Violated);
    assert_eq!(with(LockAttempt::NotSafe("x".into()), 0), Outcome::NotPermitted);
    assert_eq!(with(LockAttempt::NotAsked, 0), Outcome::Violated);
    assert_eq!(with(LockAttempt::Failed(Os::ENOMEM.into()), 0), Outcome::NotPermitted);
    assert_eq!(with(LockAttempt::Failed(Os::ENOSYS.into()), 0), Outcome::Unavailable);
    assert_eq!(with(LockAttempt::Failed(Os::EIO.into()), 0), Outcome::Unknown);
}

#[test]
fn capabilities_must_be_gone_and_the_bounding_set_inert() {
    let with = |change: &dyn Fn(&mut Status)| {
        let mut status = status();
        change(&mut status);
        after(Control::Capabilities, |e| e.status = Ok(status))
    };
    assert_eq!(with(&|_| ()), Outcome::Enforced);
    assert_eq!(with(&|s| s.caps = Caps::default()), Outcome::Enforced);
    assert_eq!(with(&|s| s.no_new_privs = false), Outcome::Partial);
    assert_eq!(with(&|s| s.uid = [0; 4]), Outcome::Partial);
    assert_eq!(with(&|s| s.caps.effective = 1), Outcome::Violated);
    assert_eq!(with(&|s| s.caps.ambient = 1), Outcome::Violated);
    assert_eq!(with(&|s| s.caps.inheritable = 1), Outcome::Violated);
}

#[test]
fn no_new_privs_umask_and_fds_are_as_read() {
    assert_eq!(after(Control::NoNewPrivs, |_| ()), Outcome::Enforced);
    let may_gain = Status { no_new_privs: false, ..status() };
    assert_eq!(after(Control::NoNewPrivs, |e| e.status = Ok(may_gain)), Outcome::Violated);
    for (umask, expected) in
        [(0o177, Outcome::Enforced), (0o022, Outcome::Violated), (0o067, Outcome::Violated)]
    {
        let status = Status { umask, ..status() };
        assert_eq!(after(Control::Umask, |e| e.status = Ok(status)), expected, "{umask:o}");
    }
    assert_eq!(after(Control::Fds, |e| e.proxy.fds = OpenFds::Unexpected(vec![9])), Outcome::Violated);
    assert_eq!(after(Control::Fds, |e| e.proxy.fds = OpenFds::Unknown("x".into())), Outcome::Unknown);
}

#[test]
fn storage_findings_are_a_violation() {
    let judged = |storage: &StorageSeen| {
        let (hardening, server) = (hardening(&[]), samples::server());
        judge(&evidence(), Asked { hardening: &hardening, has_secrets: true, storage, server: &server })
            .refusals()
    };
    assert_eq!(judged(&StorageSeen::Findings("1 finding".into())), ["storage"]);
    assert_eq!(judged(&StorageSeen::NotChecked), ["storage"]);
    assert_eq!(judged(&StorageSeen::Unknown("1 finding".into())), ["storage"]);
    assert!(judged(&StorageSeen::Clean("1 object".into())).is_empty());
}

#[test]
fn off_is_neither_judged_nor_refused() {
    let mut evidence = evidence();
    evidence.status = Err(unread());
    let off: Vec<_> = Control::ALL.into_iter().map(|control| (control, Level::Off)).collect();
    let report = report(&evidence, &off, true);
    assert!(report.is_ok());
    assert!(report.controls.iter().all(|seen| seen.result == Outcome::NotApplicable));
}

#[test]
fn an_errno_of_applying_stands_beside_what_does_not_hold() {
    let mut evidence = evidence();
    let failure = |control| Failure { control, errno: Os::EPERM.into() };
    evidence.failures = vec![failure(Control::NoNewPrivs), failure(Control::Umask)];
    evidence.status = Ok(Status { no_new_privs: false, ..status() });
    let report = report(&evidence, &[], true);
    let errno = |control| report.controls.iter().find(|seen| seen.control == control).unwrap().errno.clone();
    assert_eq!(errno(Control::NoNewPrivs), Some(Os::EPERM.into()));
    assert_eq!(errno(Control::Umask), None);
}

mod secrets_off_swap {
    use super::*;

    fn swapping() -> Evidence {
        let mut evidence = evidence();
        evidence.swap.devices = Ok(vec!["/dev/dm-1".into()]);
        evidence.proxy.memory_lock = LockAttempt::NotSafe("finite".into());
        evidence
    }

    #[test]
    fn refuses_when_neither_control_holds() {
        assert_eq!(report(&swapping(), &[], true).refusals(), ["secrets_off_swap"]);
    }

    #[test]
    fn is_met_by_the_lock_alone() {
        let mut evidence = swapping();
        evidence.proxy.memory_lock = LockAttempt::Locked("unlimited".into());
        assert_eq!(report(&evidence, &[], true).secrets_off_swap.evidence, "by memory_lock");
    }

    #[test]
    fn does_not_apply_without_secrets() {
        let report = report(&swapping(), &[], false);
        assert!(report.is_ok());
        assert_eq!(report.secrets_off_swap.evidence, "no secrets configured");
    }

    #[test]
    fn can_be_waived_only_by_naming_both_controls() {
        let (swap, lock) = ((Control::NoSwap, Level::Observe), (Control::MemoryLock, Level::Off));
        assert!(!report(&swapping(), &[swap], true).is_ok());
        assert!(!report(&swapping(), &[lock], true).is_ok());
        let waived = report(&swapping(), &[swap, lock], true);
        assert!(waived.is_ok() && waived.secrets_off_swap.evidence.starts_with("waived"), "{waived}");
    }
}

mod confinement;
mod root;
mod surroundings;
