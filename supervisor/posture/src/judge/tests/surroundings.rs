//! environment, read_only_root, aslr, ptrace_scope, stop_budget.

use super::*;
use crate::report::Errno;
use crate::sys::NOT_RANDOM;

#[test]
fn a_secret_in_the_environment_is_found_wherever_it_is() {
    assert_eq!(after(Control::Environment, |_| ()), Outcome::Inherited);
    let given = |e: &mut Evidence| e.baseline.environment = vec!["API_TOKEN".into()];
    assert_eq!(after(Control::Environment, given), Outcome::Partial);
    let left = |e: &mut Evidence| e.proxy.environment = vec!["API_TOKEN".into()];
    assert_eq!(after(Control::Environment, left), Outcome::Violated);
}

#[test]
fn a_root_is_read_only_or_not_or_unknown() {
    let told = |told| move |e: &mut Evidence| e.proxy.read_only_root = told;
    assert_eq!(after(Control::ReadOnlyRoot, told(Ok(true))), Outcome::Inherited);
    assert_eq!(after(Control::ReadOnlyRoot, told(Ok(false))), Outcome::Violated);
    assert_eq!(after(Control::ReadOnlyRoot, told(Err(Errno::from(Os::EIO)))), Outcome::Unknown);
}

#[test]
fn memory_is_random_where_both_kernel_and_process_say_so() {
    let seen = |kernel, flags, before| {
        after(Control::Aslr, move |e| {
            e.randomised = Ok(kernel);
            e.proxy.personality = Ok(flags);
            e.baseline.personality = Some(before);
        })
    };
    assert_eq!(seen(2, 0, 0), Outcome::Inherited);
    assert_eq!(seen(2, 0, NOT_RANDOM), Outcome::Enforced);
    assert_eq!(seen(1, 0, 0), Outcome::Partial);
    assert_eq!(seen(0, 0, 0), Outcome::Violated);
    assert_eq!(seen(2, NOT_RANDOM, NOT_RANDOM), Outcome::Violated);
    assert_eq!(after(Control::Aslr, |e| e.randomised = Err(unread())), Outcome::Unknown);
}

#[test]
fn where_yama_says_nothing_not_being_dumpable_does() {
    assert_eq!(after(Control::PtraceScope, |_| ()), Outcome::Inherited);
    assert_eq!(after(Control::PtraceScope, |e| e.ptrace_scope = Ok(0)), Outcome::Enforced);
    let dumpable = |e: &mut Evidence| {
        e.ptrace_scope = Ok(0);
        e.proxy.dumpable.value = Ok(1);
    };
    assert_eq!(after(Control::PtraceScope, dumpable), Outcome::Violated);
    let odd = |e: &mut Evidence| e.ptrace_scope = Err(unread());
    assert_eq!(after(Control::PtraceScope, odd), Outcome::Unknown);
}

#[test]
fn the_stop_budget_is_the_configuration_s_arithmetic() {
    let mut server = samples::server();
    let judged = |server: &_| {
        let (hardening, storage) = (hardening(&[]), StorageSeen::Clean("0 objects".into()));
        let asked = Asked { hardening: &hardening, has_secrets: false, storage: &storage, server };
        judge(&evidence(), asked).controls.into_iter().find(|c| c.control == Control::StopBudget).unwrap()
    };
    let seen = judged(&server);
    assert_eq!(seen.result, Outcome::Enforced);
    assert!(seen.evidence.starts_with("drain_delay 0s + drain_timeout 8s + 1s within stop_timeout 10s"));
    server.stop_timeout = std::time::Duration::from_secs(5);
    assert_eq!(judged(&server).result, Outcome::Violated);
}

#[test]
fn whoever_traces_one_of_the_two_makes_hiding_void() {
    let traced = |e: &mut Evidence| e.status = Ok(Status { tracer: 9, ..status() });
    assert_eq!(after(Control::Dumpable, traced), Outcome::Violated);
    assert_eq!(after(Control::Dumpable, |e| e.own_tracer = Ok(9)), Outcome::Violated);
    assert_eq!(after(Control::Dumpable, |e| e.own_tracer = Err(unread())), Outcome::Unknown);
}

#[test]
fn what_is_only_observed_is_never_our_doing() {
    let report = report(&evidence(), &Control::ALL.map(|control| (control, Level::Observe)), true);
    assert!(report.controls.iter().all(|seen| seen.result != Outcome::Enforced), "{report}");
}
