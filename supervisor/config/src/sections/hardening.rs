//! `[hardening]`: a profile and the controls set beside it.
//!
//! Weaker levels than the profile's are the operator's word and no mistake; reports show them. What
//! can't hold together is one.

use std::collections::BTreeMap;

use crate::flaw::Flaw;
use crate::section::{At, Section};
use crate::{Control, Hardening, Level, Profile, value};

/// The table; `chosen` is a profile named outside the files, which replaces theirs.
pub(crate) fn read(section: &Section<'_>, chosen: Option<Profile>) -> Hardening {
    let profiles = Profile::ALL.map(|profile| (profile.name(), profile));
    let levels = Level::ALL.map(|level| (level.name(), level));
    let profile = section.read("profile", "the name of a profile", |text| value::word(text, &profiles));
    let named: BTreeMap<_, _> = Control::ALL
        .into_iter()
        .filter_map(|control| {
            let level = section.read(control.name(), "a level", |text| value::word(text, &levels));
            level.good().map(|at| (control, at))
        })
        .collect();
    // A profile that can't be read says nothing about what is possible under it.
    let profile = chosen.or_else(|| profile.certain(Profile::Container));
    let overrides = named.iter().map(|(control, at)| (*control, at.value)).collect();
    let hardening = Hardening { overrides, profile: profile.unwrap_or(Profile::Container) };
    if profile.is_some() {
        check_possible(section, &hardening, &named);
        check_root(section, &hardening, &named);
        check_no_new_privs(section, &hardening, &named);
    }
    hardening
}

type Named = BTreeMap<Control, At<Level>>;

/// What the environment of the profile never gives can't be required there.
fn check_possible(section: &Section<'_>, hardening: &Hardening, named: &Named) {
    for (control, at) in named.iter().filter(|(_, at)| at.value == Level::Required) {
        if let Some((why, instead)) = hardening.profile.impossible(*control) {
            let profile = hardening.profile.name();
            let message = format!("\"required\" can't hold under profile \"{profile}\": {why}");
            section.here(control.name(), at.at, Flaw::new(message).help(instead));
        }
    }
}

/// `docker-root` is about giving uid 0 up.
fn check_root(section: &Section<'_>, hardening: &Hardening, named: &Named) {
    let identity = named.get(&Control::Identity).filter(|at| at.value < Level::BestEffort);
    if let (Profile::DockerRoot, Some(at)) = (hardening.profile, identity) {
        let message =
            format!("\"{}\" would keep uid 0, which profile \"docker-root\" gives up", at.value.name());
        let help = "leave it out, or use profile = \"container\"";
        section.here(Control::Identity.name(), at.at, Flaw::new(message).help(help));
    }
}

/// The kernel takes a filter or a ruleset of a plain user only under no_new_privs (seccomp(2),
/// landlock_restrict_self(2)).
fn check_no_new_privs(section: &Section<'_>, hardening: &Hardening, named: &Named) {
    let needing: Vec<_> =
        [Control::Seccomp, Control::Landlock].into_iter().filter(|c| hardening.applies(*c)).collect();
    let Some(at) = named.get(&Control::NoNewPrivs).filter(|at| at.value < Level::BestEffort) else { return };
    if needing.is_empty() {
        return;
    }
    let needing = needing.iter().map(|control| control.name()).collect::<Vec<_>>().join(" and ");
    let message = format!("\"{}\" can't go with {needing}, which need it", at.value.name());
    let help = format!("leave no_new_privs out, or set {needing} to \"off\" too");
    section.here(Control::NoNewPrivs.name(), at.at, Flaw::new(message).help(help));
}
