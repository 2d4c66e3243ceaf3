//! identity and securebits, also after a start as uid 0.

use super::*;
use crate::sys::ROOT_WITHOUT_POWER;

fn ids(change: impl FnOnce(&mut Status)) -> impl FnOnce(&mut Evidence) {
    let mut status = status();
    change(&mut status);
    move |e| e.status = Ok(status)
}

fn from_root(change: impl FnOnce(&mut Evidence)) -> impl FnOnce(&mut Evidence) {
    move |e| {
        e.baseline.uid = Some(0);
        change(e);
    }
}

#[test]
fn a_plain_user_is_inherited_and_a_former_root_is_our_doing() {
    assert_eq!(after(Control::Identity, |_| ()), Outcome::Inherited);
    assert_eq!(after(Control::Identity, from_root(|_| ())), Outcome::Enforced);
}

#[test]
fn uid_0_is_a_violation_but_in_a_user_namespace() {
    let root = |status: &mut Status| status.uid = [0; 4];
    assert_eq!(after(Control::Identity, ids(root)), Outcome::Violated);
    let mapped = |e: &mut Evidence| {
        ids(root)(e);
        e.initial_namespace = Ok(false);
    };
    assert_eq!(after(Control::Identity, mapped), Outcome::Partial);
    let unknown = |e: &mut Evidence| {
        ids(root)(e);
        e.initial_namespace = Err(unread());
    };
    assert_eq!(after(Control::Identity, unknown), Outcome::Violated);
}

#[test]
fn one_id_that_differs_is_a_way_back() {
    assert_eq!(after(Control::Identity, ids(|s| s.uid[2] = 0)), Outcome::Violated);
    assert_eq!(after(Control::Identity, ids(|s| s.gid[3] = 0)), Outcome::Violated);
}

#[test]
fn groups_of_a_former_root_must_be_gone() {
    let groups = |status: &mut Status| status.groups = vec![4];
    assert_eq!(after(Control::Identity, ids(groups)), Outcome::Inherited);
    assert_eq!(after(Control::Identity, from_root(ids(groups))), Outcome::Partial);
    assert_eq!(after(Control::Identity, from_root(ids(|s| s.gid = [0; 4]))), Outcome::Partial);
}

#[test]
fn group_0_holds_but_under_strict() {
    let openshift = |status: &mut Status| status.gid = [0; 4];
    assert_eq!(after(Control::Identity, ids(openshift)), Outcome::Inherited);
    let mut evidence = evidence();
    ids(openshift)(&mut evidence);
    let hardening = Hardening { profile: Profile::Strict, overrides: [].into() };
    let (storage, server) = (StorageSeen::Clean("0 objects".into()), samples::server());
    let asked = Asked { hardening: &hardening, has_secrets: false, storage: &storage, server: &server };
    assert!(judge(&evidence, asked).refusals().contains(&"identity"));
}

#[test]
fn securebits_hold_only_when_locked_and_are_moot_for_a_plain_user() {
    assert_eq!(after(Control::Securebits, |_| ()), Outcome::NotApplicable);
    let locked = |e: &mut Evidence| e.proxy.securebits = Ok(ROOT_WITHOUT_POWER);
    assert_eq!(after(Control::Securebits, from_root(locked)), Outcome::Enforced);
    assert_eq!(after(Control::Securebits, from_root(|_| ())), Outcome::Violated);
    let half = |e: &mut Evidence| e.proxy.securebits = Ok(libc::SECBIT_NOROOT);
    assert_eq!(after(Control::Securebits, from_root(half)), Outcome::Violated);
    let failed = |e: &mut Evidence| e.proxy.securebits = Err(Os::EPERM.into());
    assert_eq!(after(Control::Securebits, failed), Outcome::Unknown);
    // Without no_new_privs a setuid program would make it root.
    assert_eq!(after(Control::Securebits, ids(|s| s.no_new_privs = false)), Outcome::Violated);
}

#[test]
fn docker_root_wants_a_start_as_root() {
    let storage = StorageSeen::Clean("2 objects".into());
    let hardening = Hardening { profile: Profile::DockerRoot, overrides: [].into() };
    let server = samples::server();
    let asked = Asked { hardening: &hardening, has_secrets: true, storage: &storage, server: &server };
    assert_eq!(judge(&evidence(), asked).refusals(), ["securebits"]);
    let mut started = evidence();
    started.baseline.uid = Some(0);
    started.proxy.securebits = Ok(ROOT_WITHOUT_POWER);
    assert!(judge(&started, asked).is_ok());
}
