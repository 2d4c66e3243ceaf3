//! seccomp, landlock, mdwe.

use super::*;
use crate::confine::landlock::{LandlockAttempt, Restricted};
use crate::judge::samples::restricted;
use crate::parse::Seccomp;
use crate::proxy::FilterAttempt;

fn filters(mode: u8, filters: Option<u32>) -> impl FnOnce(&mut Evidence) {
    move |e| e.status = Ok(Status { seccomp: Seccomp { mode, filters }, ..status() })
}

#[test]
fn both_filters_must_be_there_and_the_exec_gone() {
    assert_eq!(after(Control::Seccomp, |_| ()), Outcome::Enforced);
    // The runtime's and the second one.
    assert_eq!(after(Control::Seccomp, filters(2, Some(2))), Outcome::Partial);
    assert_eq!(after(Control::Seccomp, filters(0, Some(0))), Outcome::Violated);
    // Kernels before 5.9 don't count.
    assert_eq!(after(Control::Seccomp, filters(2, None)), Outcome::Enforced);
    let launch_failed = Failure { control: Control::Seccomp, errno: Os::EACCES.into() };
    assert_eq!(after(Control::Seccomp, |e| e.failures = vec![launch_failed]), Outcome::Partial);
}

#[test]
fn a_call_that_still_reaches_the_kernel_is_a_violation() {
    let still = |errno| move |e: &mut Evidence| e.proxy.seccomp.exec_after = [errno, libc::ENOSYS];
    assert_eq!(after(Control::Seccomp, still(libc::EFAULT)), Outcome::Violated);
    assert_eq!(after(Control::Seccomp, still(libc::EPERM)), Outcome::Violated);
    // It was gone already: then the second filter has proved nothing.
    let before = |e: &mut Evidence| e.proxy.seccomp.execve_before = libc::ENOSYS;
    assert_eq!(after(Control::Seccomp, before), Outcome::Violated);
}

#[test]
fn a_filter_that_is_not_there_says_why() {
    let attempt = |attempt| move |e: &mut Evidence| e.proxy.seccomp.attempt = attempt;
    let failed = FilterAttempt::Failed("seccomp: EINVAL".into());
    assert_eq!(after(Control::Seccomp, attempt(failed)), Outcome::Unavailable);
    assert_eq!(after(Control::Seccomp, attempt(FilterAttempt::NotAsked)), Outcome::Partial);
}

#[test]
fn landlock_counts_only_what_was_tried_in_vain() {
    let with = |change: fn(&mut crate::confine::landlock::Restricted)| {
        let mut restricted = restricted();
        change(&mut restricted);
        after(Control::Landlock, |e| e.proxy.landlock = LandlockAttempt::Restricted(restricted))
    };
    assert_eq!(with(|_| ()), Outcome::Enforced);
    assert_eq!(with(|r| r.files.after = None), Outcome::Violated);
    assert_eq!(with(|r| r.ports.after = None), Outcome::Violated);
    assert_eq!(with(|r| r.signals.after = None), Outcome::Violated);
    // Not possible before either: no proof.
    assert_eq!(with(|r| r.files.before = Some(libc::EACCES)), Outcome::Unknown);
    // A parent that couldn't be signalled anyway, such as the runtime outside the container.
    assert_eq!(with(|r| r.signals.before = Some(libc::ESRCH)), Outcome::Enforced);
}

#[test]
fn the_report_says_where_the_proxy_may_write() {
    for (writes, said) in
        [(&[][..], "may write nothing"), (&["/var/lib/fluxheim"], "may write below /var/lib/fluxheim")]
    {
        let mut evidence = evidence();
        let writes = writes.iter().map(|folder| (*folder).to_owned()).collect();
        evidence.proxy.landlock = LandlockAttempt::Restricted(Restricted { writes, ..restricted() });
        let report = report(&evidence, &[], true);
        let seen = report.controls.iter().find(|seen| seen.control == Control::Landlock).unwrap();
        assert!(seen.evidence.ends_with(said), "{}", seen.evidence);
    }
}

#[test]
fn an_older_landlock_is_partial_and_says_what_it_lacks() {
    for (abi, lacks) in [(1, "TCP ports, ioctl of devices, signals"), (4, "ioctl of devices"), (5, "signals")]
    {
        let mut evidence = evidence();
        let mut restricted = restricted();
        restricted.abi = abi;
        // What the kernel doesn't confine is still possible, and no violation of what it does.
        restricted.signals.after = None;
        if abi < 4 {
            restricted.ports.after = None;
        }
        evidence.proxy.landlock = LandlockAttempt::Restricted(restricted);
        let report = report(&evidence, &[], true);
        let seen = report.controls.iter().find(|seen| seen.control == Control::Landlock).unwrap();
        assert_eq!(seen.result, Outcome::Partial, "{abi}");
        assert!(seen.evidence.contains(lacks), "{abi}: {}", seen.evidence);
        assert!(report.is_ok(), "best effort");
    }
}

#[test]
fn a_kernel_without_landlock_or_mdwe_is_unavailable() {
    let none = LandlockAttempt::Unavailable("not in this kernel".into());
    assert_eq!(after(Control::Landlock, |e| e.proxy.landlock = none), Outcome::Unavailable);
    let failed = LandlockAttempt::Failed("EINVAL".into());
    assert_eq!(after(Control::Landlock, |e| e.proxy.landlock = failed), Outcome::Violated);
    assert_eq!(after(Control::Mdwe, |e| e.proxy.mdwe = Err(Os::EINVAL.into())), Outcome::Unavailable);
    assert_eq!(after(Control::Mdwe, |e| e.proxy.mdwe = Ok(0)), Outcome::Violated);
    assert_eq!(after(Control::Mdwe, |_| ()), Outcome::Enforced);
}
