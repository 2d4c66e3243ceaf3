//! Controls and levels in JSON: by the names they have in the configuration.
//!
//! Owns that mapping for serde; the names are `fluxheim-config`'s.

use serde::Serializer;

pub(crate) mod control {
    use fluxheim_config::Control;

    use super::Serializer;

    pub(crate) fn serialize<S: Serializer>(control: &Control, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(control.name())
    }
}

pub(crate) mod level {
    use fluxheim_config::Level;

    use super::Serializer;

    pub(crate) fn serialize<S: Serializer>(level: &Level, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(level.name())
    }
}
