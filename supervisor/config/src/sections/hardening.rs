//! `[hardening]`: a profile and the controls set beside it.
//!
//! Weaker levels than the profile's are the operator's word and no mistake; reports show them.

use crate::section::Section;
use crate::{Control, Hardening, Level, Profile, value};

/// The table.
pub(crate) fn read(section: &Section<'_>) -> Hardening {
    let profiles = Profile::ALL.map(|profile| (profile.name(), profile));
    let levels = Level::ALL.map(|level| (level.name(), level));
    let profile = section.read("profile", "the name of a profile", |text| value::word(text, &profiles));
    let overrides = Control::ALL.into_iter().filter_map(|control| {
        let level = section.read(control.name(), "a level", |text| value::word(text, &levels));
        level.good().map(|at| (control, at.value))
    });
    Hardening { overrides: overrides.collect(), profile: profile.or(Profile::Container) }
}
